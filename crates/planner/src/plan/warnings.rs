//! What is worth a warning whatever the decision is.

use two_node_ha_config::{Config, FencingMode};

use super::{Decision, health, suspended_io};
use crate::observation::{MountPoint, Observation, SplitBrain};

/// Adds what stops nothing but should be known.
pub(super) fn warn(o: &Observation, config: &Config, decision: &mut Decision) {
    if o.mount_point == MountPoint::HoldsFiles {
        decision.warnings.push(format!(
            "there are files in {} while nothing is mounted there; the volume will hide them. \
             Nothing here needs them: look at them and move them away",
            config.volume.mount_point.display()
        ));
    }
    health::warn(o, decision);
    decision.warnings.extend(no_replica(o));
    match &o.split_brain {
        None => {}
        Some(SplitBrain::Reported) => decision.warnings.push(
            "SPLIT BRAIN: both nodes have written to their copy of the volume, and DRBD has cut the \
             connection. Nothing is discarded; see `two-node-ha split-brain show`"
                .into(),
        ),
        Some(SplitBrain::Resolving(winner)) => decision.warnings.push(format!(
            "the resolution of a split brain is under way: `two-node-ha split-brain resolve --keep \
             {winner}` goes on with it, and Pacemaker does not promote the other node before its end"
        )),
    }
    if config.fencing.mode != FencingMode::Stonith && config.fencing.promote_without_fencing {
        decision.warnings.push(
            "fencing.promote_without_fencing is on: after a partition both nodes may accept \
             writes, and one side's will be lost"
                .into(),
        );
    }
}

/// A voter whose writes are on one disk only. Without the states in words: each change of them would be
/// told anew.
fn no_replica(o: &Observation) -> Option<String> {
    let drbd = &o.drbd;
    // One that stands still says so; a split brain is told of by itself.
    if !o.is_running_voter() || drbd.equal || suspended_io::is(o) || o.split_brain.is_some() {
        return None;
    }
    let peer = &o.peer;
    let text = if !drbd.up_to_date {
        format!(
            "this node's own copy of the volume is not current: what the voter here writes is on {peer}'s \
             disk alone. See `drbdadm status` and `journalctl -k`"
        )
    } else if drbd.connected {
        format!(
            "{peer}'s copy of the volume is not current yet: until DRBD has brought it up to date, what is \
             written is on this node's disk alone, and {peer} cannot take over"
        )
    } else if drbd.alone {
        format!(
            "the volume has no replica, and DRBD does not look for {peer} any more (StandAlone): what is \
             written is on this node's disk alone, until `drbdadm connect` on this node"
        )
    } else {
        format!(
            "the volume has no replica while DRBD does not reach {peer}: what is written is on this node's \
             disk alone, and {peer} cannot take over"
        )
    };
    Some(text)
}
