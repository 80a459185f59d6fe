//! The worker: one thread that has this node's eyes and hands, and does one job after the other.
//!
//! The loop gives it a job and goes on hearing; what came of the job comes back as an event. Looks, steps
//! and the notes in between are jobs of the same thread, in the order in which the machine asked for
//! them, so that no look ever sees a step half done, and the journal has one owner.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use two_node_ha_planner::Step;
use two_node_ha_planner::machine::{Failure, Kind, Outcome, Sight, Task};
use two_node_ha_planner::observation::{Mount, Request};
use two_node_ha_planner::record::{Owned, Resolution};
use two_node_ha_planner::split_brain::plan as resolve;
use two_node_ha_protocol::control::Response;

use super::Event;
use super::eyes::Eyes;
use super::shared::Shared;
use crate::act::split_brain::Hands;
use crate::act::split_brain::copy::Copies;
use crate::act::{Actor, Error, FAILOVER_UNIT, Progress};
use crate::observe::live;
use crate::observe::split_brain::Here;
use crate::room;
use crate::store::Record;
use crate::systemd::UnitState;

/// What the worker is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// Look at this node.
    Look,
    /// Do this.
    Do(Task),
    /// Keep in mind whose the volume is that is mounted here.
    NoteVolume(Owned),
    /// Take the mark of an own disconnecting away.
    ForgetOwnDisconnect,
}

/// What came of a job.
#[derive(Debug)]
pub enum Done {
    /// What was seen.
    Saw(Box<Sight>),
    /// What became of a task.
    Did(Result<Outcome, Failure>),
}

/// Where the loop puts jobs. They are done in their order.
pub(super) trait Jobs {
    /// Has it done, and does not wait.
    fn put(&mut self, job: Job);
}

/// The thread.
pub(super) struct Thread(Sender<Job>);

impl Jobs for Thread {
    fn put(&mut self, job: Job) {
        // A worker that is gone has said so.
        let _ = self.0.send(job);
    }
}

/// Says that the worker is gone, however it went: the loop would wait for it for ever.
struct Gone(Sender<Event>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send(Event::WorkerLost);
    }
}

/// Starts the thread. `worker` is made on it, for its doors are for one thread only.
///
/// # Errors
/// When there is no thread: in words.
pub(super) fn start(
    worker: impl FnOnce() -> Worker + Send + 'static,
    events: Sender<Event>,
) -> Result<Thread, String> {
    let (put, jobs) = channel();
    std::thread::Builder::new()
        .name("worker".into())
        .spawn(move || {
            let _gone = Gone(events.clone());
            let mut worker = worker();
            for job in jobs {
                let mut progress = |text: &str| {
                    let _ = events.send(Event::Progress(text.to_owned()));
                };
                if let Some(done) = worker.work(&job, &mut progress) {
                    let _ = events.send(Event::Done(done));
                }
            }
        })
        .map(|_| Thread(put))
        .map_err(|error| format!("starting the worker's thread: {error}"))
}

/// Whoever does the jobs.
#[derive(Debug)]
pub(super) struct Worker {
    /// The hands.
    pub(super) actor: Actor,
    eyes: Eyes,
    shared: Arc<Shared>,
}

impl Worker {
    pub(super) fn new(actor: Actor, shared: Arc<Shared>) -> Self {
        Self {
            actor,
            eyes: Eyes::default(),
            shared,
        }
    }

    /// Does a job; what came of it, where anybody waits for that.
    pub(super) fn work(&mut self, job: &Job, progress: &mut Progress<'_>) -> Option<Done> {
        match job {
            Job::Look => {
                let sight = self.eyes.look(&self.actor, &self.shared);
                Some(Done::Saw(Box::new(sight)))
            }
            Job::Do(task) => Some(Done::Did(self.task(task, progress))),
            Job::NoteVolume(owned) => {
                let journal = &mut self.actor.journal;
                journal.volume = Some(owned.clone());
                if let Err(error) = journal.write(&self.actor.paths.journal()) {
                    tracing::error!("{error}");
                }
                None
            }
            Job::ForgetOwnDisconnect => {
                self.actor.forget_own_disconnect();
                None
            }
        }
    }

    pub(super) fn task(
        &mut self,
        task: &Task,
        progress: &mut Progress<'_>,
    ) -> Result<Outcome, Failure> {
        match task {
            Task::Take(step) => self.take(step, progress),
            Task::StopForPeer => {
                // Its words are of a step that nobody here has asked for.
                let stopped = self.actor.take(&Step::StopServices, &mut |_| {
                    progress("stopping for the peer")
                });
                stopped.map_err(|error| {
                    let failure = self.failure(&Step::StopServices.describe(), &error);
                    tracing::error!("{}", failure.why);
                    failure
                })
            }
            Task::Resolve(step, resolution) => self.resolve(step, resolution, progress),
            Task::Demote(handler) => match self.actor.demote() {
                Ok(words) => {
                    tracing::warn!(handler, "{handler}: {words}");
                    Ok(Outcome::Done)
                }
                Err(why) => {
                    tracing::error!(handler, "{handler}: {why}");
                    let what = task.describe(&self.actor.node.name);
                    Err(self.other(&what, why))
                }
            },
        }
    }

