//! From a look to the next step, and from its end to the next look.

use std::collections::BTreeMap;

use two_node_ha_config::Config;

use super::down::Down;
use super::event::{
    Action, Failure, Kind, Moment, Outcome, Remark, Sight, Standing, Task, ToHolder,
};
use super::reads::Count;
use super::{Machine, SHORTEST_RETRY, SUSPENDED_RETRY, Turn, Work};
use crate::decision::{Decision, State};
use crate::observation::{
    Asked, Directories, FencePeer, Known, Mount, Observation, PeerNode, Request, Rest, Role,
    Services, SplitBrain, Suspended,
};
use crate::plan::plan;
use crate::record::Owned;
use crate::report::{Report, SpareLog};
use crate::step::{Step, Target};

impl Machine {
    /// The eyes have looked.
    pub fn seen(&mut self, sight: Sight, config: &Config, now: Moment) {
        if self.turn != Turn::Looking {
            return;
        }
        if self.asks.take().is_some_and(|asks| asks != sight.request) {
            // Pacemaker has changed its mind since: nothing is begun for what it asked before.
            self.turn = Turn::Due;
            return;
        }
        let noted = sight.resolution.clone();
        let o = self.observation(sight, config, now);
        if let Some(work) = self.first_due(&o, &noted) {
            self.begun(work, &o, config);
            return;
        }
        if let Some(work) = self.demotion(&o, now) {
            self.begun(work, &o, config);
            return;
        }
        let decision = plan(&o, config);
        let same = |before: &(Observation, Decision)| before.0 == o && before.1 == decision;
        if !self.failed && self.before.as_deref().is_some_and(same) {
            let steps = decision.steps;
            self.out
                .push_back(Action::Say(Remark::NothingChanged(steps)));
            self.retry_later(now);
            self.over();
            return;
        }
        if self.before.take().is_some() && !self.failed {
            // A step was taken, and something that can be seen is different: only that, and what comes
            // from outside, is progress. A state that changes is not: it may change to and fro with
            // each try of a step that its guard refuses.
            self.patience = SHORTEST_RETRY;
        }
        self.state = Some(decision.state);
        let is_voter = decision.state == State::PrimaryRunning;
        let was_voter = self.promised;
        self.publish(&o, &decision, None);
        if decision.only_here && o.request == Request::Hold {
            // The other node may have what this one lacks: Pacemaker should try it.
            self.tell(ToHolder::Unhealthy(decision.reasons.join("; ")));
        }
        if is_voter {
            self.ask_for_the_ports(&o.drbd);
            self.tell(ToHolder::Working);
            if !was_voter {
                self.out.push_back(Action::WakePeer);
            }
        }
        self.schedule(&o, &decision, now);
        if self.failed {
            self.over();
        } else {
            self.act(o, decision);
        }
    }

    /// The hands have done what they were to do, or not.
    pub fn done(&mut self, result: Result<Outcome, Failure>, now: Moment) {
        let Turn::Working(work) = std::mem::replace(&mut self.turn, Turn::Due) else {
            return;
        };
        match work {
            Work::Step {
                step,
                request,
                reasons,
            } => match result {
                Ok(outcome) => {
                    let taken = Task::Take(step);
                    self.stumbled.take_if(|(stumbled, _)| *stumbled == taken);
                    self.learn(outcome, &reasons);
                }
                Err(failure) if self.disk_refused(&step, request, &failure) => {}
                Err(failure) => {
                    self.failed(&step, request, failure, now);
                    self.failed = true;
                }
            },
            Work::StopForPeer(ticket) => self.stopped_for_peer(ticket, result),
            Work::Resolve {
                ticket,
                step,
                resolution,
            } => self.resolved((ticket, step, resolution), result),
            Work::Demote(handler) => match result {
                Ok(_) => {
                    let demoted = Task::Demote(handler);
                    self.stumbled.take_if(|(stumbled, _)| *stumbled == demoted);
                    self.demoted();
                }
                Err(failure) => {
                    if failure.kind != Kind::Interruption {
                        self.stumbled = Some((Task::Demote(handler), failure.why));
                    }
                    self.not_demoted(now);
                }
            },
        }
    }

    fn over(&mut self) {
        self.turn = if self.again { Turn::Due } else { Turn::Over };
        self.before = None;
        self.failed = false;
    }

    /// The hands begin something that no plan has named.
    fn begun(&mut self, (work, task): (Work, Task), o: &Observation, config: &Config) {
        match &task {
            // Nothing is promised until it is answered.
            Task::StopForPeer => {}
            Task::Take(_) | Task::Resolve(..) | Task::Demote(_) => {
                self.publish(o, &plan(o, config), Some(task.clone()));
            }
        }
        self.work(work, task);
    }

    /// Takes the first step that is not only a question.
    fn act(&mut self, o: Observation, decision: Decision) {
        for step in &decision.steps {
            match step {
                Step::AskPeer => self.ask_peer(),
                Step::AskPacemaker => self.ask_pacemaker(),
                Step::AskPromotion => self.ask_promotion(),
                Step::ReportReleased => {
                    self.tell(ToHolder::Released);
                    self.turn = Turn::Due;
                    self.before = Some(Box::new((o, decision)));
                    return;
                }
                // In a plan that begins with a question nothing but questions follows.
                step => {
                    let step = step.clone();
                    self.take(step, o, decision);
                    return;
                }
            }
        }
        self.over();
    }

