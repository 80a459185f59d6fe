//! What the agent does about a split brain and about what DRBD's handlers tell of: says how this
//! node stands, takes the steps of a resolution, completes the evidence, asks Pacemaker for a
//! demotion.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use two_node_ha_command::{Call, Runner, System, succeed};
use two_node_ha_config::Config;
use two_node_ha_drbd::Decision;
use two_node_ha_evidence::Noted;
use two_node_ha_planner::machine::{Event as Happened, Failure, Kind};
use two_node_ha_planner::observation::{Request, Role};
use two_node_ha_planner::record::Resolution;
use two_node_ha_planner::split_brain::Side;
use two_node_ha_planner::split_brain::plan::Step;
use two_node_ha_protocol::peer::{Request as PeerRequest, Response as PeerResponse, VERSION};

use super::shared::Shared;
use super::{Daemon, Event};
use crate::act::split_brain::Hands;
use crate::act::split_brain::copy::Copies;
use crate::observe::live;
use crate::observe::split_brain::{self as sides, Here};
use crate::peer::client::{Client, Peer};
use crate::store::Record;

/// How long the loop may take until it hears.
const LOOP: Duration = Duration::from_secs(90);
/// How long the peer may take to read its databases' logs.
const LOGS: Duration = Duration::from_secs(60);
/// How long an agent that has just started may take until it knows how it stands.
const STARTING: Duration = Duration::from_secs(60);
/// How long a command of Pacemaker's may take.
const PACEMAKER: Duration = Duration::from_secs(60);
/// A loss that is older is no reason to take the primary away from where it is now.
const FRESH: Duration = Duration::from_secs(600);
/// How long a node that lost something is kept from being promoted again, unless
/// `crm_resource --clear` says otherwise.
const BAN: &str = "PT1H";

impl Shared {
    fn held(&self) -> Result<bool, String> {
        let (observation, _) = self
            .last()
            .ok_or_else(|| format!("the agent on {} has only just started", self.node.name))?;
        Ok(self.request() != Request::None || observation.failover_unit)
    }

    fn here(&self) -> Here<'_> {
        Here {
            config: &self.config,
            paths: &self.paths,
            node: &self.node.name,
        }
    }

    /// This node as one side of a split brain.
    ///
    /// # Errors
    /// While the agent has only just started.
    pub(super) fn side(&self, logs: bool) -> Result<Side, String> {
        Ok(sides::side(self.here(), &System::new(), self.held()?, logs))
    }

    /// Takes a step of a resolution on this node.
    ///
    /// # Errors
    /// What kept it from being taken, in words.
    pub(super) fn resolve(&self, step: &Step, resolution: &Resolution) -> Result<(), String> {
        let _one = self
            .resolving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tracing::info!(
            step = ?step,
            "split brain: {}",
            step.describe(&self.node.name, &resolution.loser)
        );
        if let Step::Forget(epoch) = step {
            return self.forget(*epoch, resolution);
        }
        let copies = Copies {
            config: Arc::clone(&self.config),
            root: self.paths.root().to_owned(),
        };
        let hands = Hands {
            here: self.here(),
            runner: &System::new(),
            copier: &copies,
            held: self.held()?,
        };
        let taken = hands.take(step, resolution);
        if let Err(why) = &taken {
            tracing::error!(step = ?step, "split brain: not taken: {why}");
        }
        // What the step changed may be what the loop waits for.
        self.send(Happened::PeerWoke.into());
        taken
    }

    fn forget(&self, epoch: u64, resolution: &Resolution) -> Result<(), String> {
        let noted = Resolution::read(&self.paths.resolution()).map_err(|e| e.to_string())?;
        let same = |noted: &Resolution| {
            (&noted.winner, &noted.mark) == (&resolution.winner, &resolution.mark)
        };
        if !noted.as_ref().is_some_and(same) {
            return Err(format!("{} has noted no such resolution", self.node.name));
        }
        let (send, done) = channel();
        self.send(Event::Forget(epoch, send));
        done.recv_timeout(LOOP)
            .unwrap_or_else(|_| Err(format!("the agent on {} is busy", self.node.name)))
    }
}

impl Daemon {
    /// The epochs above this one have been given up.
    pub(super) fn forget_epochs(&mut self, epoch: u64) -> Result<(), Failure> {
        let journal = &mut self.actor.journal;
        tracing::warn!(
            from = journal.highest_epoch,
            to = epoch,
            "epochs above {epoch} are forgotten: their data is given up"
        );
        journal.forget_above(epoch);
        let written = journal.write(&self.actor.paths.journal());
        written.map_err(|error| Failure {
            kind: Kind::Disk,
            shutting_down: false,
            error: error.to_string(),
            why: error.to_string(),
        })
    }
}

/// Answers what the handlers tell.
#[derive(Debug, Clone)]
pub(super) struct Responder {
    shared: Arc<Shared>,
    client: Client,
    completing: Arc<Mutex<()>>,
}

impl Responder {
    pub(super) fn new(shared: Arc<Shared>, client: Client) -> Self {
        Self {
            shared,
            client,
            completing: Arc::default(),
        }
    }

