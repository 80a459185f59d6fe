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
mod health;
mod notify;
mod only;
mod serve;
mod shared;
mod sources;
mod split_brain;
mod turn;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use asking::{Questions, Threads};
use configuration::{Compared, Standing};
use health::Watch;
use notify::Notify;
use only::Only;
use shared::Shared;
use two_node_ha_command::System;
use two_node_ha_config::{Chosen, Facts};
use two_node_ha_planner::Step;
use two_node_ha_planner::observation::{Asked, PeerNode, Promotion, Request};
use two_node_ha_planner::report::Report;
use two_node_ha_protocol::peer::Response;

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
    /// Something on this node changed: a unit, a mount, DRBD, a hold, a hook's event.
    Changed,
    /// Something about the replication link or the peer's disk did, or DRBD called a handler: a
    /// constraint may have come or gone, even where everything is as before by now.
    LinkChanged,
    /// The peer's agent says that something changed there.
    PeerWoke,
    /// The peer tells what its configuration is.
    PeerConfiguration(Facts),
    /// The peer's answer to a question, or why there is none.
    PeerAnswered(Result<Response, String>),
    /// Pacemaker's answer.
    PacemakerAnswered(Result<PeerNode, String>),
    /// Pacemaker's answer about this node itself.
    PromotionAnswered {
        /// The round in which it was asked.
        round: u64,
        /// The answer, or why there is none.
        answer: Result<Promotion, String>,
    },
    /// The peer is about to be the voter and asks for the databases to be stopped; the answer
    /// goes back through the channel.
    StopSpare(Sender<Result<(), String>>),
    /// The epochs above this one are given up by the operator's word; the answer goes back through
    /// the channel.
    Forget(u64, Sender<Result<(), String>>),
    /// SIGTERM or SIGINT.
    Terminate,
    /// D-Bus is gone: units can neither be seen nor started any more.
    BusLost,
}

/// What is known of the peer in this round, and what is being asked.
#[derive(Debug)]
struct Knowledge {
    report: Asked<Report>,
    node: Asked<PeerNode>,
    promotion: Asked<Promotion>,
    stopped: bool,
    /// Since when it has been silent, while this node is to be the voter.
    silent_since: Option<Instant>,
    /// Whether its logs were fetched after that.
    logs_fetched: bool,
    /// What it has last told of its configuration, and when does not matter: it holds until it tells
    /// another.
    configuration: Compared,
    /// Whether DRBD holds writes back for an answer of fence-peer.
    frozen: bool,
    /// Whether it has asked in this round.
    fence_peer_asked: bool,
    asking_peer: bool,
    asking_pacemaker: bool,
    asking_promotion: bool,
    /// Raised whenever what was learnt is forgotten.
    round: u64,
}

impl Knowledge {
    fn nothing() -> Self {
        Self {
            report: Asked::NotYet,
            node: Asked::NotYet,
            promotion: Asked::NotYet,
            stopped: false,
            silent_since: None,
            logs_fetched: false,
            configuration: Compared::default(),
            frozen: false,
            fence_peer_asked: false,
            asking_peer: false,
            asking_pacemaker: false,
            asking_promotion: false,
            round: 0,
        }
    }

    /// What was learnt is old; a question that is under way is still welcome.
    fn forget(&mut self) {
        self.report = Asked::NotYet;
        self.node = Asked::NotYet;
        self.stopped = false;
        self.logs_fetched = false;
        self.fence_peer_asked = false;
        self.forget_promotion();
    }

    /// What it said of its databases before holds, but that they run.
    fn peer_has_stopped(&mut self) {
        self.stopped = true;
        self.logs_fetched = false;
        if let Asked::Answer(report) = &mut self.report {
            report.datastore_running = false;
        }
    }

    /// DRBD holds writes back now, or does not. It has asked at the moment when it began to, and the
    /// handler is about to start; what Pacemaker knew of the peer was so before that.
    fn drbd_waits(&mut self, frozen: bool) {
        if frozen && !self.frozen {
            self.node = Asked::NotYet;
            self.fence_peer_asked = true;
        }
        self.frozen = frozen;
    }

    /// A handler may have placed its constraint since: an answer that is under way is old, too.
    fn forget_promotion(&mut self) {
        self.promotion = Asked::NotYet;
        self.round += 1;
    }
}

/// The loop's state.
struct Daemon {
    actor: Actor,
    shared: Arc<Shared>,
    questions: Box<dyn Questions>,
    events: Receiver<Event>,
    knowledge: Knowledge,
    notify: Notify,
    /// The look at the volume.
    volume: Reader,
    /// What was seen of the logs there, and of those on this node's own disk. Apart, since a look at
    /// the volume may not come back.
    volume_looks: Arc<Mutex<Looks>>,
    looks: Looks,
    /// The warnings that were said, each once until all is well.
    warned: Vec<String>,
    /// What Pacemaker asked when it was last looked at, and by which hold.
    request: Request,
    hold: Option<u64>,
    /// Why this node has had its peer fenced, if it has.
    fenced: Option<String>,
    /// What the peer has said of having this node fenced.
    heard_of_fencing: Option<String>,
    /// Whether the voter here was confirmed since its services started.
    confirmed: bool,
    /// The reads of its datastore since.
    health: Watch,
    /// What of this node's own disk could not be changed on the way down, and why; gone with the
    /// request, or once it is time to try again.
    own_disk: Option<String>,
    /// Why the last attempt to be the voter failed; gone with the hold.
    failure: Option<String>,
    /// The step that has failed since this node was last where it should be, and what is said of it.
    stumbled: Option<(Step, String)>,
    /// When to look again although nothing happened; `None` when settled.
    retry: Option<Instant>,
    /// How long until the retry after the next one.
    patience: Duration,
    /// What is compared of this node's configuration.
    facts: Facts,
    /// What is wrong with this node's configuration, in words.
    trouble: Option<String>,
    /// Set when the loop is to end, with what is to be said of it.
    end: Option<Result<(), String>>,
}

