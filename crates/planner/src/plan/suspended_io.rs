//! The volume's I/O stands still: a voter that cannot write, and whether DRBD may be made to ask
//! again.
//!
//! A primary that loses its peer writes nothing until a fence-peer handler has made sure that the
//! peer cannot be promoted. DRBD asks once. If the handler could claim nothing in its time, and the
//! peer is fenced only later, nobody tells DRBD, and every write waits for a link that may never
//! come back. Disconnecting and connecting makes it ask once more; the answer is the handler's, as
//! before, so nothing is asserted here that it has not seen.

use super::{Decision, State, Step, voter};
use crate::observation::{Asked, FencePeer, Known, Observation, PeerNode, Suspended};

/// What there is to do while it stands still; nothing when it does not.
pub(super) fn plan(o: &Observation) -> Option<Decision> {
    // A voter whose role was handed over off the volume is none, whether or not its writes stand still:
    // the peer must not be told that it may rely on it.
    let state = match &o.epoch {
        Known::Present(epoch) if voter::of_epoch(o, epoch) => State::PrimaryRunning,
        Known::Present(_) | Known::Absent | Known::Unreadable(_) => State::Recovering,
    };
    if let Some(decision) = interrupted(o, state) {
        return Some(decision);
    }
    match &o.drbd.suspended {
        Some(Suspended::Fencing) => Some(fencing(o, state)),
        Some(Suspended::Other(why)) => Some(
            Decision::wait(state, format!("every write stands still: {why}")).warning(format!(
                "every write stands still: {why}. `drbdadm status` and `journalctl -k` tell more; \
                 `drbdadm resume-io` ends what `drbdadm suspend-io` has begun"
            )),
        ),
        None if o.volume_silent => Some(
            Decision::wait(state, "the volume does not answer").warning(
                "the volume does not answer: DRBD may be about to find out that it has lost its peer, \
                 or the disk below it does not work. `drbdadm status` and `journalctl -k` tell more",
            ),
        ),
        None => None,
    }
}

/// Whether the volume must be left alone for now.
pub(super) fn is(o: &Observation) -> bool {
    o.drbd.suspended.is_some() || o.volume_silent
}

/// The agent ended between the two halves of the step. Whatever this node is by now, its copy is behind
/// until DRBD is connected again.
pub(super) fn interrupted(o: &Observation, state: State) -> Option<Decision> {
    (o.drbd.alone && o.own_disconnect && o.split_brain.is_none()).then(|| {
        Decision::act(
            state,
            vec![Step::AskFencePeer],
            "DRBD was disconnected so that it asks fence-peer again, and not connected yet",
        )
    })
}

fn fencing(o: &Observation, state: State) -> Decision {
    let peer = &o.peer;
    let lost = format!("every write stands still: DRBD has lost {peer}");
    if o.drbd.connected {
        return Decision::wait(state, format!("{lost}, and is finding it again"));
    }
    if o.split_brain.is_some() {
        return Decision::wait(
            state,
            format!("{lost}, and both nodes have written to their copies"),
        );
    }
    match o.fence_peer {
        FencePeer::AtWork => {
            return Decision::wait(
                state,
                format!("{lost}, and fence-peer is at work on whether this node may go on"),
            );
        }
        FencePeer::Asked => {
            return Decision::wait(
                state,
                format!("{lost}, and has just asked whether this node may go on"),
            );
        }
        FencePeer::Quiet => {}
    }
    if o.drbd.alone {
        return Decision::wait(state, lost.clone()).warning(format!(
            "{lost}, and looks for it no more (StandAlone): somebody has disconnected it. `drbdadm \
             connect` ends that"
        ));
    }
    let unanswered = format!("{lost}, and fence-peer could not say that this node may go on");
    match &o.peer_node {
        Asked::NotYet => Decision::act(state, vec![Step::AskPacemaker], unanswered),
        Asked::Answer(PeerNode::Down) => Decision::act(
            state,
            vec![Step::AskFencePeer],
            format!("{unanswered}; {peer} is down by now, as Pacemaker knows"),
        ),
        Asked::Answer(PeerNode::Online) => Decision::act(
            state,
            vec![Step::AskFencePeer],
            format!("{unanswered}; Pacemaker reaches {peer}, and may be able to now"),
        ),
        Asked::Answer(PeerNode::Lost) => Decision::wait(
            state,
            format!("{unanswered}: {peer} has not been fenced"),
        )
        .warning(format!(
            "{unanswered}: {peer} is lost and has not been fenced. `stonith_admin --verbose --history \
             {peer}` tells why. DRBD is made to ask again as soon as it is. If you have made sure \
             that {peer} is powered off: `stonith_admin --confirm {peer}`"
        )),
        Asked::Answer(PeerNode::Unknown) => not_known(state, &unanswered, "it is in between"),
        Asked::Silent(why) => not_known(state, &unanswered, why),
    }
}

fn not_known(state: State, unanswered: &str, why: &str) -> Decision {
    Decision::wait(
        state,
        format!("{unanswered}; what Pacemaker makes of it is not known: {why}"),
    )
}
