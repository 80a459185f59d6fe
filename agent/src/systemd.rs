//! The door to systemd: units are started, stopped and killed by name over D-Bus, and their
//! changes arrive as signals, so that nothing is polled.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use two_node_ha_command::Interrupt;
use zbus::blocking::fdo::DBusProxy;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::Type;
use zbus::zvariant::OwnedObjectPath;

/// SIGKILL, as KillUnit takes it.
const SIGKILL: i32 = 9;

/// Why systemd did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus, or systemd's answer on it.
    #[error("{action} {unit} over D-Bus: {source}")]
    Bus {
        /// What was asked.
        action: &'static str,
        /// Of which unit.
        unit: String,
        /// What the bus said.
        source: zbus::Error,
    },
    /// The job ended otherwise than `done`.
    #[error("{action} {unit}: systemd says {result:?}; see `journalctl -u {unit}`")]
    Job {
        /// `start` or `stop`.
        action: &'static str,
        /// The unit.
        unit: String,
        /// systemd's word (org.freedesktop.systemd1(5), JobRemoved).
        result: String,
    },
    /// What the units were started for is wanted no more. Their jobs go on.
    #[error("{action} {unit} was given up")]
    Interrupted {
        /// `start`.
        action: &'static str,
        /// The first unit that was still waited for.
        unit: String,
    },
    /// The job did not end in time.
    #[error("{action} {unit}: not done after {} s; see `systemctl list-jobs` and `journalctl -u {unit}`", waited.as_secs())]
    Slow {
        /// `start` or `stop`.
        action: &'static str,
        /// The unit.
        unit: String,
        /// How long it was waited for.
        waited: Duration,
    },
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1",
    gen_async = false
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// Never announced by a signal, so never to be cached (org.freedesktop.systemd1(5)).
    #[zbus(property(emits_changed_signal = "false"))]
    fn system_state(&self) -> zbus::Result<String>;
    #[allow(clippy::type_complexity)]
    fn list_units_by_names(&self, names: &[&str]) -> zbus::Result<Vec<ListedUnit>>;
}

/// One row of ListUnitsByNames: name, description, load, active and sub state, followed unit,
/// path, job id, type and path.
type ListedUnit = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// A unit's state, reduced to what decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// There is no such unit, or it is masked.
    NotThere,
    /// Not running, and nothing will start it by itself.
    Stopped,
    /// The same, because it ended with an error once too often.
    Failed,
    /// Running.
    Active,
    /// On the way up or down, or waiting for its restart.
    Changing,
}

/// What the signals' thread has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A watched unit changed.
    Changed,
    /// The bus is gone, and nothing will ever be heard again.
    Lost,
}

/// What the agent asks of systemd: narrow, so that everything decided on the answers can be run
/// without a bus.
pub trait Units: std::fmt::Debug {
    /// The state of each unit, in one question.
    ///
    /// # Errors
    /// When systemd does not answer.
    fn states(&self, units: &[String]) -> Result<HashMap<String, UnitState>, Error>;

    /// Starts the units, one job each, and waits for all of them, unless `interrupt` is raised; `alive`
    /// is called now and then. Within no time at all the jobs are only asked for, and [`Error::Slow`] is no
    /// news.
    ///
    /// # Errors
    /// The first job that failed or was too slow; the others were started all the same.
    fn start(
        &self,
        units: &[String],
        within: Duration,
        interrupt: &Interrupt,
        alive: &mut dyn FnMut(),
    ) -> Result<(), Error>;

    /// Stops the units, one job each, and waits for all of them.
    ///
    /// # Errors
    /// As [`Units::start`].
    fn stop(
        &self,
        units: &[String],
        within: Duration,
        alive: &mut dyn FnMut(),
    ) -> Result<(), Error>;

    /// Kills every process of the unit at once. A unit without processes is fine.
    fn kill(&self, unit: &str);

    /// Whether the machine is on its way down. A manager that does not answer is taken to be up:
    /// the step that follows will say what is wrong.
    fn shutting_down(&self) -> bool;
}

/// The door to the real one.
pub struct Systemd {
    manager: ManagerProxy<'static>,
    jobs: Receiver<(OwnedObjectPath, String)>,
}

impl std::fmt::Debug for Systemd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Systemd")
    }
}

