//! One turn: observe, decide, take the first step, and again, until there is nothing to do.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use two_node_ha_pacemaker::lock;
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{
    Asked, Directories, FencePeer, Frozen, Known, Mount, Observation, Request, Services,
};
use two_node_ha_planner::report::{Report, SpareLog};
use two_node_ha_planner::{Decision, State, Step, Target, plan};
use two_node_ha_protocol::control::{Response, Status};

use super::health::Voter;
use super::{Daemon, FROZEN_RETRY, LONGEST_RETRY, SHORTEST_RETRY};
use crate::act::{Error, FAILOVER_UNIT, Outcome, gated_units};
use crate::observe::{live, volume};
use crate::room;
use crate::systemd::UnitState;

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// There was nothing to take, or what there is waits for an answer.
    Nothing,
    /// A step was taken, so that the world must be looked at again.
    Step,
    /// A step failed; it is tried again later.
    Failed,
}

impl Daemon {
    /// Until there is nothing to do but wait.
    pub(super) fn turn(&mut self) {
        let mut last_state = self.shared.status().map(|status| status.state);
        let mut before: Option<(Observation, Decision)> = None;
        let mut failed = false;
        loop {
            let observation = self.observe();
            let decision = plan(&observation, &self.actor.config);
            // A step that changes nothing that can be seen would be taken for ever.
            let same = |b: &(Observation, Decision)| b.0 == observation && b.1 == decision;
            if !failed && before.as_ref().is_some_and(same) {
                tracing::error!(
                    steps = ?decision.steps,
                    "the last step changed nothing that can be seen; waiting before the next try"
                );
                self.retry_later();
                return;
            }
            self.warn(&decision);
            if last_state != Some(decision.state) {
                announce(&decision);
                self.patience = SHORTEST_RETRY;
                last_state = Some(decision.state);
            }
            let was_voter = self.shared.report().is_some_and(|report| report.voter);
            let is_voter = decision.state == State::PrimaryRunning;
            self.publish(&observation, &decision, None);
            if decision.only_here && observation.request == Request::Hold {
                // The other node may have what this one lacks: Pacemaker should try it.
                self.shared.tell_holder(&Response::Unhealthy {
                    reason: decision.reasons.join("; "),
                });
            }
            if is_voter {
                self.shared.tell_holder(&Response::Working);
                if !was_voter {
                    self.questions.wake_peer();
                }
            }
            self.schedule(&observation, &decision);
            if self.end.is_some() || failed {
                return;
            }
            match self.act(&observation, &decision) {
                Taken::Nothing => return,
                Taken::Step => {}
                // Once more, so that the status says so and not what is no longer being done.
                Taken::Failed => failed = true,
            }
            before = Some((observation, decision));
            // Pacemaker may have changed its mind in the meantime.
            self.drain_events();
            self.notify.alive();
        }
    }

    /// Takes the first step that is not only a question.
    fn act(&mut self, observation: &Observation, decision: &Decision) -> Taken {
        for step in &decision.steps {
            match step {
                Step::AskPeer => self.ask_peer(),
                Step::AskPacemaker => self.ask_pacemaker(),
                Step::AskPromotion => self.ask_promotion(),
                Step::ReportReleased => {
                    tracing::info!("the volume is free");
                    self.shared.released();
                    return Taken::Step;
                }
                step => {
                    // A question comes first in a plan; what follows needs its answer.
                    let asking = self.knowledge.asking_peer || self.knowledge.asking_pacemaker;
                    if asking && decision.steps.first() != Some(step) {
                        return Taken::Nothing;
                    }
                    return if self.take(step, observation, decision) {
                        Taken::Step
                    } else {
                        Taken::Failed
                    };
                }
            }
        }
        Taken::Nothing
    }

