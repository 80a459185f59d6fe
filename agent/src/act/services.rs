//! The snap's services: named one by one, and never started without the token.

use std::time::Duration;

use two_node_ha_command::Interrupt;
use two_node_ha_disk as disk;
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Contents, Known, LinkTarget};

use super::guard::Pin;
use super::{Actor, Error, Outcome, Progress};
use crate::k8s::{datastore_units, gated_units};
use crate::observe::live;
use crate::systemd::{self, UnitState, Units};

/// How long a service may take to stop; the snap's own limit is 30 s, then systemd kills it.
const STOP: Duration = Duration::from_secs(60);
/// How long the start job of the datastore may take.
const START: Duration = Duration::from_secs(60);
/// The jobs are asked for and go on by themselves; how the units stand is seen later.
const NOT_AT_ALL: Duration = Duration::ZERO;

impl Actor {
    /// Takes the token away, kills k8s-dqlite and stops what else writes a database.
    ///
    /// The others are not in the way of anything that is done to the databases. On a spare they stay up: all
    /// that its API server has ever served came from the voter, whose volume this node is about to have, and
    /// it finds the datastore's socket again by its path, some ten seconds sooner than a new one would.
    /// Without a datastore it answers with errors. What has failed meanwhile cannot come back before the
    /// token does, and is started with the datastore.
    ///
    /// Where this node leaves the volume they are stopped as well: what their caches hold of it may be
    /// discarded after a split brain, and a controller that goes by such a cache deletes what is still
    /// wanted. But nobody waits for that: Pacemaker waits for the volume, which none of them has open, and
    /// a start that is asked for in the meantime comes after their end.
    pub(super) fn stop_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        let token = self.paths.token();
        // One that cannot be taken away is no reason to leave the databases running: they are killed
        // first, and that it is still there is said then.
        let taken =
            disk::remove_file_if_there(&token).map_err(Error::io("taking away the token", &token));
        // I4: on SIGTERM k8s-dqlite would hand the voter role to the spare, off the volume. A
        // kill is as safe as a power cut, for which dqlite is made. Without the token its
        // Restart= does not bring it back.
        self.systemd
            .kill(&self.config.k8s.unit(Database::K8sDqlite.name()));
        let runs = |state| match state {
            UnitState::NotThere | UnitState::Stopped | UnitState::Failed => false,
            UnitState::Active | UnitState::Changing => true,
        };
        let text = "stopping the services that write the databases";
        progress(text);
        let mut databases = self.those(datastore_units(&self.config), runs)?;
        databases.reverse();
        self.systemd
            .stop(&databases, STOP, &mut || progress(text))?;
        let others = self.stop_others(&databases, runs, progress);
        taken?;
        self.services_stopped()?;
        others?;
        tracing::info!(
            services = databases.join(" "),
            "the services that write the databases are stopped"
        );
        Ok(Outcome::Done)
    }

    /// Stops the services that write no database, unless this node is a spare. They are waited for only
    /// where no database had to be stopped with them: then nobody waits for this node.
    fn stop_others(
        &self,
        databases: &[String],
        runs: impl Fn(UnitState) -> bool,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let is_spare = Database::ALL.into_iter().all(|database| {
            live::leads(&self.paths, &self.config, database) == LinkTarget::ToSpare
        });
        if is_spare {
            return Ok(());
        }
        let mut others = self.those(self.other_units(), runs)?;
        others.reverse();
        if databases.is_empty() {
            let text = "stopping the other k8s services";
            progress(text);
            return Ok(self.systemd.stop(&others, STOP, &mut || progress(text))?);
        }
        match self.systemd.stop(&others, NOT_AT_ALL, &mut || {}) {
            Ok(()) | Err(systemd::Error::Slow { .. }) => {}
            Err(error) => tracing::warn!(
                "not every k8s service can be stopped, and none that writes a database is among \
                 those: {error}"
            ),
        }
        Ok(())
    }

    /// Gives the token, starts the datastore, and has every other service of the snap started.
    pub(super) fn start_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        // The volume stays what it was looked at as until the datastore has been started.
        let mut pins = Vec::new();
        for database in Database::ALL {
            pins.extend(self.may_start(database)?);
        }
        let token = self.paths.token();
        disk::atomic::replace_with_mode(&token, b"", 0o644)
            .map_err(Error::io("giving the token", &token))?;
        let datastore = vec![self.config.k8s.unit(Database::K8sDqlite.name())];
        let datastore = self.those(datastore, |state| state != UnitState::Active)?;
        let rest = self.those(self.beside_the_datastore(), |state| {
            state != UnitState::Active
        })?;
        let k8sd = self.config.k8s.unit(Database::K8sd.name());
        let stands = |state| matches!(state, UnitState::Stopped | UnitState::Failed);
        if !self.those(vec![k8sd], stands)?.is_empty() {
            self.mend_before_start();
        }
        let units = (&*datastore, &*rest);
        start_all(&*self.systemd, units, &self.interrupt, progress)?;
        Ok(Outcome::Done)
    }

    /// Has those started that do not run although they may; the datastore runs.
    pub(super) fn start_rest(&self) -> Result<Outcome, Error> {
        if !self.paths.token().exists() {
            return Err(Error::Guard(
                "the services are not allowed to start any more".into(),
            ));
        }
        let mut pins = Vec::new();
        for database in Database::ALL {
            pins.extend(self.may_start(database)?);
        }
        let mut units = gated_units(&self.config);
        units.extend(datastore_units(&self.config));
        let states = self.systemd.states(&units)?;
        let down = live::down(&self.config, &states);
        if down.contains(Database::K8sd.name()) {
            self.mend_before_start();
        }
        let units: Vec<String> = down.iter().map(|name| self.config.k8s.unit(name)).collect();
        ask_to_start(&*self.systemd, &units, &self.interrupt)?;
        Ok(Outcome::Done)
    }

    /// The units of every service but the datastore, those that write a database first.
    fn beside_the_datastore(&self) -> Vec<String> {
        let mut units: Vec<String> = datastore_units(&self.config).into_iter().skip(1).collect();
        units.extend(self.other_units());
        units
    }

    /// The units of those that write no database, in the order of their start.
    fn other_units(&self) -> Vec<String> {
        let writers = datastore_units(&self.config);
        let all = gated_units(&self.config).into_iter();
        all.filter(|unit| !writers.contains(unit)).collect()
    }

    /// I2 and I6: the database that would be opened is the one that was meant.
    ///
    /// A pause between this and the start, or the token, is harmless by the gate of each database, which
    /// asks systemd's own start the same of the kernel (`crate::gate`). Until the datastore's the volume is
    /// pinned; k8sd's start, which nobody waits for, has the gate alone.
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

    /// Those of the units that exist here and whose state is asked for.
    fn those(
        &self,
        units: Vec<String>,
        wanted: impl Fn(UnitState) -> bool,
    ) -> Result<Vec<String>, Error> {
        let states = self.systemd.states(&units)?;
        let there = |unit: &String| {
            let state = states.get(unit).copied().unwrap_or(UnitState::NotThere);
            state != UnitState::NotThere && wanted(state)
        };
        Ok(units.into_iter().filter(there).collect())
    }
}