impl Systemd {
    /// Connects to the system bus and subscribes to jobs and to changes of `watched` units, each
    /// of which calls `heard` from a thread of its own, and so does the end of the connection.
    ///
    /// # Errors
    /// When the bus or systemd does not answer.
    pub fn connect(
        watched: &[String],
        heard: impl Fn(Heard) + Send + 'static,
    ) -> Result<Self, Error> {
        let setup = |source: zbus::Error| Error::Bus {
            action: "connecting to",
            unit: "systemd".into(),
            source,
        };
        let connection = Connection::system().map_err(setup)?;
        let manager = ManagerProxy::new(&connection).map_err(setup)?;
        manager.subscribe().map_err(setup)?;
        // A connection of its own for the signals: its queue is drained by one thread only.
        let signals = Connection::system().map_err(setup)?;
        ManagerProxy::new(&signals)
            .map_err(setup)?
            .subscribe()
            .map_err(setup)?;
        let bus = DBusProxy::new(&signals).map_err(setup)?;
        let sender = "sender='org.freedesktop.systemd1',type='signal'";
        let mut rules = vec![format!(
            "{sender},interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
        )];
        for unit in watched {
            let path = manager.load_unit(unit).map_err(setup)?;
            rules.push(format!(
                "{sender},interface='org.freedesktop.DBus.Properties',\
                 member='PropertiesChanged',path='{}'",
                path.as_str()
            ));
        }
        for rule in &rules {
            let rule = zbus::MatchRule::try_from(rule.as_str()).map_err(setup)?;
            bus.add_match_rule(rule)
                .map_err(|error| setup(error.into()))?;
        }
        let (send, jobs) = channel();
        std::thread::Builder::new()
            .name("dbus".into())
            .spawn(move || listen(&signals, &send, &heard))
            .map_err(|error| setup(zbus::Error::InputOutput(std::sync::Arc::new(error))))?;
        Ok(Self { manager, jobs })
    }
}

impl Units for Systemd {
    fn states(&self, units: &[String]) -> Result<HashMap<String, UnitState>, Error> {
        let names: Vec<&str> = units.iter().map(String::as_str).collect();
        let listed = self
            .manager
            .list_units_by_names(&names)
            .map_err(|source| Error::Bus {
                action: "asking for the state of",
                unit: units.join(" "),
                source,
            })?;
        Ok(listed
            .into_iter()
            .map(|(name, _, load, active, ..)| {
                let state = match (load.as_str(), active.as_str()) {
                    ("not-found" | "masked", "inactive" | "failed") => UnitState::NotThere,
                    (_, "inactive") => UnitState::Stopped,
                    (_, "failed") => UnitState::Failed,
                    (_, "active") => UnitState::Active,
                    _ => UnitState::Changing,
                };
                (name, state)
            })
            .collect())
    }

    fn start(
        &self,
        units: &[String],
        within: Duration,
        interrupt: &Interrupt,
        alive: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        for unit in units {
            // A unit that failed too often would refuse (start-limit); whether it may run is
            // decided here, once, and not by its history. It may not be loaded at all.
            let _ = self.manager.reset_failed_unit(unit);
        }
        let wait = Wait {
            jobs: &self.jobs,
            within,
            interrupt: Some(interrupt),
        };
        run("start", units, wait, alive, |unit| {
            self.manager.start_unit(unit, "replace")
        })
    }

    fn stop(
        &self,
        units: &[String],
        within: Duration,
        alive: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        let wait = Wait {
            jobs: &self.jobs,
            within,
            interrupt: None,
        };
        run("stop", units, wait, alive, |unit| {
            self.manager.stop_unit(unit, "replace")
        })
    }

    fn kill(&self, unit: &str) {
        if let Err(error) = self.manager.kill_unit(unit, "all", SIGKILL) {
            tracing::debug!(unit, %error, "nothing to kill");
        }
    }

    fn shutting_down(&self) -> bool {
        match self.manager.system_state() {
            Ok(state) => state == "stopping",
            Err(error) => {
                tracing::debug!(%error, "systemd did not say in what state the machine is");
                false
            }
        }
    }
}

/// How jobs are waited for.
struct Wait<'a> {
    jobs: &'a Receiver<(OwnedObjectPath, String)>,
    within: Duration,
    interrupt: Option<&'a Interrupt>,
}

