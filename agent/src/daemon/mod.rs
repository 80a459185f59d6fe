//! The agent: observe, plan, act, and sleep until something happens.
//!
//! Every source of events is a thread that blocks on its own descriptor and sends into one channel. The
//! loop below tells the machine, which decides, and has what it wants done: looks and steps by one
//! worker, the rest at once. So the loop hears, answers and publishes while a step is taken. A settled
//! agent has no timer but systemd's watchdog and, on the voter, the one by which its datastore is read.

mod asking;
mod configuration;
#[cfg(test)]
mod crash;
mod eyes;
#[cfg(test)]
mod given;
mod health;
#[cfg(test)]
mod listening;
mod notify;
mod only;
mod ports;
mod serve;
mod shared;
mod sources;
mod split_brain;
#[cfg(test)]
mod tests;
mod turn;
mod voice;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use asking::{Questions, Threads};
use configuration::Standing;
use health::Watch;
use notify::Notify;
use only::Only;
use ports::Ports;
use shared::Shared;
use two_node_ha_command::{Interrupt, System};
use two_node_ha_config::{Chosen, Config};
use two_node_ha_events::Pending;
use two_node_ha_node::Paths;
use two_node_ha_planner::machine::{Event as Happened, Machine, Moment, Ticket};
use two_node_ha_planner::record::Resolution;
use two_node_ha_planner::split_brain::plan::Step as Resolving;
use two_node_ha_protocol::control::Response;
use voice::Voice;
use work::{Done, Jobs, Worker};

use crate::act::{Actor, FAILOVER_UNIT};
use crate::datastore;
use crate::k8s::gated_units;
use crate::peer::client::Client;
use crate::room;
use crate::store::journal_or_new;
use crate::systemd::{Heard, Systemd};

/// What wakes the loop.
#[derive(Debug)]
pub enum Event {
    /// Something happened that the machine knows what to make of.
    Happened(Happened),
    /// The peer is about to be the voter and asks for the databases to be stopped; the answer goes back
    /// through the channel.
    StopSpare {
        /// The peer, by its own word.
        node: String,
        /// The epoch that the volume has there.
        epoch: u64,
        /// Where the answer goes.
        reply: Sender<Result<(), String>>,
    },
    /// A step of a split brain's resolution is asked for; the answer goes back through the channel.
    Resolve {
        /// The step.
        step: Resolving,
        /// The resolution, as the command has seen it.
        resolution: Box<Resolution>,
        /// Where the answer goes.
        reply: Sender<Result<(), String>>,
    },
    /// A handler of DRBD's has left word. The file stays until it is done with.
    Handler(Box<Pending>),
    /// What the worker is doing, in words: it is alive.
    Progress(String),
    /// The worker has come to the end of its job.
    Done(Done),
    /// The worker is gone: nothing can be seen or done any more.
    WorkerLost,
    /// SIGTERM or SIGINT.
    Terminate,
    /// D-Bus is gone: units can neither be seen nor started any more.
    BusLost,
}

impl From<Happened> for Event {
    fn from(happened: Happened) -> Self {
        Self::Happened(happened)
    }
}

const NO_NODE: &str = "this host is none of the two nodes";

/// What the loop reaches the world through.
struct Doors {
    questions: Box<dyn Questions>,
    jobs: Box<dyn Jobs>,
    ports: Box<dyn Ports>,
    interrupt: Interrupt,
    clock: Clock,
}

/// How long ago the agent started.
type Clock = Box<dyn Fn() -> Moment>;

/// The loop's state.
struct Daemon {
    machine: Machine,
    clock: Clock,
    config: Arc<Config>,
    /// The peer's name.
    peer: String,
    shared: Arc<Shared>,
    questions: Box<dyn Questions>,
    /// Where the worker takes its jobs from, and whether it is at one whose end is waited for.
    jobs: Box<dyn Jobs>,
    busy: bool,
    /// The databases' ports on the peer.
    ports: Box<dyn Ports>,
    /// Raised when the job is wanted no more. The machine decides when that is.
    interrupt: Interrupt,
    events: Receiver<Event>,
    notify: Notify,
    /// The reads of the voter's datastore.
    health: Watch,
    voice: Voice,
    /// Whoever waits for an answer of the machine's.
    waiting: BTreeMap<Ticket, Sender<Result<(), String>>>,
    /// What the handlers have left, until it is done with.
    called: BTreeMap<Ticket, Pending>,
    last_ticket: Ticket,
    /// Set when the loop is to end, with what is to be said of it.
    end: Option<Result<(), String>>,
}