    fn take(&mut self, step: Step, o: Observation, decision: Decision) {
        self.publish(&o, &decision, Some(Task::Take(step.clone())));
        if matches!(step, Step::StopServices | Step::StartServices) {
            self.confirmed = false;
            self.retract();
        }
        let work = Work::Step {
            step: step.clone(),
            request: o.request,
            reasons: decision.reasons.clone(),
        };
        self.before = Some(Box::new((o, decision)));
        self.work(work, Task::Take(step));
    }

    fn work(&mut self, work: Work, task: Task) {
        // What it does may keep the datastore from answering. The next look ends this.
        if self.reads.count == Count::Running {
            self.watch(Count::Excused);
        }
        self.turn = Turn::Working(work);
        self.out.push_back(Action::Do(task));
    }

    fn learn(&mut self, outcome: Outcome, reasons: &[String]) {
        match outcome {
            Outcome::Done => {}
            Outcome::VoterConfirmed => self.confirmed = true,
            Outcome::PeerStopped => {
                self.peer_is_heard();
                self.knowledge.peer_has_stopped();
            }
            Outcome::PeerFenced => {
                self.peer_is_off();
                self.fenced = Some(reasons.join("; "));
                self.knowledge.forget();
                self.knowledge.silent_since = None;
            }
            Outcome::LogsFetched => self.knowledge.logs_fetched = true,
            Outcome::FencePeerAsked => self.knowledge.fence_peer_asked = true,
            Outcome::ConstraintRemoved => {
                self.knowledge.forget_promotion();
                // It waits for this.
                self.out.push_back(Action::WakePeer);
            }
        }
    }

    /// Whether a step on the way down failed because this node's own disk takes no change, which is
    /// then noted, and the rest of the way goes on without it.
    fn disk_refused(&mut self, step: &Step, request: Request, failure: &Failure) -> bool {
        let down = match step {
            Step::StopServices | Step::Leave(_) | Step::Flip(_, Target::Spare) => {
                request != Request::Hold
            }
            _ => false,
        };
        if !down || self.own_disk.is_some() || failure.kind != Kind::Disk {
            return false;
        }
        self.own_disk = Some(failure.why.clone());
        true
    }

    fn failed(&mut self, step: &Step, request: Request, failure: Failure, now: Moment) {
        self.retry_later(now);
        match (step, failure.kind) {
            // It gave way, or the world has changed under the plan; it is planned anew.
            (_, Kind::Interruption | Kind::Guard) => {}
            // systemd starts nothing on its way down: no fault of this node.
            _ if failure.shutting_down => {}
            // It says nothing about the voter here, which cannot write as it is.
            (Step::AskFencePeer, _) => {}
            // The role does not rest on them. What could not be started is said as long as it is down.
            (Step::StartRest, _) => {}
            // Fencing that failed is tried again; the fencer's history tells why it did.
            (Step::FencePeer, _) => {}
            // A peer that does not answer may be dead: Pacemaker knows.
            (Step::StopPeer | Step::FetchLogs, Kind::Peer) => {
                self.knowledge.report = Asked::Silent(failure.error);
            }
            (_, Kind::Peer | Kind::Disk | Kind::Other) => {
                self.stumbled = Some((Task::Take(step.clone()), failure.why.clone()));
                if request == Request::Hold {
                    self.failure = Some(failure.why.clone());
                    self.tell(ToHolder::Unhealthy(failure.why));
                }
            }
        }
    }

    fn schedule(&mut self, o: &Observation, decision: &Decision, now: Moment) {
        if decision.settled && self.called.is_empty() {
            self.retry = None;
            self.patience = SHORTEST_RETRY;
            self.stumbled = None;
        } else {
            if o.drbd.suspended.is_some() {
                self.patience = SUSPENDED_RETRY;
            }
            self.retry_later(now);
        }
    }

