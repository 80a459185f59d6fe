//! Questions whose answers take time: asked from threads, answered as events, so that the loop
//! can always hear Pacemaker.

use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use two_node_ha_command::System;
use two_node_ha_config::{Config, Facts, Node};
use two_node_ha_planner::Step;
use two_node_ha_planner::observation::Asked;
use two_node_ha_planner::report::digest;
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use super::{Daemon, Event};
use crate::observe::live;
use crate::peer::client::{Client, Peer};

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
    facts: Facts,
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
            let _ = sender.send(Event::PeerAnswered(
                answer.map_err(|error| error.to_string()),
            ));
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

    pub(super) fn peer_answered(&mut self, mut answer: Result<Response, String>) {
        self.knowledge.asking_peer = false;
        if let Ok(Response::Report(report)) = &mut answer {
            // Whoever it says that it is: names are part of what is compared. What follows needs only
            // the differences, and carries the report along with each observation.
            let theirs = std::mem::take(&mut report.config);
            self.compare(&theirs);
            self.hear_of_fencing(report.fenced.as_deref());
        }
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
        match &self.knowledge.report {
            Asked::Answer(_) | Asked::NotYet => self.knowledge.silent_since = None,
            Asked::Silent(_) => {
                self.knowledge.silent_since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// A node that was fenced cannot write down why; it hears it from the other when it is back.
    fn hear_of_fencing(&mut self, why: Option<&str>) {
        if let Some(why) = why.filter(|why| self.heard_of_fencing.as_deref() != Some(*why)) {
            tracing::warn!(
                "{} has had this node fenced: {}",
                self.actor.peer.name,
                one_line(why)
            );
            self.heard_of_fencing = Some(why.to_owned());
        }
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
            .map_err(|error| {
                let why = self.why_not(&Step::StopServices, &error);
                tracing::error!("{why}");
                self.stumbled = Some((Step::StopServices, why.clone()));
                why
            })
    }
}

/// What another node says, as it may stand in a line of the journal.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(300).map(plain).collect()
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