/// Runs until SIGTERM.
///
/// # Errors
/// When the agent cannot even begin: in words, with what to do.
pub fn run(chosen: Chosen, paths: Paths) -> Result<(), String> {
    let standing = Standing::of(&chosen);
    let config = Arc::new(chosen.config);
    let (Some(node), Some(peer)) = (config.this_node().cloned(), config.peer_node().cloned())
    else {
        return Err(NO_NODE.into());
    };
    make_run_directory(&paths.run()).map_err(|why| room::with(why, &paths, &config, false))?;
    // Before anything is changed, and until this process is gone.
    let only = Only::take(&paths)?;
    two_node_ha_disk::private_directory(&paths.state())
        .map_err(|error| format!("creating {}: {error}", paths.state().display()))
        .map_err(|why| room::with(why, &paths, &config, false))?;
    let journal = journal_or_new(&paths.journal(), &node.name).map_err(|e| e.to_string())?;
    if let Some(begun) = journal.in_progress() {
        let step = begun.describe();
        tracing::warn!(
            step,
            "the last agent ended while it was to {step}; looking what is left"
        );
    }
    let (sender, events) = channel();
    sources::signals(sender.clone())?;
    let wake = sender.clone();
    let mut watched = gated_units(&config);
    watched.push(FAILOVER_UNIT.into());
    let systemd = Systemd::connect(&watched, move |heard| {
        // A closed channel means that the loop has ended.
        let _ = wake.send(match heard {
            Heard::Changed => Happened::Changed.into(),
            Heard::Lost => Event::BusLost,
        });
    })
    .map_err(|error| error.to_string())?;
    let ports = ports::start(&config, &paths, (&node, &peer))?;
    let client = Client::new(&config, &peer, &paths);
    let shared = Arc::new(Shared::new(
        Arc::clone(&config),
        paths.clone(),
        node.clone(),
        sender.clone(),
    ));
    serve::start(&shared, &only)?;
    sources::mounts(sender.clone())?;
    let drbd_events = sources::drbd(sender.clone())?;
    sources::hooks(&paths, sender.clone())?;
    // Now that an agent runs with it.
    let trouble = standing.accept(&paths);
    let names = (&node, &peer);
    let questions = Threads::new(&config, client.clone(), &shared, names, sender.clone());
    let datastore = datastore::Local::new(&config, &paths);
    let interrupt = Interrupt::default();
    let began = Instant::now();
    let clock = Box::new(move || began.elapsed());
    let worker = {
        let (config, shared) = (Arc::clone(&config), Arc::clone(&shared));
        let (datastore, interrupt) = (datastore.clone(), interrupt.clone());
        move || {
            let actor = Actor {
                config,
                paths,
                node,
                peer,
                systemd: Box::new(systemd),
                runner: Box::new(System::new()),
                client: Box::new(client.interrupted_by(&interrupt)),
                interrupt,
                datastore: Box::new(datastore),
                journal,
            };
            Worker::new(actor, shared)
        }
    };
    let doors = Doors {
        questions: Box::new(questions),
        jobs: Box::new(work::start(worker, sender.clone())?),
        ports: Box::new(ports),
        interrupt,
        clock,
    };
    let mut daemon = Daemon::new(config, shared, doors, events)?;
    daemon.machine.configuration_trouble(trouble);
    daemon.health.start(Box::new(datastore), move |happened| {
        // A closed channel means that the loop has ended.
        let _ = sender.send(happened.into());
    })?;
    daemon.work();
    daemon.notify.stopping();
    drbd_events.end();
    daemon.end.unwrap_or(Ok(()))
}

