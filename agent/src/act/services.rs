//! The snap's services: named one by one, and never started without the token.

use std::time::Duration;

use two_node_ha_command::Interrupt;
use two_node_ha_disk as disk;
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Contents, Known, LinkTarget};

use super::guard::Pin;
use super::{Actor, Error, Outcome, Progress};
use crate::k8s::gated_units;
use crate::observe::live;
use crate::systemd::{self, UnitState, Units};

/// How long a service may take to stop; the snap's own limit is 30 s, then systemd kills it.
const STOP: Duration = Duration::from_secs(60);
/// How long the start job of a service that writes a database may take.
const START: Duration = Duration::from_secs(60);
/// How long the others are waited for. Their jobs go on; it only has to be known whether they were
/// refused or have failed.
const START_OTHERS: Duration = Duration::from_secs(20);

impl Actor {
    /// Takes the token away, kills k8s-dqlite and stops every service.
    pub(super) fn stop_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        let token = self.paths.token();
        // One that cannot be taken away is no reason to leave the databases running: they are killed
        // first, and that it is still there is said then.
        let taken =
            disk::remove_file_if_there(&token).map_err(Error::io("taking away the token", &token));
        // I4: on SIGTERM k8s-dqlite would hand the voter role to the spare, off the volume. A
        // kill is as safe as a power cut, for which dqlite is made. Without the token its
        // Restart= does not bring it back.
        self.systemd.kill(&self.config.k8s.unit("k8s-dqlite"));
        let mut units = self.there(|state| state != UnitState::Stopped)?;
        units.reverse();
        progress("stopping the k8s services");
        self.systemd
            .stop(&units, STOP, &mut || progress("stopping the k8s services"))?;
        taken?;
        self.services_stopped()?;
        tracing::info!(services = units.join(" "), "the k8s services are stopped");
        Ok(Outcome::Done)
    }

    /// Gives the token and starts every service of the snap that is there.
    pub(super) fn start_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        // Until they have been started the volume stays what it was looked at as.
        let mut pins = Vec::new();
        for database in Database::ALL {
            pins.extend(self.may_start(database)?);
        }
        let token = self.paths.token();
        disk::atomic::replace_with_mode(&token, b"", 0o644)
            .map_err(Error::io("giving the token", &token))?;
        let (databases, others) = self.by_kind(self.there(|state| state != UnitState::Active)?);
        let units = (&*databases, &*others);
        start_all(&*self.systemd, units, &self.interrupt, progress)?;
        Ok(Outcome::Done)
    }

    /// The services that write a database, and the others, each in the order of their start.
    fn by_kind(&self, units: Vec<String>) -> (Vec<String>, Vec<String>) {
        let k8s = &self.config.k8s;
        units.into_iter().partition(|unit| {
            k8s.datastore_services
                .iter()
                .any(|service| k8s.unit(service) == *unit)
        })
    }

    /// I2 and I6: the database that would be opened is the one that was meant.
    ///
    /// A pause between this and the start, or the token, is harmless by the gate of each database, which
    /// asks systemd's own start the same of the kernel (`crate::gate`); until then the volume is pinned.
    fn may_start(&self, database: Database) -> Result<Option<Pin>, Error> {
        let found = live::directories(&self.paths, &self.config, database, true);
        let (holds, pin) = match &found.leads {
            LinkTarget::ToVolume => {
                let pin = self.volume_mounted()?;
                self.taken_over()?;
                (&found.volume, Some(pin))
            }
            LinkTarget::ToSpare => {
                if self.volume_mounted().is_ok() {
                    return Err(Error::Guard(format!(
                        "{database} leads to the spare directory while the volume is mounted here"
                    )));
                }
                (&found.spare, None)
            }
            LinkTarget::Nowhere | LinkTarget::Directory | LinkTarget::Elsewhere(_) => {
                return Err(Error::Guard(format!(
                    "the state directory of {database} is not a link of ours ({:?})",
                    found.leads
                )));
            }
        };
        match holds {
            Contents::Database => Ok(pin),
            Contents::Waiting if found.leads == LinkTarget::ToSpare => Ok(pin),
            Contents::Missing | Contents::IdentityOnly | Contents::Waiting => {
                Err(Error::Guard(format!(
                    "there is no database of {database} where its link leads; a start could make an \
                 empty one"
                )))
            }
            Contents::Trap(why) => Err(Error::Guard(format!(
                "{database} must not be started: {why}"
            ))),
        }
    }

    /// I7: a database that runs has left the copy behind that an interrupted takeover would be put
    /// back to.
    fn taken_over(&self) -> Result<(), Error> {
        match self.read_epoch() {
            Known::Present(epoch) if epoch.complete() && epoch.owner == self.node.name => Ok(()),
            found => Err(Error::Guard(format!(
                "the databases on the volume are not all this node's yet ({found:?})"
            ))),
        }
    }

    /// The units that exist here and whose state is asked for.
    fn there(&self, wanted: impl Fn(UnitState) -> bool) -> Result<Vec<String>, Error> {
        let units = gated_units(&self.config);
        let states = self.systemd.states(&units)?;
        Ok(units
            .into_iter()
            .filter(|unit| {
                states
                    .get(unit)
                    .is_some_and(|state| *state != UnitState::NotThere && wanted(*state))
            })
            .collect())
    }
}

