//! What is worth a warning whatever the decision is.

use two_node_ha_config::{Config, FencingMode};

use super::{Decision, health};
use crate::observe::{MountPoint, Observation, SplitBrain};

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
