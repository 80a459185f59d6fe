//! Driving the machine: whatever it says is to be done is done or begun here, one thing after the other,
//! and what comes of it goes back to it. Nothing is decided.

use two_node_ha_planner::machine::{Action, Remark, Standing, ToHolder};
use two_node_ha_protocol::control::Response;

use super::work::{Done, Job};
use super::{Daemon, voice};

impl Daemon {
    /// Until there is nothing to do but wait: for an event, for the worker, or for the time.
    pub(super) fn turn(&mut self) {
        loop {
            // Pacemaker may have changed its mind in the meantime.
            self.drain_events();
            // An agent that ends begins nothing more; what it is at may still have to give way.
            if self.end.is_some() && !self.busy {
                return;
            }
            match self.machine.poll((self.clock)()) {
                None => return,
                Some(action) => self.perform(action),
            }
        }
    }

    /// The worker has come to the end of a job.
    pub(super) fn done(&mut self, done: Done) {
        self.busy = false;
        self.notify.alive();
        let now = (self.clock)();
        match done {
            Done::Saw(sight) => self.machine.seen(*sight, &self.config, now),
            Done::Did(result) => self.machine.done(result, now),
        }
    }

    fn begin(&mut self, job: Job) {
        debug_assert!(!self.busy, "{job:?} is to begin while another job is done");
        self.busy = true;
        self.jobs.put(job);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Look => self.begin(Job::Look),
            Action::Do(task) => {
                // What was raised for the one before is nothing to this one: a hold that ended since the
                // look has not been heard of yet, and raises it again.
                self.interrupt.set(false);
                self.begin(Job::Do(task));
            }
            Action::Interrupt => self.interrupt.set(true),
            Action::AskPeer => self.questions.ask_peer(),
            Action::AskPacemaker => self.questions.ask_pacemaker(),
            Action::AskPromotion { round } => self.questions.ask_promotion(round),
            Action::WakePeer => self.questions.wake_peer(),
            Action::CompleteEvidence => self.questions.complete_evidence(),
            Action::Tell(ToHolder::Working) => self.shared.tell_holder(&Response::Working),
            Action::Tell(ToHolder::Unhealthy(reason)) => {
                self.shared.tell_holder(&Response::Unhealthy { reason });
            }
            Action::Tell(ToHolder::Released) => {
                tracing::info!("the volume is free");
                self.shared.released();
            }
            Action::NoteVolume(owned) => self.jobs.put(Job::NoteVolume(owned)),
            Action::ForgetOwnDisconnect => self.jobs.put(Job::ForgetOwnDisconnect),
            Action::Heard(ticket) => {
                if let Some(pending) = self.called.remove(&ticket) {
                    if let Err(error) = pending.ack() {
                        tracing::warn!("an event of a hook stays behind: {error}");
                    }
                }
            }
            Action::Watch(watch) => self.health.set(watch),
            Action::PeerPorts(ports) => self.ports.set(ports),
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

    fn say(&self, remark: &Remark) {
        let peer = &self.peer;
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
            Remark::TooLate(handler) => tracing::warn!(
                handler,
                "{handler} is too long ago to take the primary away for it"
            ),
            Remark::NotPrimary(handler) => tracing::warn!(
                handler,
                "{handler}: this node is not primary any more; nothing to take away"
            ),
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
}
