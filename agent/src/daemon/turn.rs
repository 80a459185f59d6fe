//! Driving the machine: whatever it says is to be done is done here, one thing after the other, and
//! what comes of it goes back to it. Nothing is decided.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use two_node_ha_pacemaker::lock;
use two_node_ha_planner::Step;
use two_node_ha_planner::machine::{
    Action, Failure, Kind, Outcome, Remark, Sight, Standing, Task, ToHolder,
};
use two_node_ha_planner::observation::Mount;
use two_node_ha_planner::record::Owned;
use two_node_ha_protocol::control::Response;

use super::{Daemon, voice};
use crate::act::Error;
use crate::observe::{live, units, volume};
use crate::room;
use crate::store::Record;

impl Daemon {
    /// Until there is nothing to do but wait.
    pub(super) fn turn(&mut self) {
        loop {
            // Pacemaker may have changed its mind in the meantime.
            self.drain_events();
            if self.end.is_some() {
                return;
            }
            match self.machine.poll((self.clock)()) {
                None => return,
                Some(action) => self.perform(action),
            }
        }
    }

    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Look => {
                let sight = self.look();
                let now = (self.clock)();
                self.machine.seen(sight, &self.actor.config, now);
            }
            Action::Do(task) => {
                let result = self.work_on(&task);
                self.notify.alive();
                self.machine.done(result, (self.clock)());
            }
            Action::AskPeer => self.questions.ask_peer(),
            Action::AskPacemaker => self.questions.ask_pacemaker(),
            Action::AskPromotion { round } => self.questions.ask_promotion(round),
            Action::WakePeer => self.questions.wake_peer(),
            Action::Tell(ToHolder::Working) => self.shared.tell_holder(&Response::Working),
            Action::Tell(ToHolder::Unhealthy(reason)) => {
                self.shared.tell_holder(&Response::Unhealthy { reason });
            }
            Action::Tell(ToHolder::Released) => {
                tracing::info!("the volume is free");
                self.shared.released();
            }
            Action::NoteVolume(owned) => self.note_volume(owned),
            Action::Watch(watch) => self.health.set(watch),
            Action::Publish(standing) => self.publish(*standing),
            Action::Retract => self.shared.retract_voter(),
            Action::DatabasesStopped => self.shared.databases_stopped(),
            Action::Answer(ticket, answer) => {
                if let Some(reply) = self.waiting.remove(&ticket) {
                    // The connection may be gone; what was done is done all the same.
                    let _ = reply.send(answer);
                }
            }
            Action::Say(remark) => self.say(&remark),
        }
    }

    /// Keeps in mind whose the volume is that is mounted here.
    fn note_volume(&mut self, owned: Owned) {
        let journal = &mut self.actor.journal;
        journal.volume = Some(owned);
        if let Err(error) = journal.write(&self.actor.paths.journal()) {
            tracing::error!("{error}");
        }
    }

    fn say(&self, remark: &Remark) {
        let peer = &self.actor.peer.name;
        match remark {
            Remark::NothingChanged(steps) => tracing::error!(
                steps = ?steps,
                "the last step changed nothing that can be seen; waiting before the next try"
            ),
            Remark::WasFenced(why) => {
                tracing::warn!("{peer} has had this node fenced: {}", voice::one_line(why));
            }
            Remark::StopsForPeer => {
                tracing::info!("{peer} is about to be the voter; stopping here")
            }
        }
    }

    fn publish(&mut self, standing: Standing) {
        if standing.doing.is_none() {
            self.voice.decided(&standing.decision);
        }
        self.notify.status(&voice::in_a_line(&standing));
        let status = voice::status(&standing);
        let Standing {
            observation,
            decision,
            doing: _,
            report,
            peer_tells_configuration: _,
        } = standing;
        self.shared.publish(status, (observation, decision), report);
    }

    pub(super) fn work_on(&mut self, task: &Task) -> Result<Outcome, Failure> {
        match task {
            Task::Take(step) => self.take(step),
            Task::StopForPeer => {
                let notify = &self.notify;
                let stopped = self
                    .actor
                    .take(&Step::StopServices, &mut |_| notify.alive());
                stopped.map_err(|error| {
                    let failure = self.failure(&Step::StopServices, &error);
                    tracing::error!("{}", failure.why);
                    failure
                })
            }
            Task::Forget(epoch) => self.forget_epochs(*epoch).map(|()| Outcome::Done),
        }
    }

    fn take(&mut self, step: &Step) -> Result<Outcome, Failure> {
        let words = step.describe();
        let state = self
            .shared
            .status()
            .map_or("", |status| status.state.name());
        tracing::info!(step = ?step, state, "{words}");
        self.shared.tell_holder(&Response::Progress {
            text: words.clone(),
        });
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
                Ok(outcome)
            }
            Err(error) if error.is_interruption() => {
                tracing::info!(step = ?step, "gave up to {words}: {error}");
                Err(self.failure(step, &error))
            }
            Err(error) => {
                let failure = self.failure(step, &error);
                tracing::error!(step = ?step, "{}", failure.why);
                Err(failure)
            }
        }
    }

    /// What a step could not do, why, and which file system it is that takes no change, if there is one.
    pub(super) fn failure(&self, step: &Step, error: &Error) -> Failure {
        let (paths, config) = (&self.actor.paths, &self.actor.config);
        let mounted = matches!(
            live::mount(paths, config),
            Ok(Mount::ReadWrite | Mount::ReadOnly)
        );
        let why = format!("could not {}: {error}", step.describe());
        let kind = if error.is_interruption() {
            Kind::Interruption
        } else if matches!(error, Error::Guard(_)) {
            Kind::Guard
        } else if error.is_of_the_peer() {
            Kind::Peer
        } else if matches!(error, Error::Io { .. }) {
            Kind::Disk
        } else {
            Kind::Other
        };
        Failure {
            kind,
            shutting_down: self.actor.systemd.shutting_down(),
            error: error.to_string(),
            why: room::with(why, paths, config, mounted),
        }
    }

    fn look(&mut self) -> Sight {
        // Down before the look: a hold that ends in between is seen, or raises it again.
        self.shared.interrupt.set(false);
        let (request, hold) = self.shared.asked();
        let Daemon {
            actor,
            volume,
            looks,
            volume_looks,
            ..
        } = self;
        let (paths, config) = (&actor.paths, &actor.config);
        let mount = match live::mount(paths, config) {
            Ok(mount) => mount,
            Err(error) => Mount::Foreign(format!("unknown: {error}")),
        };
        let (services, failover_unit) = units::look(&*actor.systemd, config);
        let drbd = live::drbd(&*actor.runner, config);
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
        let sight = Sight {
            mount_point: live::mount_point(paths, config, &mount),
            request,
            hold,
            failover_unit,
            shutting_down: actor.systemd.shutting_down(),
            databases: live::databases(paths, config, &on_volume, looks),
            epoch: on_volume.epoch,
            volume_silent,
            handler_at_work: lock::is_held(&paths.run(), &config.volume.resource),
            own_disconnect: drbd.alone && paths.own_disconnect().exists(),
            journal: actor.journal.clone(),
            services,
            token: paths.token().exists(),
            health: self.health.health(),
            split_brain: live::split_brain(paths, drbd.connected),
            drbd,
            mount,
        };
        self.actor.forget_own_disconnect(&sight.drbd);
        sight
    }
}