/// Starts the datastore, and has the rest started. The role is the datastore's alone: k8sd and whatever
/// else the snap runs may fail here as it may on the other node, and may take its time.
fn start_all(
    systemd: &dyn Units,
    (datastore, rest): (&[String], &[String]),
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<(), Error> {
    let text = "starting the datastore";
    progress(text);
    systemd.start(datastore, START, interrupt, &mut || progress(text))?;
    tracing::info!(services = datastore.join(" "), "the datastore is started");
    ask_to_start(systemd, rest, interrupt)
}

/// Has units started, and waits for none of them: those that do not come up are seen to be down.
fn ask_to_start(systemd: &dyn Units, units: &[String], interrupt: &Interrupt) -> Result<(), Error> {
    match systemd.start(units, NOT_AT_ALL, interrupt, &mut || {}) {
        Err(error @ systemd::Error::Interrupted { .. }) => return Err(error.into()),
        Ok(()) | Err(systemd::Error::Slow { .. }) => tracing::info!(
            services = units.join(" "),
            "systemd was asked to start the other k8s services"
        ),
        Err(error) => tracing::warn!(
            "not every k8s service can be started, and the datastore is not among those: {error}"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::{HashMap, HashSet};
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
    fn the_datastore_is_started_first_and_no_other_service_that_does_not_start_fails_the_voter() {
        let owned = |units: &[&str]| {
            units
                .iter()
                .map(|&unit| unit.to_owned())
                .collect::<Vec<_>>()
        };
        for (fails, matters) in [
            ("nothing", false),
            ("k8s-dqlite", true),
            ("k8sd", false),
            ("containerd", false),
            ("kubelet", false),
        ] {
            let systemd = AsTold {
                slow: Some(fails),
                ..AsTold::default()
            };
            let (datastore, rest) = (owned(&["k8s-dqlite"]), ["k8sd", "containerd", "kubelet"]);
            let units = (&*datastore, &*owned(&rest));
            let started = start_all(&systemd, units, &Interrupt::default(), &mut |_| {});
            assert_eq!(started.is_err(), matters, "{fails}");
            if !matters {
                let all = ["k8s-dqlite", "k8sd", "containerd", "kubelet"];
                assert_eq!(*systemd.started.borrow(), all);
                let waited = systemd.waited.borrow();
                assert!(!waited[0].is_zero(), "for the datastore");
                assert!(waited[1].is_zero(), "for nobody else");
            }
        }
    }

    /// A systemd whose units run until they are stopped, and which notes what is asked of it.
    #[derive(Debug, Clone, Default)]
    struct Runs {
        asked: Rc<RefCell<Vec<String>>>,
        stopped: Rc<RefCell<HashSet<String>>>,
    }

    impl Units for Runs {
        fn states(&self, units: &[String]) -> Result<HashMap<String, UnitState>, SystemdError> {
            let stopped = self.stopped.borrow();
            let state = |unit: &String| match stopped.contains(unit) {
                true => UnitState::Stopped,
                false => UnitState::Active,
            };
            Ok(units.iter().map(|u| (u.clone(), state(u))).collect())
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
            within: Duration,
            _: &mut dyn FnMut(),
        ) -> Result<(), SystemdError> {
            let how = if within.is_zero() {
                "have stopped"
            } else {
                "stop"
            };
            let stops = units.iter().map(|unit| format!("{how} {unit}"));
            self.asked.borrow_mut().extend(stops);
            self.stopped.borrow_mut().extend(units.iter().cloned());
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
    fn the_databases_are_stopped_whether_the_token_is_there_or_gone_or_cannot_be_taken_away() {
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
            assert_eq!(path.exists(), !removable);
            let k8s = &node.actor.config.k8s;
            let (dqlite, k8sd) = (k8s.unit("k8s-dqlite"), k8s.unit("k8sd"));
            let expected = [
                format!("kill {dqlite}"),
                format!("stop {k8sd}"),
                format!("stop {dqlite}"),
            ];
            assert_eq!(
                *runs.asked.borrow(),
                expected,
                "and nothing else of a spare"
            );
            match stopped {
                Ok(_) => assert!(removable),
                Err(error) => {
                    let why = error.to_string();
                    assert!(!removable && why.contains("taking away the token"), "{why}");
                }
            }
        }
    }

    /// What may hold something of a volume in its memory, whose last writes may be discarded.
    #[test]
    fn a_node_that_leaves_the_volume_has_its_other_services_stopped_and_waits_for_none_of_them() {
        for databases_run in [true, false] {
            let mut node = Node::new(WRITABLE);
            node.lead_all(Target::Volume);
            node.give_token();
            let runs = Runs::default();
            let k8s = &node.actor.config.k8s;
            let writers = ["k8sd", "k8s-dqlite"].map(|service| k8s.unit(service));
            if !databases_run {
                runs.stopped.borrow_mut().extend(writers.clone());
            }
            let mut others: Vec<String> = k8s.services.iter().map(|s| k8s.unit(s)).collect();
            others.retain(|unit| !writers.contains(unit));
            others.reverse();
            node.actor.systemd = Box::new(runs.clone());
            node.actor.take(&Step::StopServices, &mut |_| {}).unwrap();
            // Where no database runs nobody is kept waiting.
            let how = if databases_run {
                "have stopped"
            } else {
                "stop"
            };
            let expected: Vec<_> = others.iter().map(|unit| format!("{how} {unit}")).collect();
            let asked = runs.asked.borrow();
            assert!(asked.ends_with(&expected), "{asked:?}");
        }
    }

    #[test]
    fn what_is_down_is_started_again_beside_a_datastore_that_runs_and_nothing_else_is() {
        let mut node = Node::new(WRITABLE);
        node.record(&Epoch::first("haone"));
        node.lead_all(Target::Volume);
        for service in node.actor.config.k8s.services.clone() {
            node.set(&service, UnitState::Active);
        }
        let why = node.refused(&Step::StartRest);
        assert!(why.contains("not allowed to start any more"), "{why}");
        node.give_token();
        node.actor.take(&Step::StartRest, &mut |_| {}).unwrap();
        assert!(node.systemd.started.borrow().is_empty());
        node.set("k8sd", UnitState::Failed);
        node.set("kubelet", UnitState::Failed);
        // By somebody; and by systemd's own Restart=.
        node.set("kube-proxy", UnitState::Stopped);
        node.set("containerd", UnitState::Changing);
        node.actor.take(&Step::StartRest, &mut |_| {}).unwrap();
        let expected = ["k8sd", "kubelet"].map(|service| node.actor.config.k8s.unit(service));
        assert_eq!(*node.systemd.started.borrow(), expected);
        assert!(node.systemd.waited.borrow().iter().all(Duration::is_zero));
        // A k8sd whose database leads to the wrong place.
        node.lead(Database::K8sd, Target::Spare);
        node.systemd.started.borrow_mut().clear();
        let why = node.refused(&Step::StartRest);
        assert!(why.contains("leads to the spare directory"), "{why}");
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