    fn take(&mut self, step: &Step, progress: &mut Progress<'_>) -> Result<Outcome, Failure> {
        let words = step.describe();
        let state = self
            .shared
            .status()
            .map_or("", |status| status.state.name());
        tracing::info!(step = ?step, state, "{words}");
        self.shared.tell_holder(&Response::Progress {
            text: words.clone(),
        });
        let began = Instant::now();
        let result = self.actor.take(step, progress);
        match result {
            Ok(outcome) => {
                tracing::debug!(step = ?step, ms = began.elapsed().as_millis() as u64, "done");
                Ok(outcome)
            }
            Err(error) if error.is_interruption() => {
                tracing::info!(step = ?step, "gave up to {words}: {error}");
                Err(self.failure(&words, &error))
            }
            Err(error) => {
                let failure = self.failure(&words, &error);
                tracing::error!(step = ?step, "{}", failure.why);
                Err(failure)
            }
        }
    }

    fn resolve(
        &mut self,
        step: &resolve::Step,
        resolution: &Resolution,
        progress: &mut Progress<'_>,
    ) -> Result<Outcome, Failure> {
        let words = step.describe(&self.actor.node.name, &resolution.loser);
        tracing::info!(step = ?step, "split brain: {words}");
        let taken = match step {
            resolve::Step::Forget(epoch) => self.forget_epochs(*epoch),
            resolve::Step::Begin
            | resolve::Step::Ban
            | resolve::Step::Demote
            | resolve::Step::Disconnect
            | resolve::Step::Copy
            | resolve::Step::Discard
            | resolve::Step::Connect
            | resolve::Step::Unban
            | resolve::Step::Finish => {
                let actor = &self.actor;
                let copies = Copies {
                    config: Arc::clone(&actor.config),
                    root: actor.paths.root().to_owned(),
                };
                let hands = Hands {
                    here: Here {
                        config: &actor.config,
                        paths: &actor.paths,
                        node: &actor.node.name,
                    },
                    runner: &*actor.runner,
                    copier: &copies,
                    held: self.held(),
                    interrupt: &actor.interrupt,
                };
                hands.take(step, resolution, progress)
            }
        };
        match taken {
            Ok(()) => Ok(Outcome::Done),
            Err(why) => {
                tracing::error!(step = ?step, "split brain: not taken: {why}");
                let failure = self.other(&words, why.clone());
                // The command says itself what could not be done.
                let why = match failure.kind {
                    Kind::Interruption => format!(
                        "{} was asked for something that goes before it ({why})",
                        self.actor.node.name
                    ),
                    Kind::Guard | Kind::Peer | Kind::Disk | Kind::Other => why,
                };
                Err(Failure { why, ..failure })
            }
        }
    }

    /// Whether the failover unit holds the role, or is about to.
    fn held(&self) -> bool {
        let unit = [FAILOVER_UNIT.to_owned()];
        let up = match self.actor.systemd.states(&unit) {
            Ok(states) => matches!(
                states.get(FAILOVER_UNIT),
                Some(UnitState::Active | UnitState::Changing)
            ),
            // Perhaps.
            Err(_) => true,
        };
        up || self.shared.request() != Request::None
    }

    /// The epochs above this one have been given up.
    fn forget_epochs(&mut self, epoch: u64) -> Result<(), String> {
        let journal = &mut self.actor.journal;
        tracing::warn!(
            from = journal.highest_epoch,
            to = epoch,
            "epochs above {epoch} are forgotten: their data is given up"
        );
        journal.forget_above(epoch);
        journal
            .write(&self.actor.paths.journal())
            .map_err(|error| error.to_string())
    }

    /// A failure of which nothing is known but its words, and whether it was wanted.
    fn other(&self, what: &str, error: String) -> Failure {
        Failure {
            kind: if self.actor.interrupt.is_set() {
                Kind::Interruption
            } else {
                Kind::Other
            },
            shutting_down: self.actor.systemd.shutting_down(),
            why: format!("could not {what}: {error}"),
            error,
        }
    }

    /// What could not be done, why, and which file system it is that takes no change, if there is one.
    fn failure(&self, what: &str, error: &Error) -> Failure {
        let (paths, config) = (&self.actor.paths, &self.actor.config);
        let mounted = matches!(
            live::mount(paths, config),
            Ok(Mount::ReadWrite | Mount::ReadOnly)
        );
        let why = format!("could not {what}: {error}");
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
}
