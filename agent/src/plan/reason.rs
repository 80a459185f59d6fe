//! What is worth a warning whatever the decision is.

use two_node_ha_config::{Config, FencingMode};

use super::Decision;
use crate::observe::{MountPoint, Observation};

/// Adds what stops nothing but should be known.
pub(super) fn warn(o: &Observation, config: &Config, decision: &mut Decision) {
    if o.mount_point == MountPoint::HoldsFiles {
        decision.warnings.push(format!(
            "there are files in {} while nothing is mounted there; the volume will hide them. \
             Nothing here needs them: look at them and move them away",
            config.volume.mount_point.display()
        ));
    }
    if config.fencing.mode != FencingMode::Stonith && config.fencing.promote_without_fencing {
        decision.warnings.push(
            "fencing.promote_without_fencing is on: after a partition both nodes may accept \
             writes, and one side's will be lost"
                .into(),
        );
    }
}
