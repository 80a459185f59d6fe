//! Questions whose answers take time: asked from threads, answered as events, so that the loop
//! can always hear Pacemaker.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use two_node_ha_command::System;
use two_node_ha_config::{Config, Facts, Node};
use two_node_ha_planner::machine::Event as Happened;
use two_node_ha_planner::report::{Report, digest};
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use super::Event;
use super::shared::Shared;
use crate::observe::{evidence, live};
use crate::peer::client::{Client, Peer};

/// On top of ssh's connect time-out: a guest that is busy booting answers slowly.
const ANSWER: Duration = Duration::from_secs(15);

/// How the loop gets its questions out without waiting for the answers.
pub(super) trait Questions {
    /// Asks the peer how it stands; the answer comes as [`Happened::PeerAnswered`].
    fn ask_peer(&self);
    /// Asks Pacemaker about the peer; the answer comes as [`Happened::PacemakerAnswered`].
    fn ask_pacemaker(&self);
    /// Asks Pacemaker whether both nodes may be promoted; the answer comes, with the round that it
    /// was asked in, as [`Happened::PromotionAnswered`].
    fn ask_promotion(&self, round: u64);
    /// Tells the peer that something changed here; it asks when it wants to know.
    fn wake_peer(&self);
    /// Adds to the evidence of a split brain what both agents say. Nobody waits for it.
    fn complete_evidence(&self);
}

/// A thread for each question.
pub(super) struct Threads {
    client: Client,
    shared: Arc<Shared>,
    node: String,
    peer: String,
    resource: String,
    within: Duration,
    facts: Facts,
    sender: Sender<Event>,
}

impl Threads {
    pub(super) fn new(
        config: &Config,
        client: Client,
        shared: &Arc<Shared>,
        (node, peer): (&Node, &Node),
        sender: Sender<Event>,
    ) -> Self {
        Self {
            client,
            shared: Arc::clone(shared),
            node: node.name.clone(),
            peer: peer.name.clone(),
            resource: config.volume.resource.clone(),
            within: config.peer.connect_timeout + ANSWER,
            facts: two_node_ha_config::facts(config),
            sender,
        }
    }
}

/// Whether the peer that answers so is to be told this node's configuration: a settled voter asks
/// nobody, and would not hear of it otherwise. An older agent would not understand.
pub(super) fn has_not_heard(answer: &Response, facts: &Facts) -> bool {
    match answer {
        Response::Report(report) => {
            !report.config.is_empty() && report.heard.as_ref() != Some(&digest(facts))
        }
        Response::Stopped
        | Response::Bundle { .. }
        | Response::Side(_)
        | Response::Taken
        | Response::Compared
        | Response::Woken
        | Response::Refused { .. } => false,
    }
}

impl Questions for Threads {
    fn ask_peer(&self) {
        let (client, within, sender) = (self.client.clone(), self.within, self.sender.clone());
        let facts = self.facts.clone();
        thread::spawn(move || {
            let answer = client.ask(&Request::Report { version: VERSION }, within);
            let tell = answer
                .as_ref()
                .is_ok_and(|answer| has_not_heard(answer, &facts));
            // The loop may have ended.
            let answer = heard(answer.map_err(|error| error.to_string()));
            let _ = sender.send(Happened::PeerAnswered(answer).into());
            if tell {
                let request = Request::Configuration {
                    version: VERSION,
                    config: facts,
                };
                if let Err(error) = client.ask(&request, within) {
                    tracing::debug!(%error, "the peer does not hear this node's configuration");
                }
            }
        });
    }

    fn ask_pacemaker(&self) {
        let (peer, sender) = (self.peer.clone(), self.sender.clone());
        thread::spawn(move || {
            let answer = live::peer_node(&System::new(), &peer);
            let _ = sender.send(Happened::PacemakerAnswered(answer).into());
        });
    }

    fn ask_promotion(&self, round: u64) {
        let (resource, node) = (self.resource.clone(), self.node.clone());
        let peer = self.peer.clone();
        let sender = self.sender.clone();
        thread::spawn(move || {
            let answer = live::promotion(&System::new(), &resource, &node, &peer);
            let _ = sender.send(Happened::PromotionAnswered { round, answer }.into());
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

    fn complete_evidence(&self) {
        let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
        let thread = thread::Builder::new().name("evidence".into());
        let complete = move || {
            let directory = shared.paths.evidence();
            evidence::complete(&directory, || shared.side(true), &client);
        };
        if let Err(error) = thread.spawn(complete) {
            tracing::error!("no thread for the evidence: {error}");
        }
    }
}

/// What a peer's answer to the question how it stands comes to.
pub(super) fn heard(answer: Result<Response, String>) -> Result<Box<Report>, String> {
    match answer? {
        Response::Report(report) => Ok(Box::new(report)),
        Response::Refused { reason } => Err(reason),
        other => Err(format!("it answered with {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_planner::State;
    use two_node_ha_planner::world::{config, report};

    #[test]
    fn a_peer_is_told_once_and_one_that_would_not_understand_never() {
        let facts = two_node_ha_config::facts(&config());
        let mut report = report(State::PrimaryRunning, 1);
        let asks = |report: &two_node_ha_planner::report::Report| {
            has_not_heard(&Response::Report(report.clone()), &facts)
        };
        // Of before there was such a request.
        assert!(!asks(&report));
        report.config = facts.clone();
        assert!(asks(&report));
        report.heard = Some("another, of before a restart".into());
        assert!(asks(&report));
        report.heard = Some(digest(&facts));
        assert!(!asks(&report));
        assert!(!has_not_heard(&Response::Woken, &facts));
    }
}
