//! The agent: observe, plan, act, and sleep until something happens.
//!
//! Every source of events is a thread that blocks on its own descriptor and sends into one
//! channel; the loop below is the only place where anything is decided or changed. A settled
//! agent has no timer but systemd's watchdog and, on the voter, the one by which its datastore is
//! read.

mod asking;
mod configuration;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod given;
mod health;
mod notify;
mod only;
mod serve;
mod shared;
mod sources;
mod split_brain;
mod turn;
mod voice;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use asking::{Questions, Threads};
use configuration::Standing;
use health::Watch;
use notify::Notify;
use only::Only;
use shared::Shared;
use two_node_ha_command::System;
use two_node_ha_config::Chosen;
use two_node_ha_planner::machine::{Event as Happened, Machine, Moment, Ticket};
use voice::Voice;

use crate::act::{Actor, FAILOVER_UNIT, gated_units};
use crate::datastore;
use crate::observe::logs::Looks;
use crate::observe::volume::Reader;
use crate::paths::Paths;
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
    /// The epochs above this one are given up by the operator's word; the answer goes back through
    /// the channel.
    Forget(u64, Sender<Result<(), String>>),
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

/// How long ago the agent started.
type Clock = Box<dyn Fn() -> Moment>;

/// The loop's state.
struct Daemon {
    machine: Machine,
    clock: Clock,
    actor: Actor,
    shared: Arc<Shared>,
    questions: Box<dyn Questions>,
    events: Receiver<Event>,
    notify: Notify,
    /// The look at the volume.
    volume: Reader,
    /// What was seen of the logs there, and of those on this node's own disk. Apart, since a look at
    /// the volume may not come back.
    volume_looks: Arc<Mutex<Looks>>,
    looks: Looks,
    /// The reads of the voter's datastore.
    health: Watch,
    voice: Voice,
    /// Whoever waits for an answer of the machine's.
    waiting: BTreeMap<Ticket, Sender<Result<(), String>>>,
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
        return Err("this host is none of the two nodes".into());
    };
    make_run_directory(&paths.run()).map_err(|why| room::with(why, &paths, &config, false))?;
    // Before anything is changed, and until this process is gone.
    let only = Only::take(&paths)?;
    crate::files::private_directory(&paths.state())
        .map_err(|error| format!("creating {}: {error}", paths.state().display()))
        .map_err(|why| room::with(why, &paths, &config, false))?;
    let journal = journal_or_new(&paths.journal(), &node.name).map_err(|e| e.to_string())?;
    if let Some(step) = &journal.in_progress {
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
    let responder = split_brain::Responder::new(Arc::clone(&shared), client.clone());
    sources::hooks(&paths, responder, sender.clone())?;
    // Now that an agent runs with it.
    let trouble = standing.accept(&paths);
    let questions = Threads::new(&config, client.clone(), (&node, &peer), sender.clone());
    let datastore = datastore::Local::new(&config, &paths);
    let actor = Actor {
        config,
        paths,
        node,
        peer,
        systemd: Box::new(systemd),
        runner: Box::new(System::new()),
        client: Box::new(client.interrupted_by(&shared.interrupt)),
        interrupt: shared.interrupt.clone(),
        datastore: Box::new(datastore.clone()),
        journal,
    };
    let began = Instant::now();
    let clock = Box::new(move || began.elapsed());
    let mut daemon = Daemon::new(actor, shared, Box::new(questions), events, clock);
    daemon.machine.configuration_trouble(trouble);
    daemon.health.start(Box::new(datastore), move || {
        // A closed channel means that the loop has ended.
        let _ = sender.send(Happened::Changed.into());
    })?;
    daemon.turn();
    daemon.notify.ready();
    daemon.work();
    daemon.notify.stopping();
    drbd_events.end();
    daemon.end.unwrap_or(Ok(()))
}

impl Daemon {
    fn new(
        actor: Actor,
        shared: Arc<Shared>,
        questions: Box<dyn Questions>,
        events: Receiver<Event>,
        clock: Clock,
    ) -> Self {
        let facts = two_node_ha_config::facts(&actor.config);
        Self {
            machine: Machine::new(&actor.node.name, &actor.peer.name, facts),
            clock,
            health: Watch::new(actor.config.agent.health_interval),
            actor,
            shared,
            questions,
            events,
            notify: Notify::new(),
            volume: Reader::default(),
            volume_looks: Arc::default(),
            looks: Looks::default(),
            voice: Voice::default(),
            waiting: BTreeMap::new(),
            last_ticket: 0,
            end: None,
        }
    }

    fn work(&mut self) {
        while self.end.is_none() {
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
            match self.events.recv_timeout(sleep) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.notify.alive();
            self.turn();
        }
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
            Event::Forget(epoch, reply) => {
                let ticket = self.wait(reply);
                self.machine.handle(Happened::Forget { ticket, epoch }, now);
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
        self.last_ticket += 1;
        self.waiting.insert(self.last_ticket, reply);
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