    /// Whether the step was taken.
    pub(super) fn take(
        &mut self,
        step: &Step,
        observation: &Observation,
        decision: &Decision,
    ) -> bool {
        let words = step.describe();
        tracing::info!(step = ?step, state = decision.state.name(), "{words}");
        self.publish(observation, decision, Some(&words));
        self.shared.tell_holder(&Response::Progress {
            text: words.clone(),
        });
        if matches!(step, Step::StopServices | Step::StartServices) {
            self.confirmed = false;
            self.shared.retract_voter();
        }
        self.health.excuse();
        let (notify, shared) = (&mut self.notify, &self.shared);
        let began = Instant::now();
        let result = self.actor.take(step, &mut |text| {
            notify.alive();
            notify.status(text);
            shared.tell_holder(&Response::Progress {
                text: text.to_owned(),
            });
        });
        match result {
            Ok(outcome) => {
                tracing::debug!(step = ?step, ms = began.elapsed().as_millis() as u64, "done");
                self.stumbled.take_if(|(stumbled, _)| stumbled == step);
                match outcome {
                    Outcome::Done => {}
                    Outcome::VoterConfirmed => self.confirmed = true,
                    Outcome::PeerStopped => self.knowledge.peer_has_stopped(),
                    Outcome::PeerFenced => {
                        self.fenced = Some(decision.reasons.join("; "));
                        self.knowledge.forget();
                    }
                    Outcome::LogsFetched => self.knowledge.logs_fetched = true,
                    Outcome::FencePeerAsked => self.knowledge.fence_peer_asked = true,
                    Outcome::ConstraintRemoved => {
                        self.knowledge.forget_promotion();
                        // It waits for this.
                        self.questions.wake_peer();
                    }
                }
                true
            }
            Err(error) => {
                if self.disk_refused(step, observation, &error) {
                    return true;
                }
                self.failed(step, observation, &error);
                false
            }
        }
    }

    /// Whether a step on the way down failed because this node's own disk takes no change, which is
    /// then noted, and the rest of the way goes on without it.
    fn disk_refused(&mut self, step: &Step, observation: &Observation, error: &Error) -> bool {
        let down = match step {
            Step::StopServices | Step::Leave(_) | Step::Flip(_, Target::Spare) => {
                observation.request != Request::Hold
            }
            _ => false,
        };
        if !down || self.own_disk.is_some() || !matches!(error, Error::Io { .. }) {
            return false;
        }
        let why = self.why_not(step, error);
        tracing::error!(step = ?step, "{why}");
        self.own_disk = Some(why);
        true
    }

    fn failed(&mut self, step: &Step, observation: &Observation, error: &Error) {
        if error.is_interruption() {
            tracing::info!(step = ?step, "gave up to {}: {error}", step.describe());
            self.retry_later();
            return;
        }
        let why = self.why_not(step, error);
        tracing::error!(step = ?step, "{why}");
        self.retry_later();
        match (step, error) {
            // The world has changed under the plan; it is planned anew.
            (_, Error::Guard(_)) => {}
            // systemd starts nothing on its way down: no fault of this node.
            _ if self.actor.systemd.shutting_down() => {}
            // It says nothing about the voter here, which cannot write as it is.
            (Step::AskFencePeer, _) => {}
            // Fencing that failed is tried again; the fencer's history tells why it did.
            (Step::FencePeer, _) => {}
            // A peer that does not answer may be dead: Pacemaker knows.
            (Step::StopPeer | Step::FetchLogs, error) if error.is_of_the_peer() => {
                self.knowledge.report = Asked::Silent(error.to_string())
            }
            _ if observation.request == Request::Hold => {
                self.stumbled = Some((step.clone(), why.clone()));
                self.failure = Some(why.clone());
                self.shared
                    .tell_holder(&Response::Unhealthy { reason: why });
            }
            _ => self.stumbled = Some((step.clone(), why)),
        }
    }

    /// What a step could not do, why, and which file system it is that takes no change, if there is one.
    pub(super) fn why_not(&self, step: &Step, error: &Error) -> String {
        let (paths, config) = (&self.actor.paths, &self.actor.config);
        let mounted = matches!(
            live::mount(paths, config),
            Ok(Mount::ReadWrite | Mount::ReadOnly)
        );
        let why = format!("could not {}: {error}", step.describe());
        room::with(why, paths, config, mounted)
    }

    fn schedule(&mut self, observation: &Observation, decision: &Decision) {
        if decision.settled {
            self.retry = None;
            self.patience = SHORTEST_RETRY;
            self.stumbled = None;
        } else {
            if observation.drbd.frozen.is_some() {
                self.patience = FROZEN_RETRY;
            }
            self.retry_later();
        }
    }

