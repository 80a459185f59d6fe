//! The agent and the failover unit: the packaged units, bound to the configuration.

use std::time::Duration;

use two_node_ha_config::Config;

use super::{Origin, volume};
use crate::tree::Tree;
use crate::unit::{DROP_IN, Refused, UNIT_DIR, Unit, argument, span};

/// The agent's unit.
pub const AGENT: &str = "two-node-ha-k8s.service";
/// The unit that Pacemaker starts where the voter belongs.
const FAILOVER: &str = "two-node-ha-k8s-failover.service";

/// What a stop of the agent may take beyond the step it is in.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// Writes the drop-ins of both, and enables the agent.
///
/// # Errors
/// A node name that cannot stand in a unit file, or a backing file that has no unit.
pub fn write(tree: &mut Tree, config: &Config, origin: Origin<'_>) -> Result<(), Refused> {
    tree.symlink(
        format!("multi-user.target.wants/{AGENT}"),
        format!("{UNIT_DIR}/{AGENT}"),
    );

    let mut agent = Unit::new(origin.source, "The agent, as the configuration wants it.");
    if let Some(unit) = volume::loop_unit(&config.volume)? {
        agent.comment(
            "After a boot with a broken configuration resource-agents-deps.target has been reached\n\
             without it, and nobody else would start it once the configuration is mended.",
        );
        agent.set("Wants", &unit);
        agent.set("After", &unit);
    }
    agent.section("Service");
    agent.set("WatchdogSec", &span(config.agent.watchdog));
    agent.comment("It finishes the step it is in, and a recovery is the longest.");
    let stop = config.k8s.recover_timeout.saturating_add(STOP_MARGIN);
    agent.set("TimeoutStopSec", &span(stop));
    environment(&mut agent, origin)?;
    tree.file(format!("{AGENT}.d/{DROP_IN}"), agent.finish());

    let mut failover = Unit::new(origin.source, "The voter's role, run by Pacemaker only.");
    failover.section("Service");
    failover.comment(
        "A little less than Pacemaker gives its operations, so that it hears of a failure and\n\
         its reason, and not of its own time running out.",
    );
    let pacemaker = &config.pacemaker;
    failover.set(
        "TimeoutStartSec",
        &span(within(pacemaker.failover_start_timeout)),
    );
    failover.set(
        "TimeoutStopSec",
        &span(within(pacemaker.failover_stop_timeout)),
    );
    environment(&mut failover, origin)?;
    tree.file(format!("{FAILOVER}.d/{DROP_IN}"), failover.finish());
    Ok(())
}

fn environment(unit: &mut Unit, origin: Origin<'_>) -> Result<(), Refused> {
    if let Some(node) = origin.node {
        let assignment = argument("TWO_NODE_HA_NODE", &format!("TWO_NODE_HA_NODE={node}"))?;
        unit.set("Environment", &assignment);
    }
    Ok(())
}

/// A time-out that ends before `outer` does: a twentieth less, at least a second and at most ten.
/// Pacemaker spends part of its own on a daemon-reload and on asking systemd.
fn within(outer: Duration) -> Duration {
    let margin = (outer / 20).clamp(Duration::from_secs(1), Duration::from_secs(10));
    outer.saturating_sub(margin).max(outer / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_gives_up_before_pacemaker_does_and_is_never_left_without_time() {
        for ms in [1, 500, 1000, 1500, 2000, 30_000, 90_000, 180_000, 3_600_000] {
            let outer = Duration::from_millis(ms);
            let inner = within(outer);
            assert!(inner < outer && inner >= outer / 2, "{outer:?} {inner:?}");
        }
        assert_eq!(within(Duration::from_secs(180)), Duration::from_secs(171));
        assert_eq!(within(Duration::from_secs(3600)), Duration::from_secs(3590));
    }
}
