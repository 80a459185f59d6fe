//! One agent on a node. Two would take the sockets from each other, and one of them steps that the
//! other does not know of.

use two_node_ha_node::Paths;

use crate::lock::{self, Lock, Other};

/// The unit whose process the agent is.
const UNIT: &str = "two-node-ha-k8s.service";

/// That this process is the agent of this node, for as long as it lives.
#[derive(Debug)]
pub struct Only {
    _lock: Lock,
}

impl Only {
    /// Becomes it.
    ///
    /// # Errors
    /// Which other one runs, in words, with what to type.
    pub fn take(paths: &Paths) -> Result<Self, String> {
        let path = paths.agent_lock();
        match lock::take(paths, &path) {
            Ok(Ok(lock)) => Ok(Self { _lock: lock }),
            Ok(Err(other)) => Err(format!(
                "an agent runs on this node already: {other}. This one has changed nothing. {}",
                what_to_type(&other)
            )),
            Err(error) => Err(format!("locking {}: {error}", path.display())),
        }
    }
}

fn what_to_type(other: &Other) -> String {
    match (other.pid, &other.unit) {
        (_, Some(unit)) if unit == UNIT => format!(
            "`two-node-ha status` tells what it does, `journalctl -u {UNIT}` what it did, and \
             `systemctl restart {UNIT}` starts it anew"
        ),
        (Some(pid), _) => format!(
            "It is not the one of {UNIT}, so somebody has started it by hand: `kill {pid}` ends it, and \
             `systemctl start {UNIT}` starts the one that is meant"
        ),
        (None, _) => "`two-node-ha status` tells what it does, and `fuser -v \
                      /run/two-node-ha/agent.lock` its number"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_of_the_unit_is_restarted_and_one_that_was_started_by_hand_is_ended() {
        let other = |pid, unit: Option<&str>| Other {
            pid,
            unit: unit.map(str::to_owned),
        };
        let the_units = what_to_type(&other(Some(7), Some(UNIT)));
        assert!(the_units.contains("`systemctl restart two-node-ha-k8s.service`"));
        assert!(!the_units.contains("kill"), "{the_units}");
        for unit in [Some("session-3.scope"), None] {
            let by_hand = what_to_type(&other(Some(7), unit));
            assert!(by_hand.contains("`kill 7`"), "{by_hand}");
        }
        assert!(what_to_type(&other(None, None)).contains("fuser"));
    }
}