    fn retry_later(&mut self) {
        let due = self.retry.is_none_or(|at| at <= Instant::now());
        if due {
            self.retry = Some(Instant::now() + self.patience);
            self.patience = (self.patience * 2).min(LONGEST_RETRY);
        }
    }

    fn observe(&mut self) -> Observation {
        let observation = self.look();
        self.note_volume(&observation.epoch);
        self.actor.forget_own_disconnect(&observation.drbd);
        Observation {
            journal: self.actor.journal.clone(),
            ..observation
        }
    }

    fn look(&mut self) -> Observation {
        // Down before the look: a hold that ends in between is seen, or raises it again.
        self.shared.interrupt.set(false);
        let (request, hold) = self.shared.asked();
        if std::mem::replace(&mut self.hold, hold) != hold {
            // A failure belongs to the hold that it ended, and so does the patience with a peer. The next
            // one may stand before this is looked at.
            self.failure = None;
            self.knowledge.silent_since = None;
        }
        if std::mem::replace(&mut self.request, request) != request {
            // What the peer was while this node was its spare says nothing about a peer that may
            // just have died.
            self.knowledge.forget();
            self.own_disk = None;
        }
        let Daemon {
            actor,
            knowledge,
            volume,
            looks,
            volume_looks,
            ..
        } = self;
        if request != Request::Hold {
            self.failure = None;
            knowledge.silent_since = None;
        }
        let (paths, config) = (&actor.paths, &actor.config);
        let mount = match live::mount(paths, config) {
            Ok(mount) => mount,
            Err(error) => Mount::Foreign(format!("unknown: {error}")),
        };
        let mut units = gated_units(config);
        units.push(FAILOVER_UNIT.into());
        let (services, failover_unit) = match actor.systemd.states(&units) {
            Ok(states) => {
                let unit = states.get(FAILOVER_UNIT).copied();
                let up = matches!(unit, Some(UnitState::Active | UnitState::Changing));
                (live::services(config, &states), up)
            }
            Err(error) => {
                tracing::error!(%error, "the services' states are unknown");
                (Services::Partly, true)
            }
        };
        let token = paths.token().exists();
        if services != Services::Running || !token {
            self.confirmed = false;
        }
        let drbd = live::drbd(&*actor.runner, config);
        if !(drbd.up_to_date && drbd.connected) {
            knowledge.forget_promotion();
        }
        let connected = drbd.connected;
        let (on_volume, volume_silent) = if mount == Mount::ReadWrite {
            let (paths, config) = (paths.clone(), Arc::clone(config));
            let looks = Arc::clone(volume_looks);
            volume.look(drbd.frozen.is_some(), volume::PATIENCE, move || {
                // One look at a time; one that panicked has left plain values behind.
                let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
                live::volume(&paths, &config, &mut looks)
            })
        } else {
            (volume.unmounted(), false)
        };
        let voter = if !self.confirmed || request != Request::Hold {
            Voter::None
        } else if drbd.frozen.is_some() || volume_silent {
            Voter::Excused
        } else {
            Voter::Running
        };
        let health = self.health.look(voter);
        knowledge.drbd_waits(drbd.frozen == Some(Frozen::Fencing));
        let fence_peer = if drbd.frozen != Some(Frozen::Fencing) {
            FencePeer::Quiet
        } else if lock::is_held(&paths.run(), &config.volume.resource) {
            FencePeer::AtWork
        } else if knowledge.fence_peer_asked {
            FencePeer::Asked
        } else {
            FencePeer::Quiet
        };
        let own_disconnect = drbd.alone && paths.own_disconnect().exists();
        Observation {
            node: actor.node.name.clone(),
            peer: actor.peer.name.clone(),
            drbd,
            mount_point: live::mount_point(paths, config, &mount),
            request,
            failover_unit,
            shutting_down: actor.systemd.shutting_down(),
            journal: actor.journal.clone(),
            databases: live::databases(paths, config, &on_volume, looks),
            epoch: on_volume.epoch,
            volume_silent,
            fence_peer,
            own_disconnect,
            services,
            token,
            confirmed: self.confirmed,
            health,
            peer_report: knowledge.report.clone(),
            peer_node: knowledge.node.clone(),
            promotion: knowledge.promotion.clone(),
            peer_stopped: knowledge.stopped,
            peer_patience_over: knowledge
                .silent_since
                .is_some_and(|since| since.elapsed() >= config.peer.silent_timeout),
            peer_logs_fetched: knowledge.logs_fetched,
            split_brain: live::split_brain(paths, connected),
            own_disk: self.own_disk.clone(),
            failure: self.failure.clone(),
            stumbled: self.stumbled.as_ref().map(|(_, why)| why.clone()),
            configuration: self.trouble.clone(),
            differences: knowledge.configuration.differences.clone(),
            mount,
        }
    }