/// The first retry comes after this, each later one after twice the time, up to the longest.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(20);

/// But while every write stands still, this, from the beginning: a handler that was not seen to start
/// by then was not called.
const FROZEN_RETRY: Duration = Duration::from_secs(5);

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
            Heard::Changed => Event::Changed,
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
    let mut daemon = Daemon::new(actor, shared, Box::new(questions), events);
    daemon.trouble = trouble;
    daemon.health.start(Box::new(datastore), move || {
        // A closed channel means that the loop has ended.
        let _ = sender.send(Event::Changed);
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
    ) -> Self {
        Self {
            facts: two_node_ha_config::facts(&actor.config),
            trouble: None,
            health: Watch::new(actor.config.agent.health_interval),
            actor,
            shared,
            questions,
            events,
            knowledge: Knowledge::nothing(),
            notify: Notify::new(),
            volume: Reader::default(),
            volume_looks: Arc::default(),
            looks: Looks::default(),
            warned: Vec::new(),
            request: Request::None,
            hold: None,
            fenced: None,
            heard_of_fencing: None,
            confirmed: false,
            own_disk: None,
            failure: None,
            stumbled: None,
            retry: None,
            patience: SHORTEST_RETRY,
            end: None,
        }
    }

    fn work(&mut self) {
        while self.end.is_none() {
            let now = Instant::now();
            let until_retry = self.retry.map(|at| at.saturating_duration_since(now));
            let sleep = [until_retry, self.notify.watchdog_interval()]
                .into_iter()
                .flatten()
                .min()
                // Without a watchdog and a retry there is nothing to wake for.
                .unwrap_or(Duration::from_secs(86_400));
            match self.events.recv_timeout(sleep) {
                Ok(event) => {
                    self.handle(event);
                    self.drain_events();
                    self.notify.alive();
                    self.turn();
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.notify.alive();
                    if self.retry.is_some_and(|at| at <= Instant::now()) {
                        self.look_again();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    /// Nothing happened for a while, and the agent has not arrived: what was learnt may be old. What
    /// a spare knows of its voter holds until the new answer is there: without it each look would be
    /// a change of state, and a line in the journal.
    fn look_again(&mut self) {
        self.own_disk = None;
        match (self.request, &self.knowledge.report) {
            (Request::None, Asked::Answer(_)) => {
                self.ask_peer();
                self.knowledge.forget_promotion();
            }
            (Request::None, Asked::NotYet | Asked::Silent(_))
            | (Request::Hold | Request::Release, _) => self.knowledge.forget(),
        }
        self.turn();
    }

    /// One burst of events is one turn.
    fn drain_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Changed => {}
            Event::LinkChanged => self.knowledge.forget_promotion(),
            Event::PeerWoke => {
                self.knowledge.forget();
                self.patience = SHORTEST_RETRY;
            }
            Event::PeerConfiguration(theirs) => self.compare(&theirs),
            Event::PeerAnswered(answer) => self.peer_answered(answer),
            Event::PacemakerAnswered(answer) => {
                self.knowledge.asking_pacemaker = false;
                self.knowledge.node = match answer {
                    Ok(node) => Asked::Answer(node),
                    Err(why) => Asked::Silent(why),
                };
            }
            Event::PromotionAnswered { round, answer } => {
                self.knowledge.asking_promotion = false;
                if round == self.knowledge.round {
                    self.knowledge.promotion = match answer {
                        Ok(promotion) => Asked::Answer(promotion),
                        Err(why) => Asked::Silent(why),
                    };
                }
            }
            Event::StopSpare(reply) => {
                let result = self.stop_for_peer();
                // The connection may be gone; the databases are stopped all the same.
                let _ = reply.send(result);
            }
            Event::Forget(epoch, reply) => {
                let result = self.forget_epochs(epoch);
                let _ = reply.send(result);
            }
            Event::Terminate => self.end = Some(Ok(())),
            Event::BusLost => {
                self.end.get_or_insert(Err(
                    "the connection to D-Bus was lost; systemd starts the agent again".into(),
                ));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_writes_begin_to_stand_still_drbd_has_just_asked_and_what_was_known_of_the_peer_is_old()
    {
        let mut knowledge = Knowledge::nothing();
        knowledge.node = Asked::Answer(PeerNode::Online);
        knowledge.drbd_waits(false);
        assert_eq!(knowledge.node, Asked::Answer(PeerNode::Online));
        assert!(!knowledge.fence_peer_asked);
        knowledge.drbd_waits(true);
        assert_eq!(knowledge.node, Asked::NotYet);
        assert!(knowledge.fence_peer_asked);
        // The next round; it still waits.
        knowledge.forget();
        knowledge.node = Asked::Answer(PeerNode::Down);
        knowledge.drbd_waits(true);
        assert_eq!(knowledge.node, Asked::Answer(PeerNode::Down));
        assert!(!knowledge.fence_peer_asked);
        // And another time.
        knowledge.drbd_waits(false);
        knowledge.drbd_waits(true);
        assert!(knowledge.fence_peer_asked);
    }
}
