//! Taking a fencing constraint away that has outlived its reason.

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::Runner;
use two_node_ha_config::Config;
use two_node_ha_pacemaker::{fence, lock, query};

use super::{Actor, Error, Outcome};
use crate::observe::live;

/// How long a fence handler that is at work is waited for.
const LOCK: Duration = Duration::from_secs(5);

/// What cibadmin may take.
const CHANGE: Duration = Duration::from_secs(5);

impl Actor {
    /// A failure says nothing about the voter here, so that each is one of the guard: it is planned
    /// anew.
    pub(super) fn remove_constraint(&self, id: &str) -> Result<Outcome, Error> {
        remove(
            &*self.runner,
            &self.paths.run(),
            &self.config,
            &self.node.name,
            id,
        )
        .map(|()| Outcome::ConstraintRemoved)
        .map_err(Error::Guard)
    }
}

/// I3: that both copies are the same is asked again, with the handlers' lock held. A handler that is
/// called while this is under way waits for it, and then sees what it has done.
fn remove(
    runner: &dyn Runner,
    run: &Path,
    config: &Config,
    node: &str,
    id: &str,
) -> Result<(), String> {
    let resource = &config.volume.resource;
    let _lock = lock::take(run, resource, LOCK)?;
    let drbd = live::drbd(runner, config);
    if !drbd.equal {
        return Err(format!(
            "the copies are not the same any more ({}), so the constraint {id} stays",
            drbd.summary
        ));
    }
    let constraints =
        query::fencing_constraints(runner, resource).map_err(|error| error.to_string())?;
    let Some(constraint) = constraints.into_iter().find(|c| c.id == id) else {
        // The handler was quicker.
        return Ok(());
    };
    if constraint.forbids(node) {
        return Err(format!("the constraint {id} is not this node's any more"));
    }
    fence::remove(runner, &constraint, CHANGE).map_err(|error| {
        format!(
            "the constraint {id} could not be taken away ({error}); by hand: `cibadmin --delete \
             --xml-text '{}'`",
            constraint.name()
        )
    })?;
    tracing::info!(
        id,
        "took the constraint away: both copies are the same again"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use two_node_ha_pacemaker::FencingConstraint;

    use super::*;
    use crate::act::tests::{config, drbd};

    /// What is called, and what comes of it.
    fn swept(replication: &str, peer: &str, allowed: &str) -> (Vec<String>, Result<(), String>) {
        let constraint = FencingConstraint::new("r0", "ms", allowed).element("Promoted");
        let runner = drbd("Primary", "no", "Connected", replication, peer)
            .answer(
                "cibadmin --query",
                0,
                format!("<constraints>{constraint}</constraints>"),
            )
            .answer("cibadmin --delete", 0, "");
        let dir = tempfile::tempdir().unwrap();
        let id = "drbd-fence-by-handler-r0-ms";
        let result = remove(&runner, dir.path(), &config(), "haone", id);
        (runner.calls(), result)
    }

    fn deleted(calls: &[String]) -> bool {
        calls
            .iter()
            .any(|call| call.starts_with("cibadmin --delete"))
    }

    #[test]
    fn a_constraint_is_taken_away_only_while_both_copies_are_the_same() {
        let (calls, result) = swept("Established", "UpToDate", "haone");
        assert_eq!(result, Ok(()));
        assert!(deleted(&calls), "{calls:?}");
        for (replication, peer) in [
            ("SyncSource", "Inconsistent"),
            ("Established", "Outdated"),
            ("WFBitMapS", "UpToDate"),
            ("Off", "DUnknown"),
        ] {
            let (calls, result) = swept(replication, peer, "haone");
            assert!(result.unwrap_err().contains("not the same any more"));
            assert!(!deleted(&calls), "{calls:?}");
        }
    }

    #[test]
    fn the_peers_constraint_is_left_to_the_peer() {
        let (calls, result) = swept("Established", "UpToDate", "hatwo");
        assert!(result.unwrap_err().contains("not this node's"));
        assert!(!deleted(&calls), "{calls:?}");
    }
}