    /// Each warning goes into the journal once, until the agent has arrived without it; that, too,
    /// is worth a line.
    fn warn(&mut self, decision: &Decision) {
        if decision.settled {
            let before = self.warned.len();
            self.warned
                .retain(|warning| decision.warnings.contains(warning));
            if self.warned.len() < before {
                tracing::info!(
                    "the warning of before no longer holds: {}",
                    decision.reasons.join("; ")
                );
            }
        }
        for warning in &decision.warnings {
            if !self.warned.contains(warning) {
                tracing::warn!("{warning}");
                self.warned.push(warning.clone());
            }
        }
    }

    fn publish(&mut self, o: &Observation, d: &Decision, doing: Option<&str>) {
        let status = Status {
            format: 1,
            node: o.node.clone(),
            peer: o.peer.clone(),
            state: d.state,
            settled: d.settled,
            reasons: d.reasons.clone(),
            warnings: d.warnings.clone(),
            remedy: d.remedy.clone(),
            doing: doing.map(str::to_owned),
            epoch: o.journal.highest_epoch,
            owner: match &o.epoch {
                Known::Present(epoch) => Some(epoch.owner.clone()),
                Known::Absent | Known::Unreadable(_) => None,
            },
            drbd: o.drbd.clone(),
            mount: o.mount.clone(),
            request: o.request,
            services: o.services,
            peer_state: match &o.peer_report {
                Asked::NotYet => "not asked".into(),
                Asked::Silent(why) => format!("silent: {why}"),
                Asked::Answer(report) if self.knowledge.configuration.heard.is_none() => format!(
                    "{} (epoch {}); of an older version, which does not tell its configuration",
                    report.state, report.epoch
                ),
                Asked::Answer(report) => format!("{} (epoch {})", report.state, report.epoch),
            },
        };
        let text = match doing {
            Some(doing) => format!("{}: {doing}", d.state),
            None => format!("{}: {}", d.state, d.reasons.join("; ")),
        };
        self.notify.status(&text);
        let report = Report {
            node: o.node.clone(),
            state: d.state,
            epoch: o.journal.highest_epoch,
            voter: d.state == State::PrimaryRunning,
            datastore_running: o.services != Services::Stopped || o.token,
            wants_voter: o.request == Request::Hold,
            original_voter: original_voter(o),
            logs: logs(o),
            fenced: self.fenced.clone(),
            config: self.facts.clone(),
            heard: self.knowledge.configuration.heard.clone(),
        };
        self.shared.publish(status, (o.clone(), d.clone()), report);
    }
}

/// What both databases' first day directories say together: voter of both, spare of both, or
/// nothing that could be relied on.
fn original_voter(o: &Observation) -> Option<bool> {
    let mut all = o.databases.values().map(|d| d.original_voter);
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

/// The logs in this node's own directories. One whose epoch an operator has given up is of no account.
fn logs(o: &Observation) -> BTreeMap<Database, SpareLog> {
    let log = |(database, d): (&Database, &Directories)| {
        let end = d.spare_log.end()?.clone();
        let epoch = *o.journal.spare_epoch.get(database)?;
        Some((*database, SpareLog { epoch, end }))
    };
    o.databases.iter().filter_map(log).collect()
}

fn announce(decision: &Decision) {
    let reasons = decision.reasons.join("; ");
    match &decision.remedy {
        Some(remedy) => tracing::error!(
            state = decision.state.name(),
            "{}: {reasons}. What to do: {remedy}",
            decision.state
        ),
        None => tracing::info!(
            state = decision.state.name(),
            "{}: {reasons}",
            decision.state
        ),
    }
}
