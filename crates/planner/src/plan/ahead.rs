//! Pacemaker is about to give this node the voter role: DRBD is primary here, or the volume mounted.
//! What can be done by then need not be done while everybody waits.
//!
//! I8 holds: no service is started before Pacemaker has started the failover unit.

use two_node_ha_config::Config;

use super::{Decision, State, Step, Target, stop_if_needed, suspended_io, voter};
use crate::observation::{Asked, Known, Mount, Observation, PeerNode, Role};

/// DRBD is primary here, and nothing is mounted yet: a spare has no voter to wait for any more.
pub(super) fn promoted(o: &Observation) -> Decision {
    let reason = "DRBD is primary here; waiting for Pacemaker to mount the volume";
    let step = stop_if_needed(o).or_else(|| {
        // Whether the other node is dead takes Pacemaker as long to say as a recovery takes.
        let unknown = !o.drbd.connected && o.peer_node == Asked::NotYet;
        unknown.then_some(Step::AskPacemaker)
    });
    match step {
        Some(step) => Decision::act(State::PrimaryPrep, vec![step], reason),
        None => Decision::wait(State::PrimaryPrep, reason),
    }
}

/// The volume is mounted here, and the failover unit does not run yet.
pub(super) fn mounted(o: &Observation, config: &Config) -> Decision {
    let waits = format!(
        "the volume is mounted here; waiting for Pacemaker to start {}",
        config.pacemaker.failover_resource
    );
    let steps = steps(o, config);
    if steps.is_empty() {
        return Decision::wait(State::PrimaryPrep, waits);
    }
    let changes =
        |step: &Step| matches!(step, Step::BeginEpoch | Step::Flip(..) | Step::Recover(_));
    let state = if steps.iter().any(changes) {
        State::Recovering
    } else {
        State::PrimaryPrep
    };
    Decision::act(state, steps, waits)
}

/// The first steps of what is done once the failover unit runs, as far as they may be taken now.
fn steps(o: &Observation, config: &Config) -> Vec<Step> {
    let still = suspended_io::is(o) || suspended_io::interrupted(o, State::PrimaryPrep).is_some();
    if !o.just_mounted || o.mount != Mount::ReadWrite || o.drbd.role != Role::Primary || still {
        return Vec::new();
    }
    let epoch = match &o.epoch {
        Known::Present(epoch) if epoch.epoch >= o.journal.highest_epoch => epoch,
        Known::Present(_) | Known::Absent | Known::Unreadable(_) => return Vec::new(),
    };
    // Whoever mounts the volume by hand, to look at it, should not find it taken over. With the other
    // node dead there is nobody else whose it could be.
    let alone = o.peer_node == Asked::Answer(PeerNode::Down);
    let early = |step: &Step| match step {
        Step::AskPeer | Step::AskPacemaker | Step::RememberEpoch(_) | Step::StopServices => true,
        Step::BeginEpoch | Step::Flip(_, Target::Volume) | Step::Recover(_) => alone,
        Step::AskPromotion
        | Step::RemoveConstraint(_)
        | Step::AskFencePeer
        | Step::StopPeer
        | Step::ProtectMountPoint
        | Step::MoveOntoVolume
        | Step::KeepIdentity(_)
        | Step::Leave(_)
        | Step::KeepOriginal(_)
        | Step::Flip(_, Target::Spare)
        | Step::FencePeer
        | Step::FetchLogs
        | Step::RenewEpoch(_)
        | Step::Rejoin(_)
        | Step::StartServices
        | Step::StartRest
        | Step::ConfirmVoter
        | Step::ReportReleased => false,
    };
    let all = voter::with_epoch(o, config, epoch).steps;
    all.into_iter().take_while(early).collect()
}