/// Starts both kinds. The role is the databases' alone: what else the snap runs may fail here as it
/// may on the other node, and a voter is not given up for a kubelet.
fn start_all(
    systemd: &dyn Units,
    (databases, others): (&[String], &[String]),
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<(), Error> {
    let text = "starting the services that hold the databases";
    progress(text);
    systemd.start(databases, START, interrupt, &mut || progress(text))?;
    tracing::info!(
        services = databases.join(" "),
        "the services that hold the databases are started"
    );
    let text = "starting the other k8s services";
    progress(text);
    match systemd.start(others, START_OTHERS, interrupt, &mut || progress(text)) {
        Err(error @ systemd::Error::Interrupted { .. }) => return Err(error.into()),
        Ok(()) => tracing::info!(
            services = others.join(" "),
            "the other k8s services are started"
        ),
        Err(error) => tracing::warn!(
            "not every k8s service has started, and none that holds a database is among those: \
             {error}"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;
    use std::fs;
    use std::rc::Rc;
    use std::time::Duration;

    use two_node_ha_node::database::raft_directory;
    use two_node_ha_planner::record::Epoch;
    use two_node_ha_planner::{Database, Step, Target};

    use super::start_all;
    use crate::act::tests::{NOTHING, Node, WRITABLE};
    use crate::systemd::{Error as SystemdError, UnitState, Units};
    use crate::systemd_as_told::AsTold;
    use two_node_ha_command::Interrupt;

    #[test]
    fn a_service_that_writes_no_database_and_does_not_start_fails_no_voter() {
        let (databases, others) = (["k8sd", "k8s-dqlite"], ["containerd", "kubelet"]);
        let owned = |units: &[&str]| {
            units
                .iter()
                .map(|&unit| unit.to_owned())
                .collect::<Vec<_>>()
        };
        for (fails, matters) in [
            ("nothing", false),
            ("k8s-dqlite", true),
            ("k8sd", true),
            ("containerd", false),
            ("kubelet", false),
        ] {
            let systemd = AsTold {
                slow: Some(fails),
                ..AsTold::default()
            };
            let (databases, others) = (owned(&databases), owned(&others));
            let units = (&*databases, &*others);
            let started = start_all(&systemd, units, &Interrupt::default(), &mut |_| {});
            assert_eq!(started.is_err(), matters, "{fails}");
            if !matters {
                let all = ["k8sd", "k8s-dqlite", "containerd", "kubelet"];
                assert_eq!(*systemd.started.borrow(), all);
            }
        }
    }

    /// A systemd whose units run until they are stopped, and which notes what is asked of it.
    #[derive(Debug, Clone, Default)]
    struct Runs {
        asked: Rc<RefCell<Vec<String>>>,
        stopped: Rc<Cell<bool>>,
    }

    impl Units for Runs {
        fn states(&self, units: &[String]) -> Result<HashMap<String, UnitState>, SystemdError> {
            let state = if self.stopped.get() {
                UnitState::Stopped
            } else {
                UnitState::Active
            };
            Ok(units.iter().map(|unit| (unit.clone(), state)).collect())
        }

        fn start(
            &self,
            _: &[String],
            _: Duration,
            _: &Interrupt,
            _: &mut dyn FnMut(),
        ) -> Result<(), SystemdError> {
            panic!("nobody asked for it")
        }

        fn stop(
            &self,
            units: &[String],
            _: Duration,
            _: &mut dyn FnMut(),
        ) -> Result<(), SystemdError> {
            let stops = units.iter().map(|unit| format!("stop {unit}"));
            self.asked.borrow_mut().extend(stops);
            self.stopped.set(true);
            Ok(())
        }

        fn kill(&self, unit: &str) {
            self.asked.borrow_mut().push(format!("kill {unit}"));
        }

        fn shutting_down(&self) -> bool {
            false
        }
    }

    #[test]
    fn the_services_are_stopped_whether_the_token_is_there_or_gone_or_cannot_be_taken_away() {
        for (token, removable) in [(true, true), (false, true), (true, false)] {
            let mut node = Node::new(WRITABLE);
            let path = node.actor.paths.token();
            match (token, removable) {
                (true, true) => node.give_token(),
                (false, _) => {}
                // rmdir(2) is not what removes it.
                (true, false) => fs::create_dir(&path).unwrap(),
            }
            let runs = Runs::default();
            node.actor.systemd = Box::new(runs.clone());
            let stopped = node.actor.take(&Step::StopServices, &mut |_| {});
            assert!(runs.stopped.get(), "token {token}, removable {removable}");
            assert_eq!(path.exists(), !removable);
            let k8s = &node.actor.config.k8s;
            let asked = runs.asked.borrow();
            assert_eq!(asked[0], format!("kill {}", k8s.unit("k8s-dqlite")));
            let mut backwards = k8s.services.clone();
            backwards.reverse();
            let backwards: Vec<_> = backwards
                .iter()
                .map(|service| format!("stop {}", k8s.unit(service)))
                .collect();
            assert_eq!(asked[1..], backwards);
            match stopped {
                Ok(_) => assert!(removable),
                Err(error) => {
                    let why = error.to_string();
                    assert!(!removable && why.contains("taking away the token"), "{why}");
                }
            }
        }
    }

    #[test]
    fn the_services_that_write_a_database_are_told_from_the_others_in_the_order_of_their_start() {
        let node = Node::new(NOTHING);
        let units = |services: &[&str]| -> Vec<String> {
            let unit = |service: &&str| node.actor.config.k8s.unit(service);
            services.iter().map(unit).collect()
        };
        let all = units(&["kubelet", "k8sd", "containerd", "k8s-dqlite"]);
        assert_eq!(
            node.actor.by_kind(all),
            (
                units(&["k8sd", "k8s-dqlite"]),
                units(&["kubelet", "containerd"])
            )
        );
    }

    #[test]
    fn a_member_that_waits_for_its_first_log_is_started_as_the_spare_and_never_as_the_voter() {
        for target in [Target::Spare, Target::Volume] {
            let mounts = if target == Target::Volume {
                WRITABLE
            } else {
                NOTHING
            };
            let mut node = Node::new(mounts);
            node.record(&Epoch::first("haone"));
            node.lead_all(target);
            for database in Database::ALL {
                for directory in [node.spare(database), node.volume(database)] {
                    fs::remove_file(raft_directory(database, &directory).join("metadata1"))
                        .unwrap();
                }
            }
            match target {
                Target::Spare => {
                    node.actor.take(&Step::StartServices, &mut |_| {}).unwrap();
                    assert!(!node.systemd.started.borrow().is_empty());
                }
                Target::Volume => {
                    let why = node.refused(&Step::StartServices);
                    assert!(why.contains("there is no database of"), "{why}");
                }
            }
        }
    }
}