/// How often whoever waits says that it is alive.
const ALIVE: Duration = Duration::from_secs(2);
/// How often it looks whether it still has to.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Asks for one job per unit and waits for all of them.
fn run(
    action: &'static str,
    units: &[String],
    wait: Wait<'_>,
    alive: &mut dyn FnMut(),
    ask: impl Fn(&str) -> zbus::Result<OwnedObjectPath>,
) -> Result<(), Error> {
    let Wait {
        jobs,
        within,
        interrupt,
    } = wait;
    // What ended before is of no interest.
    while jobs.try_recv().is_ok() {}
    let mut pending: HashMap<OwnedObjectPath, &String> = HashMap::new();
    let mut failed = None;
    for unit in units {
        match ask(unit) {
            Ok(job) => drop(pending.insert(job, unit)),
            // One that is refused, as a masked unit is, does not keep the others from it.
            Err(source) => {
                failed.get_or_insert(Error::Bus {
                    action,
                    unit: unit.clone(),
                    source,
                });
            }
        }
    }
    let deadline = Instant::now() + within;
    let mut told = Instant::now();
    while !pending.is_empty() {
        if interrupt.is_some_and(Interrupt::is_set) {
            let unit = pending.into_values().next().cloned().unwrap_or_default();
            return Err(Error::Interrupted { action, unit });
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let nap = if interrupt.is_some() { LOOK_UP } else { ALIVE };
        match jobs.recv_timeout(left.min(nap)) {
            Ok((job, result)) => {
                if let Some(unit) = pending.remove(&job) {
                    if result != "done" && failed.is_none() {
                        failed = Some(Error::Job {
                            action,
                            unit: unit.clone(),
                            result,
                        });
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                let unit = pending.into_values().next().cloned().unwrap_or_default();
                // One that was refused is the better news.
                return Err(failed.unwrap_or(Error::Slow {
                    action,
                    unit,
                    waited: within,
                }));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Bus {
                    action,
                    unit: units.join(" "),
                    source: zbus::Error::Failure("the bus connection was lost".into()),
                });
            }
        }
        if told.elapsed() >= ALIVE {
            told = Instant::now();
            alive();
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Sorts the signals: jobs to who waits for them, changes to who decides.
fn listen(
    connection: &Connection,
    jobs: &Sender<(OwnedObjectPath, String)>,
    heard: &dyn Fn(Heard),
) {
    for message in MessageIterator::from(connection.clone()) {
        let Ok(message) = message else { break };
        let header = message.header();
        if header.message_type() != Type::Signal {
            continue;
        }
        match header.member().map(|member| member.as_str()) {
            Some("JobRemoved") => {
                let body = message.body();
                if let Ok((_, job, _, result)) =
                    body.deserialize::<(u32, OwnedObjectPath, String, String)>()
                {
                    // Nobody waits any more when the agent ends.
                    let _ = jobs.send((job, result));
                }
            }
            Some("PropertiesChanged") => heard(Heard::Changed),
            _ => {}
        }
    }
    tracing::error!("the connection to D-Bus was lost");
    heard(Heard::Lost);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_refused_keeps_no_other_from_being_asked_for() {
        let (send, jobs) = channel();
        let units = ["masked", "first", "second"].map(str::to_owned);
        let path = |unit: &str| OwnedObjectPath::try_from(format!("/job/{unit}")).unwrap();
        let asked = std::cell::RefCell::new(Vec::new());
        let ask = |unit: &str| {
            asked.borrow_mut().push(unit.to_owned());
            if unit == "masked" {
                return Err(zbus::Error::Failure("Unit is masked".into()));
            }
            send.send((path(unit), "done".to_owned())).unwrap();
            Ok(path(unit))
        };
        let wait = Wait {
            jobs: &jobs,
            within: Duration::from_secs(20),
            interrupt: None,
        };
        let error = run("stop", &units, wait, &mut || {}, ask).unwrap_err();
        assert!(error.to_string().contains("Unit is masked"), "{error}");
        assert_eq!(*asked.borrow(), units);
    }
    #[test]
    fn a_start_that_takes_long_gives_way_to_a_release_at_once() {
        let (_send, jobs) = channel();
        let units = ["k8s-dqlite".to_owned()];
        let interrupt = Interrupt::default();
        let raised = interrupt.clone();
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            raised.set(true);
        });
        let wait = Wait {
            jobs: &jobs,
            within: Duration::from_secs(3600),
            interrupt: Some(&interrupt),
        };
        let ask = |_: &str| Ok(OwnedObjectPath::try_from("/job/1").unwrap());
        let given_up = run("start", &units, wait, &mut || {}, ask);
        assert!(matches!(given_up, Err(Error::Interrupted { .. })));
        later.join().unwrap();
    }
}
