//! Taking a fencing constraint away that has outlived its reason.

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::Runner;
use two_node_ha_config::Config;
use two_node_ha_pacemaker::fence::{self, ChangeError};
use two_node_ha_pacemaker::{lock, query};

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
///
/// The lock alone does not hold: a handler waits for it only so long, and this process may be stopped
/// for longer between any two of these lines. What holds is their order, and that the constraint is
/// deleted by the mark that was read first: [`fence`] says why. A handler that has relied on the
/// constraint since has given it another mark.
fn remove(
    runner: &dyn Runner,
    run: &Path,
    config: &Config,
    node: &str,
    id: &str,
) -> Result<(), String> {
    let resource = &config.volume.resource;
    let _lock = lock::take(run, resource, LOCK)?;
    let constraints =
        query::fencing_constraints(runner, resource).map_err(|error| error.to_string())?;
    let drbd = live::drbd(runner, config);
    if !drbd.equal {
        return Err(format!(
            "the copies are not the same any more ({}), so the constraint {id} stays",
            drbd.summary
        ));
    }
    let Some(constraint) = constraints.into_iter().find(|c| c.id == id) else {
        // The handler was quicker.
        return Ok(());
    };
    if constraint.forbids(node) {
        return Err(format!("the constraint {id} is not this node's any more"));
    }
    match fence::remove_and_look(runner, &constraint, CHANGE) {
        Ok(()) => {}
        Err(error @ ChangeError::Renewed) => {
            return Err(format!("the constraint {id} was not taken away: {error}"));
        }
        // No word of how it is done by hand: it may stand because a handler relies on it by now.
        Err(error @ ChangeError::Unknown(_)) => {
            return Err(format!(
                "the constraint {id} was to be taken away, but {error}; it is looked at again"
            ));
        }
        Err(error) => {
            return Err(format!(
                "the constraint {id} could not be taken away ({error}); by hand: `cibadmin --delete \
                 --xml-text '{}'`",
                constraint.name()
            ));
        }
    }
    tracing::info!(
        id,
        "took the constraint away: both copies are the same again"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::{config, drbd};
    use std::cell::{Cell, RefCell};
    use two_node_ha_command::{Call, Exit, Output};
    use two_node_ha_pacemaker::FencingConstraint;

    const ID: &str = "drbd-fence-by-handler-r0-ms";

    /// A CIB with one constraint, and DRBD, to which something happens before a certain call.
    #[derive(Debug)]
    struct Shared {
        constraint: RefCell<Option<FencingConstraint>>,
        /// Whether the copies are connected and the same.
        equal: Cell<bool>,
        calls: RefCell<Vec<String>>,
        /// Before which call it happens.
        at: usize,
        happens: Happens,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Happens {
        Nothing,
        /// The link drops, and the handler gives what stands a new mark, or places it anew.
        Relied,
        /// The same, and the link is up again.
        ReliedAndBack,
    }

    impl Shared {
        fn new(allowed: &str, at: usize, happens: Happens) -> Self {
            Self {
                constraint: RefCell::new(Some(FencingConstraint::new("r0", "ms", allowed))),
                equal: Cell::new(true),
                calls: RefCell::default(),
                at,
                happens,
            }
        }

        fn happen(&self) {
            if self.happens == Happens::Nothing {
                return;
            }
            self.equal.set(self.happens == Happens::ReliedAndBack);
            let handlers = FencingConstraint::new("r0", "ms", "haone").marked();
            self.constraint.replace(Some(handlers));
        }

        fn world(&self) -> two_node_ha_command::scripted::Scripted {
            match self.equal.get() {
                true => drbd("Primary", "no", "Connected", "Established", "UpToDate"),
                false => drbd("Primary", "no", "Connecting", "Off", "DUnknown"),
            }
        }

        fn deleted(&self) -> bool {
            let calls = self.calls.borrow();
            calls
                .iter()
                .any(|call| call.starts_with("cibadmin --delete"))
        }
    }

    impl Runner for Shared {
        fn run(&self, call: &Call) -> Result<Output, two_node_ha_command::Error> {
            if self.calls.borrow().len() == self.at {
                self.happen();
            }
            let line = call.to_string();
            self.calls.borrow_mut().push(line.clone());
            let mut constraint = self.constraint.borrow_mut();
            let stdout = if line.starts_with("cibadmin --query") {
                let stands = constraint.as_ref().map(|c| c.element("Promoted"));
                format!("<constraints>{}</constraints>", stands.unwrap_or_default())
            } else if line.starts_with("cibadmin --delete") {
                // As Pacemaker does, which says the same where nothing is found.
                constraint.take_if(|c| line.contains(&format!("--xpath {} ", c.path())));
                String::new()
            } else {
                return self.world().run(call);
            };
            Ok(Output {
                exit: Exit::Code(0),
                stdout: stdout.into_bytes(),
                stderr: Vec::new(),
            })
        }

        fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
            self.world().read(path)
        }
    }

    fn swept(runner: &dyn Runner) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        remove(runner, dir.path(), &config(), "haone", ID)
    }

    #[test]
    fn a_constraint_is_taken_away_only_while_both_copies_are_the_same() {
        let shared = Shared::new("haone", 0, Happens::Nothing);
        assert_eq!(swept(&shared), Ok(()));
        assert!(shared.constraint.borrow().is_none(), "{shared:?}");
        // One that is gone already is taken away.
        assert_eq!(swept(&shared), Ok(()));
        for (replication, peer) in [
            ("SyncSource", "Inconsistent"),
            ("Established", "Outdated"),
            ("WFBitMapS", "UpToDate"),
            ("Off", "DUnknown"),
        ] {
            let constraint = FencingConstraint::new("r0", "ms", "haone").element("Promoted");
            let runner = drbd("Primary", "no", "Connected", replication, peer).answer(
                "cibadmin --query",
                0,
                format!("<constraints>{constraint}</constraints>"),
            );
            // It knows no other call.
            assert!(
                swept(&runner)
                    .unwrap_err()
                    .contains("not the same any more")
            );
        }
    }

    /// A CIB that cannot be read once something was deleted.
    #[derive(Debug)]
    struct Mute(Shared);

    impl Runner for Mute {
        fn run(&self, call: &Call) -> Result<Output, two_node_ha_command::Error> {
            let mute = self.0.deleted() && call.to_string().starts_with("cibadmin --query");
            let output = self.0.run(call)?;
            Ok(Output {
                exit: if mute { Exit::Code(1) } else { output.exit },
                ..output
            })
        }

        fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
            self.0.read(path)
        }
    }

    #[test]
    fn nobody_is_told_to_delete_by_hand_what_a_handler_may_rely_on_by_now() {
        let mute = Mute(Shared::new("haone", 0, Happens::Nothing));
        let why = swept(&mute).unwrap_err();
        assert!(why.contains("whether it is gone is not known"), "{why}");
        assert!(!why.contains("--delete"), "{why}");
    }

    #[test]
    fn the_peers_constraint_is_left_to_the_peer() {
        let shared = Shared::new("hatwo", 0, Happens::Nothing);
        assert!(swept(&shared).unwrap_err().contains("not this node's"));
        assert!(!shared.deleted(), "{shared:?}");
    }

    #[test]
    fn wherever_the_agent_was_stopped_a_constraint_that_is_relied_on_since_stays() {
        let undisturbed = Shared::new("haone", 0, Happens::Nothing);
        swept(&undisturbed).unwrap();
        let calls = undisturbed.calls.borrow().len();
        let delete = |call: &String| call.starts_with("cibadmin --delete");
        let delete = undisturbed.calls.borrow().iter().position(delete).unwrap();
        let mut renewed = 0;
        for at in 0..=delete {
            for happens in [Happens::Relied, Happens::ReliedAndBack] {
                let shared = Shared::new("haone", at, happens);
                let result = swept(&shared);
                let stands = shared.constraint.borrow().is_some();
                // Before it was read for the first time, and the copies are the same again: that may
                // go.
                let may_go = at == 0 && happens == Happens::ReliedAndBack;
                assert_eq!(stands, !may_go, "{result:?} {shared:?}");
                assert_eq!(result.is_ok(), may_go, "{result:?} {shared:?}");
                renewed += usize::from(result.is_err_and(|why| why.contains("renewed")));
            }
        }
        assert!(renewed >= 3, "{renewed}");
        // After the delete it is placed anew, and that is said.
        for at in delete + 1..calls {
            let shared = Shared::new("haone", at, Happens::Relied);
            assert!(swept(&shared).unwrap_err().contains("placed anew"));
            assert!(shared.constraint.borrow().is_some());
        }
    }
}