    /// Adds what the machine knows to what was seen, and forgets what that makes old.
    fn observation(&mut self, sight: Sight, config: &Config, now: Moment) -> Observation {
        let Sight {
            drbd,
            mount,
            mount_point,
            request,
            hold,
            failover_unit,
            shutting_down,
            epoch,
            volume_silent,
            handler_at_work,
            own_disconnect,
            mut journal,
            databases,
            services,
            down,
            token,
            resolution,
            split_brain_reported,
        } = sight;
        // After a release the volume is about to be unmounted: it is not begun with anew.
        if request != Request::None {
            self.unasked = false;
        } else if mount == Mount::None {
            self.unasked = true;
        }
        let another_hold = std::mem::replace(&mut self.hold, hold) != hold;
        let before = std::mem::replace(&mut self.request, request);
        let another_request = before != request;
        self.ports_by_look(&drbd, another_request);
        if before == Request::None && drbd.role != Role::Primary {
            self.knowledge.forget_a_dead_peer();
        }
        if another_request {
            // What the peer was while this node was its spare says nothing about a peer that may just
            // have died.
            let dead = self.knowledge.node == Asked::Answer(PeerNode::Down);
            self.knowledge.forget();
            if dead && (before, request) == (Request::None, Request::Hold) {
                // But it was asked for when DRBD was primary here already, and then it was dead.
                self.knowledge.node = Asked::Answer(PeerNode::Down);
                self.peer_is_off();
            }
            self.own_disk = None;
            self.patience = SHORTEST_RETRY;
        }
        if another_hold || request != Request::Hold {
            // A failure belongs to the hold that it ended, and so does the patience with a peer. The next
            // one may stand before this is looked at.
            self.failure = None;
            self.knowledge.silent_since = None;
        }
        let rest = if services == Services::Running && token {
            self.down.see(down, now)
        } else {
            self.confirmed = false;
            self.down = Down::default();
            Rest::default()
        };
        if !(drbd.up_to_date && drbd.connected) {
            self.knowledge.forget_promotion();
        }
        self.watch(if !self.confirmed || request != Request::Hold {
            Count::None
        } else if drbd.suspended.is_some() || volume_silent {
            Count::Excused
        } else {
            Count::Running
        });
        if own_disconnect && drbd.seeking {
            self.out.push_back(Action::ForgetOwnDisconnect);
        }
        let split_brain = match resolution {
            Known::Present(resolution) => Some(SplitBrain::Resolving(resolution.winner)),
            Known::Absent | Known::Unreadable(_) => {
                (split_brain_reported && !drbd.connected).then_some(SplitBrain::Reported)
            }
        };
        let waits = drbd.suspended == Some(Suspended::Fencing);
        self.knowledge.drbd_waits(waits);
        let fence_peer = if !waits {
            FencePeer::Quiet
        } else if handler_at_work {
            FencePeer::AtWork
        } else if self.knowledge.fence_peer_asked {
            FencePeer::Asked
        } else {
            FencePeer::Quiet
        };
        if let Known::Present(epoch) = &epoch {
            let owned = Owned {
                epoch: epoch.epoch,
                owner: epoch.owner.clone(),
            };
            if journal.volume.as_ref() != Some(&owned) {
                self.out.push_back(Action::NoteVolume(owned.clone()));
                journal.volume = Some(owned);
            }
        }
        let knowledge = &self.knowledge;
        let silent = knowledge
            .silent_since
            .is_some_and(|since| now.saturating_sub(since) >= config.peer.silent_timeout);
        Observation {
            node: self.node.clone(),
            peer: self.peer.clone(),
            own_disconnect: own_disconnect && drbd.alone,
            just_mounted: self.unasked && mount != Mount::None,
            drbd,
            mount,
            mount_point,
            request,
            failover_unit,
            shutting_down,
            epoch,
            volume_silent,
            fence_peer,
            journal,
            databases,
            services,
            rest,
            token,
            confirmed: self.confirmed,
            health: self.reads.health.clone(),
            peer_report: knowledge.report.clone(),
            peer_node: knowledge.node.clone(),
            promotion: knowledge.promotion.clone(),
            peer_stopped: knowledge.stopped,
            peer_patience_over: silent,
            peer_logs_fetched: knowledge.logs_fetched,
            split_brain,
            own_disk: self.own_disk.clone(),
            failure: self.failure.clone(),
            stumbled: self.stumbled.as_ref().map(|(_, why)| why.clone()),
            configuration: self.trouble.clone(),
            differences: knowledge.configuration.differences.clone(),
        }
    }

    fn publish(&mut self, o: &Observation, decision: &Decision, doing: Option<Task>) {
        let voter = decision.state == State::PrimaryRunning;
        self.promised = voter;
        let report = Report {
            node: self.node.clone(),
            state: decision.state,
            epoch: o.journal.highest_epoch,
            voter,
            datastore_running: o.services.may_write() || o.token,
            wants_voter: o.request == Request::Hold,
            original_voter: original_voter(o),
            logs: logs(o),
            fenced: self.fenced.clone(),
            config: self.facts.clone(),
            heard: self.knowledge.configuration.heard.clone(),
        };
        self.out.push_back(Action::Publish(Box::new(Standing {
            observation: o.clone(),
            decision: decision.clone(),
            doing,
            report,
            peer_tells_configuration: self.knowledge.configuration.heard.is_some(),
        })));
    }
}

/// What both databases' first day directories say together: voter of both, spare of both, or nothing
/// that could be relied on.
fn original_voter(o: &Observation) -> Option<bool> {
    let mut all = o.databases.values().map(|d| d.original_voter);
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

/// The logs in this node's own directories. One whose epoch an operator has given up is of no account.
fn logs(o: &Observation) -> BTreeMap<crate::Database, SpareLog> {
    let log = |(database, d): (&crate::Database, &Directories)| {
        let end = d.spare_log.end()?.clone();
        let epoch = *o.journal.spare_epoch.get(database)?;
        Some((*database, SpareLog { epoch, end }))
    };
    o.databases.iter().filter_map(log).collect()
}