impl Daemon {
    fn new(
        config: Arc<Config>,
        shared: Arc<Shared>,
        doors: Doors,
        events: Receiver<Event>,
    ) -> Result<Self, String> {
        let facts = two_node_ha_config::facts(&config);
        let (node, peer) = config.this_node().zip(config.peer_node()).ok_or(NO_NODE)?;
        Ok(Self {
            machine: Machine::new(&node.name, &peer.name, facts),
            clock: doors.clock,
            health: Watch::new(config.agent.health_interval),
            peer: peer.name.clone(),
            config,
            shared,
            questions: doors.questions,
            jobs: doors.jobs,
            busy: false,
            ports: doors.ports,
            interrupt: doors.interrupt,
            events,
            notify: Notify::new(),
            voice: Voice::default(),
            waiting: BTreeMap::new(),
            called: BTreeMap::new(),
            last_ticket: 0,
            end: None,
        })
    }

    /// Until the end, which comes between two jobs: systemd kills an agent whose job takes too long.
    fn work(&mut self) {
        let mut ready = false;
        self.turn();
        while self.end.is_none() || self.busy {
            if !ready && self.machine.rests() {
                ready = true;
                self.notify.ready();
            }
            let until_retry = self
                .machine
                .wakes_at()
                .map(|at| at.saturating_sub((self.clock)()));
            let sleep = [until_retry, self.notify.watchdog_interval()]
                .into_iter()
                .flatten()
                .min()
                // Without a watchdog and a retry there is nothing to wake for.
                .unwrap_or(Duration::from_secs(86_400));
            if !self.hear_one(sleep) {
                break;
            }
            self.turn();
        }
    }

    /// Waits for an event, and hears it; whether there can be another.
    fn hear_one(&mut self, within: Duration) -> bool {
        match self.events.recv_timeout(within) {
            Ok(event) => self.handle(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        // The loop always turns; what may be stuck is the worker. While it is at a job, only its own
        // progress, and the job's end, keep the watchdog quiet: one job may take no longer without a word
        // than `agent.watchdog`.
        if !self.busy {
            self.notify.alive();
        }
        true
    }

    /// One burst of events is one turn.
    fn drain_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = (self.clock)();
        match event {
            Event::Happened(happened) => self.machine.handle(happened, now),
            Event::StopSpare { node, epoch, reply } => {
                let ticket = self.wait(reply);
                let asked = Happened::StopSpare {
                    ticket,
                    node,
                    epoch,
                };
                self.machine.handle(asked, now);
            }
            Event::Resolve {
                step,
                resolution,
                reply,
            } => {
                let ticket = self.wait(reply);
                let asked = Happened::Resolve {
                    ticket,
                    step,
                    resolution,
                };
                self.machine.handle(asked, now);
            }
            Event::Handler(pending) => {
                let event = &pending.event;
                let called = Happened::Handler {
                    ticket: self.ticket(),
                    handler: event.handler.to_string(),
                    wants: sources::wants(event),
                    // One of the future is of a clock that was set back.
                    age: SystemTime::now()
                        .duration_since(event.when())
                        .unwrap_or_default(),
                };
                self.called.insert(self.last_ticket, *pending);
                self.machine.handle(called, now);
            }
            Event::Progress(text) => {
                self.notify.alive();
                self.notify.status(&text);
                self.shared.tell_holder(&Response::Progress { text });
            }
            Event::Done(done) => self.done(done),
            Event::WorkerLost => {
                self.busy = false;
                self.end.get_or_insert(Err(
                    "the worker has ended; systemd starts the agent again".into()
                ));
            }
            Event::Terminate => self.end = Some(Ok(())),
            Event::BusLost => {
                self.end.get_or_insert(Err(
                    "the connection to D-Bus was lost; systemd starts the agent again".into(),
                ));
            }
        }
    }

    /// Somebody waits for an answer.
    fn wait(&mut self, reply: Sender<Result<(), String>>) -> Ticket {
        let ticket = self.ticket();
        self.waiting.insert(ticket, reply);
        ticket
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }
}

fn make_run_directory(path: &Path) -> Result<(), String> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(format!("creating {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
