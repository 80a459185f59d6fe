//! Questions whose answers take time: asked from threads, answered as events, so that the loop
//! can always hear Pacemaker.

use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use two_node_ha_command::System;
use two_node_ha_config::{Config, Node};

use super::{Daemon, Event};
use crate::observe::{Asked, live};
use crate::peer::client::{Client, Peer};
use crate::peer::protocol::{Request, Response, VERSION};
use crate::plan::Step;

/// On top of ssh's connect time-out: a guest that is busy booting answers slowly.
const ANSWER: Duration = Duration::from_secs(15);

/// How the loop gets its questions out without waiting for the answers.
pub(super) trait Questions {
    /// Asks the peer how it stands; the answer comes as [`Event::PeerAnswered`].
    fn ask_peer(&self);
    /// Asks Pacemaker about the peer; the answer comes as [`Event::PacemakerAnswered`].
    fn ask_pacemaker(&self);
    /// Asks Pacemaker whether both nodes may be promoted; the answer comes, with the round that it
    /// was asked in, as [`Event::PromotionAnswered`].
    fn ask_promotion(&self, round: u64);
    /// Tells the peer that something changed here; it asks when it wants to know.
    fn wake_peer(&self);
}

/// A thread for each question.
pub(super) struct Threads {
    client: Client,
    node: String,
    peer: String,
    resource: String,
    within: Duration,
    sender: Sender<Event>,
}

impl Threads {
    pub(super) fn new(
        config: &Config,
        client: Client,
        (node, peer): (&Node, &Node),
        sender: Sender<Event>,
    ) -> Self {
        Self {
            client,
            node: node.name.clone(),
            peer: peer.name.clone(),
            resource: config.volume.resource.clone(),
            within: config.peer.connect_timeout + ANSWER,
            sender,
        }
    }
}

impl Questions for Threads {
    fn ask_peer(&self) {
        let (client, within, sender) = (self.client.clone(), self.within, self.sender.clone());
        thread::spawn(move || {
            let answer = client.ask(&Request::Report { version: VERSION }, within);
            // The loop may have ended.
            let _ = sender.send(Event::PeerAnswered(
                answer.map_err(|error| error.to_string()),
            ));
        });
    }

    fn ask_pacemaker(&self) {
        let (peer, sender) = (self.peer.clone(), self.sender.clone());
        thread::spawn(move || {
            let answer = live::peer_node(&System::new(), &peer);
            let _ = sender.send(Event::PacemakerAnswered(answer));
        });
    }

    fn ask_promotion(&self, round: u64) {
        let (resource, node) = (self.resource.clone(), self.node.clone());
        let peer = self.peer.clone();
        let sender = self.sender.clone();
        thread::spawn(move || {
            let answer = live::promotion(&System::new(), &resource, &node, &peer);
            let _ = sender.send(Event::PromotionAnswered { round, answer });
        });
    }

    fn wake_peer(&self) {
        let (client, within) = (self.client.clone(), self.within);
        thread::spawn(move || {
            if let Err(error) = client.ask(&Request::Wake { version: VERSION }, within) {
                tracing::debug!(%error, "the peer could not be woken; it will ask by itself");
            }
        });
    }
}

impl Daemon {
    /// Asks the peer, unless it is being asked.
    pub(super) fn ask_peer(&mut self) {
        if !std::mem::replace(&mut self.knowledge.asking_peer, true) {
            self.questions.ask_peer();
        }
    }

    /// Asks Pacemaker, unless it is being asked.
    pub(super) fn ask_pacemaker(&mut self) {
        if !std::mem::replace(&mut self.knowledge.asking_pacemaker, true) {
            self.questions.ask_pacemaker();
        }
    }

    /// Asks Pacemaker whether both nodes may be promoted, unless it is being asked.
    pub(super) fn ask_promotion(&mut self) {
        if !std::mem::replace(&mut self.knowledge.asking_promotion, true) {
            self.questions.ask_promotion(self.knowledge.round);
        }
    }

    pub(super) fn peer_answered(&mut self, answer: Result<Response, String>) {
        self.knowledge.asking_peer = false;
        self.knowledge.report = match answer {
            Ok(Response::Report(report)) if report.node == self.actor.peer.name => {
                Asked::Answer(report)
            }
            Ok(Response::Report(report)) => {
                Asked::Silent(format!("a node named {} answers in its place", report.node))
            }
            Ok(Response::Refused { reason }) => Asked::Silent(reason),
            Ok(other) => Asked::Silent(format!("it answered with {other:?}")),
            Err(why) => Asked::Silent(why),
        };
    }

    /// The peer is about to be the voter: stops the databases here.
    pub(super) fn stop_for_peer(&mut self) -> Result<(), String> {
        tracing::info!(
            "{} is about to be the voter; stopping here",
            self.actor.peer.name
        );
        self.confirmed = false;
        // Its last report is from before: only a new one may start the spare again.
        self.knowledge.forget();
        let notify = &self.notify;
        self.actor
            .take(&Step::StopServices, &mut |_| notify.alive())
            .map(|_| self.shared.databases_stopped())
            .map_err(|error| error.to_string())
    }
}
