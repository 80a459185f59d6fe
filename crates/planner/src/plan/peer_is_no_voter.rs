//! Invariant I8: a voter starts only when the peer cannot be one.

use two_node_ha_config::{Config, FencingMode};

use super::{Decision, State, Step};
use crate::observation::{Asked, Observation, PeerNode};
use crate::record::Epoch;

/// What is known of the peer, for a node that is about to become the voter of `epoch`'s volume.
pub(super) enum Verdict {
    /// It cannot be a voter; why.
    Safe(String),
    /// Not before this.
    Not(Box<Decision>),
}

pub(super) fn verdict(o: &Observation, config: &Config, epoch: &Epoch) -> Verdict {
    if o.peer_stopped {
        return Verdict::Safe(format!(
            "{} has confirmed that its databases are stopped",
            o.peer
        ));
    }
    match &o.peer_report {
        Asked::Answer(report) if report.epoch > epoch.epoch => not(Decision::blocked(
            format!(
                "{} knows epoch {}, and the volume here has only {}: this is an older copy of \
                     the data",
                o.peer, report.epoch, epoch.epoch
            ),
            format!(
                "do not start anything here. Look at DRBD on both nodes (`drbdadm status`); \
                     give the role to {} with `two-node-ha move {}`",
                o.peer, o.peer
            ),
        )
        .only_here()),
        Asked::Answer(report) if report.voter || report.wants_voter => not(Decision::blocked(
            format!(
                "{} says that it is the voter or is becoming it, at the same time as this node",
                o.peer
            ),
            "this is a split brain, or Pacemaker is moving the role right now. Compare `crm_mon -1` \
             and `drbdadm status` on both nodes; turn fencing on",
        )),
        Asked::Answer(report) if !report.datastore_running => {
            Verdict::Safe(format!("{} runs no database", o.peer))
        }
        Asked::Answer(_) if epoch.owner == o.node && epoch.complete() => {
            Verdict::Safe(format!("{} is a spare of epoch {}", o.peer, epoch.epoch))
        }
        Asked::Answer(_) => not(Decision::act(
            State::PrimaryPrep,
            vec![Step::StopPeer],
            format!(
                "{} still runs its databases; they stop before the voter changes",
                o.peer
            ),
        )),
        Asked::NotYet | Asked::Silent(_) => without_report(o, config, epoch),
    }
}

/// The peer's agent has said nothing (yet): Pacemaker may know more.
fn without_report(o: &Observation, config: &Config, epoch: &Epoch) -> Verdict {
    let silent = match &o.peer_report {
        Asked::Silent(why) => Some(why),
        Asked::NotYet | Asked::Answer(_) => None,
    };
    match (&o.peer_node, silent) {
        // Known first: a dead peer's address would make ssh wait for its time-out.
        (Asked::Answer(PeerNode::Down), _) => Verdict::Safe(format!(
            "Pacemaker has fenced {} or seen it leave the cluster cleanly",
            o.peer
        )),
        (Asked::NotYet, _) => not(Decision::act(
            State::PrimaryPrep,
            vec![Step::AskPacemaker, Step::AskPeer],
            format!("first it must be known what {} is doing", o.peer),
        )),
        (_, None) => not(Decision::act(
            State::PrimaryPrep,
            vec![Step::AskPeer],
            format!("first it must be known what {} is doing", o.peer),
        )),
        (Asked::Answer(PeerNode::Online), Some(why)) => online_and_silent(o, config, epoch, why),
        (Asked::Answer(PeerNode::Lost | PeerNode::Unknown) | Asked::Silent(_), Some(why)) => {
            by_policy(o, config, why)
        }
    }
}

/// The peer's node lives, and its agent does not: whatever it is that keeps it from answering would
/// keep the datastore away for as long as nobody looks. So it is waited for, and then fenced.
fn online_and_silent(o: &Observation, config: &Config, epoch: &Epoch, why: &str) -> Verdict {
    let peer = &o.peer;
    if epoch.owner == o.node && epoch.complete() && voter_by_raft(o) {
        // A second primary beside this one is what Pacemaker and DRBD keep from a member of the
        // cluster, and a voter off the volume would be named by raft.
        return Verdict::Safe(format!(
            "raft names this node as the only voter, and {peer} is in the cluster, although its agent \
             does not answer ({why})"
        ));
    }
    let silent = format!("{peer} is in the cluster, but its agent does not answer: {why}");
    let limit = config.peer.silent_timeout;
    let look = format!(
        "on {peer}: `systemctl status two-node-ha-k8s`; from here: `two-node-ha status`, and \
         `two-node-ha peer setup` on both nodes if ssh refuses"
    );
    if config.fencing.mode != FencingMode::Stonith {
        return not(Decision::blocked(silent, look));
    }
    if !o.peer_patience_over {
        return not(Decision::wait(
            State::PrimaryPrep,
            format!(
                "{silent}. It is fenced if that lasts for {} s (peer.silent_timeout)",
                limit.as_secs()
            ),
        )
        .warning(format!("{silent}. What to look at: {look}")));
    }
    not(Decision::act(
        State::PrimaryPrep,
        vec![Step::FencePeer],
        format!(
            "{silent}, for {} s now (peer.silent_timeout), and without its word only fencing makes sure \
             that it writes no more",
            limit.as_secs()
        ),
    ))
}

/// Whether raft's own configuration of every database on the volume names this node alone.
fn voter_by_raft(o: &Observation) -> bool {
    o.databases
        .values()
        .all(|d| d.volume_log.end().is_some_and(|end| end.voters.only_here()))
}

/// Nobody knows whether the peer still writes: only the operator's policy can decide.
fn by_policy(o: &Observation, config: &Config, why: &str) -> Verdict {
    if config.fencing.mode != FencingMode::Stonith && config.fencing.promote_without_fencing {
        return Verdict::Safe(format!(
            "NOT SAFE: {} does not answer ({why}) and nobody made sure that it is dead, but \
             fencing.promote_without_fencing allows it",
            o.peer
        ));
    }
    not(Decision::blocked(
        format!(
            "{} does not answer ({why}), and Pacemaker has not fenced it",
            o.peer
        ),
        format!(
            "make sure that {0} is off, then tell Pacemaker so: `stonith_admin --confirm {0}`. \
             With a fence device this happens by itself (fencing.mode = \"stonith\")",
            o.peer
        ),
    ))
}

fn not(decision: Decision) -> Verdict {
    Verdict::Not(Box::new(decision))
}