    /// Whether the event is done with. One that is not comes again.
    pub(super) fn heard(&self, event: &two_node_ha_events::Event) -> bool {
        if event.handler.is_of_a_split_brain() {
            let this = self.clone();
            let thread = std::thread::Builder::new().name("evidence".into());
            if let Err(error) = thread.spawn(move || this.complete()) {
                tracing::error!("no thread for the evidence: {error}");
            }
        }
        if event.decision != Decision::Demote {
            return true;
        }
        if SystemTime::now()
            .duration_since(event.when())
            .is_ok_and(|age| age > FRESH)
        {
            tracing::warn!(
                handler = event.handler.as_str(),
                "{} is too long ago to take the primary away for it",
                event.handler
            );
            return true;
        }
        let shared = &self.shared;
        match demote(&System::new(), &shared.config, &shared.node.name) {
            Ok(words) => {
                tracing::warn!(
                    handler = event.handler.as_str(),
                    "{}: {words}",
                    event.handler
                );
                true
            }
            Err(why) => {
                tracing::error!(handler = event.handler.as_str(), "{}: {why}", event.handler);
                false
            }
        }
    }

    /// Adds to the evidence what a handler cannot have: what both agents say.
    fn complete(&self) {
        let _one = self
            .completing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let directory = self.shared.paths.evidence();
        let open: Vec<_> = two_node_ha_evidence::unresolved(&directory)
            .unwrap_or_default()
            .into_iter()
            .filter(|(_, evidence)| evidence.sides.is_none())
            .collect();
        if open.is_empty() {
            return;
        }
        let mut waited = Duration::ZERO;
        let own = loop {
            match self.shared.side(true) {
                Ok(side) => break side,
                Err(why) if waited >= STARTING => {
                    tracing::error!("the evidence stays incomplete: {why}");
                    return;
                }
                Err(_) => {
                    std::thread::sleep(Duration::from_secs(1));
                    waited += Duration::from_secs(1);
                }
            }
        };
        let mut sides = vec![own];
        let request = PeerRequest::Side {
            version: VERSION,
            logs: true,
        };
        let mut problem = None;
        match self.client.ask(&request, LOGS) {
            Ok(PeerResponse::Side(side)) => sides.push(*side),
            Ok(PeerResponse::Refused { reason }) => problem = Some(reason),
            Ok(other) => problem = Some(format!("the peer answered with {other:?}")),
            Err(error) => problem = Some(error.to_string()),
        }
        let newest = open.len().saturating_sub(1);
        for (number, (path, _)) in open.into_iter().enumerate() {
            // Once is enough: the logs weigh.
            let sides = if number == newest {
                sides.clone()
            } else {
                Vec::new()
            };
            // A resolution may have ended while the peer was asked: that is kept.
            match two_node_ha_evidence::update(&path, |evidence| {
                evidence.sides = Some(Noted::Known(sides));
                evidence.problems.extend(problem.clone());
            }) {
                Ok(()) => tracing::info!(file = %path.display(), "the evidence is complete"),
                Err(error) => tracing::error!("{error}"),
            }
        }
    }
}

/// Asks Pacemaker to take the primary away from this node. A ban with an end, and not a failure of
/// the resource: a failed DRBD would be stopped and promoted again where it was. Pacemaker moves what
/// depends on it in its usual order, to the other node if that can have it.
///
/// # Errors
/// What Pacemaker said, in words.
fn demote(runner: &dyn Runner, config: &Config, node: &str) -> Result<String, String> {
    if live::drbd(runner, config).role != Role::Primary {
        return Ok("this node is not primary any more; nothing to take away".into());
    }
    let call = Call::new("crm_resource", PACEMAKER).args([
        "--ban",
        "--resource",
        &config.pacemaker.drbd_clone,
        "--node",
        node,
        "--promoted",
        "--lifetime",
        BAN,
    ]);
    succeed(runner, &call)?;
    Ok(format!(
        "Pacemaker takes the primary away from {node}, for an hour; `crm_resource --clear \
         --resource {} --node {node}` ends that earlier",
        config.pacemaker.drbd_clone
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_command::scripted::Scripted;
    use two_node_ha_planner::world;

    fn drbd(role: &str) -> Scripted {
        let text = format!(
            "exists resource name:r0 role:{role} suspended:no\n\
             exists device name:r0 volume:0 minor:0 disk:Diskless\nexists -\n"
        );
        Scripted::new()
            .file("/sys/module/drbd/version", "8.4.11\n")
            .answer("drbdsetup", 0, text)
    }

    #[test]
    fn a_primary_that_lost_something_is_banned_from_being_promoted_for_an_hour() {
        let runner = drbd("Primary").answer("crm_resource", 0, "");
        demote(&runner, &world::config(), "haone").unwrap();
        assert_eq!(
            runner.calls().last().unwrap(),
            "crm_resource --ban --resource drbd_master_slave --node haone --promoted --lifetime PT1H"
        );
    }

    #[test]
    fn a_node_that_is_no_longer_primary_is_left_alone_and_a_refusal_is_told() {
        let runner = drbd("Secondary");
        demote(&runner, &world::config(), "haone").unwrap();
        assert_eq!(runner.calls().len(), 1);
        let runner = drbd("Primary").answer("crm_resource", 102, "");
        let why = demote(&runner, &world::config(), "haone").unwrap_err();
        assert!(why.contains("exit code 102"), "{why}");
    }
}
