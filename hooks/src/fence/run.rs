//! fence-peer's loop: look, decide, do one thing, look again.
//!
//! Nothing of Pacemaker's tells a program that the CIB has changed, short of speaking its private
//! protocol, so it is looked at again after a pause that grows with what has been waited already:
//! a fencing that takes a second is noticed a tenth of a second later.

use std::time::{Duration, Instant};

use two_node_ha_command::Runner;
use two_node_ha_pacemaker::fence::{self, ChangeError};
use two_node_ha_pacemaker::{FencingConstraint, query};

use super::disks;
use two_node_ha_fence::answer::Answer;
use two_node_ha_fence::decide::{Next, decide};
use two_node_ha_fence::situation::{Cluster, Done, Fencing, Removal, Situation};
use two_node_ha_fence::{Disks, Standing, Subject, View};

/// The shortest and the longest pause between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// What one child may take, unless less is left. A change has to go through a DC; while there is
/// none, asking a new one soon is better than waiting long for the old.
const LOOK: Duration = Duration::from_secs(5);
const CHANGE: Duration = Duration::from_secs(3);
const ASK: Duration = Duration::from_secs(2);

/// With less left a change is not tried again: cibadmin waits in whole seconds.
const LEAST_CHANGE: Duration = Duration::from_millis(1500);

/// One call of fence-peer.
pub struct Run<'a> {
    /// The door to the world.
    pub runner: &'a dyn Runner,
    /// Who and what it is about.
    pub subject: &'a Subject,
    /// The resource's minors, where they are known.
    pub minors: &'a [u32],
    /// When the call began.
    pub started: Instant,
    /// The watchdog's deadline.
    pub deadline: Duration,
    /// Says what is waited for, each time that changes.
    pub note: &'a dyn Fn(&str),
}

impl Run<'_> {
    /// Answers.
    pub fn answer(&self) -> Answer {
        let mut done = Done::default();
        let mut looked = None;
        let mut waiting = String::new();
        let mut first = true;
        loop {
            let cluster = looked.get_or_insert_with(|| self.look());
            if let Cluster::Seen(view) = &*cluster {
                let mine = matches!(view.standing, Standing::Mine(_));
                done.found |= first && mine;
                // One whose answer was lost was made all the same.
                let standing = view.standing.constraint();
                done.placed |= standing.is_some_and(|standing| done.tried.contains(standing));
                first = false;
            }
            let disks = self.disks();
            let elapsed = self.started.elapsed();
            let situation = Situation {
                subject: self.subject,
                disks: &disks,
                cluster,
                done: &done,
                elapsed,
                last: elapsed >= self.last(),
                over: elapsed + LEAST_CHANGE >= self.deadline,
            };
            match decide(&situation) {
                Next::Answer(answer) => return answer,
                Next::Place => {
                    let Cluster::Seen(view) = cluster else {
                        looked = None;
                        continue;
                    };
                    let pause = self.place(view, &mut done);
                    // What the peer's answer is to prove, its answer proves. That it is down must be
                    // in a CIB that has the constraint.
                    if !done.placed || view.peer != two_node_ha_pacemaker::PeerNode::Online {
                        looked = None;
                    }
                    if pause {
                        self.pause();
                    }
                }
                Next::Renew => {
                    let renewed = match cluster {
                        Cluster::Seen(view) => self.renew(view, &mut done),
                        Cluster::Silent { .. } => false,
                    };
                    // What is to prove something has to be newer than the mark. The CIB need not be
                    // read again: the constraint has stood since it was.
                    done.alive = None;
                    done.fenced = None;
                    if !renewed {
                        self.pause();
                        looked = None;
                    }
                }
                Next::Remove => {
                    let standing = match cluster {
                        Cluster::Seen(view) => view.standing.constraint().cloned(),
                        Cluster::Silent { .. } => None,
                    };
                    let any =
                        standing.map_or_else(|| done.tried.clone(), |standing| vec![standing]);
                    self.remove(&any, &mut done);
                }
                Next::TakeBack => {
                    let any = done.tried.clone();
                    self.remove(&any, &mut done);
                    if done.removal == Removal::Failed {
                        self.pause();
                    }
                }
                Next::AskPeer => {
                    let peer = &self.subject.peer;
                    done.alive = Some(fence::answers(self.runner, peer, self.within(ASK)));
                }
                Next::AskFencer => done.fenced = Some(self.fenced()),
                Next::Wait(why) => {
                    if why != waiting {
                        (self.note)(&why);
                        waiting = why;
                    }
                    self.pause();
                    looked = None;
                    done.alive = None;
                    done.fenced = None;
                }
            }
        }
    }

    /// Gives the constraint that stands a new mark; says whether it has it.
    fn renew(&self, view: &mut View, done: &mut Done) -> bool {
        let Standing::Mine(read) = &view.standing else {
            return false;
        };
        let renewed = read.marked();
        done.marks.extend(renewed.mark.clone());
        match fence::renew(self.runner, read, &renewed, view.role, self.within(CHANGE)) {
            Ok(()) => {
                done.trouble = None;
                view.standing = Standing::Mine(renewed);
                true
            }
            // Also one that has changed under the hand: what stands now, the next look tells.
            Err(error) => {
                self.troubled(done, &error);
                false
            }
        }
    }

    /// Takes the constraint away, if it still has one of these marks.
    fn remove(&self, any: &[FencingConstraint], done: &mut Done) {
        if any.is_empty() {
            done.removal = Removal::Failed;
            done.trouble = Some("the cluster does not answer".into());
            return;
        }
        match fence::remove_any_and_look(self.runner, any, self.within(CHANGE)) {
            Ok(()) => {
                done.removal = Removal::Settled;
                done.trouble = None;
            }
            Err(error @ ChangeError::Renewed) => {
                done.removal = Removal::Settled;
                done.trouble = Some(error.to_string());
            }
            Err(error) => {
                done.removal = Removal::Failed;
                self.troubled(done, &error);
            }
        }
    }

    /// Notes why a change failed.
    fn troubled(&self, done: &mut Done, error: &ChangeError) {
        let text = error.to_string();
        if done.trouble.as_ref() != Some(&text) {
            (self.note)(&text);
        }
        done.trouble = Some(text);
    }

    /// Places the constraint; says whether to pause before the next look.
    fn place(&self, view: &mut View, done: &mut Done) -> bool {
        let Some(ours) = view.ours.as_ref().map(FencingConstraint::marked) else {
            return true;
        };
        done.marks.extend(ours.mark.clone());
        match fence::place(self.runner, &ours, view.role, self.within(CHANGE)) {
            Ok(()) => {
                done.placed = true;
                done.trouble = None;
                done.tried.push(ours.clone());
                view.standing = Standing::Mine(ours);
                false
            }
            // Whose it is, the next look tells; this node's own copy may be a moment behind.
            Err(ChangeError::Exists | ChangeError::Stale) => {
                done.trouble = None;
                true
            }
            Err(error) => {
                match &error {
                    // A DC may make it yet.
                    ChangeError::NoDc(_) | ChangeError::Unknown(_) => done.tried.push(ours),
                    ChangeError::Exists
                    | ChangeError::Changed
                    | ChangeError::Renewed
                    | ChangeError::Stale
                    | ChangeError::NoQuorum(_)
                    | ChangeError::NotRunning(_)
                    | ChangeError::Refused { .. }
                    | ChangeError::Call(_) => {}
                }
                self.troubled(done, &error);
                true
            }
        }
    }

    fn look(&self) -> Cluster {
        match fence::local_cib(self.runner, self.within(LOOK)) {
            Ok(cib) => Cluster::Seen(View::of(&cib, self.subject)),
            Err(error) => Cluster::Silent {
                running: !matches!(error, query::Error::NotRunning(_)),
                why: crate::call::chain(&error),
            },
        }
    }

    fn disks(&self) -> Result<Disks, String> {
        let resource = &self.subject.resource;
        disks::read(self.runner, resource, self.minors, self.within(LOOK))
    }

    fn fenced(&self) -> Fencing {
        let peer = &self.subject.peer;
        match fence::last_fencing(self.runner, peer, self.within(ASK)) {
            Ok(Some(event)) if event.powered_off() => {
                let when = event
                    .completed
                    .map(|when| format!(" at {when}"))
                    .unwrap_or_default();
                Fencing::Confirmed(format!("`{}`{when}", event.action))
            }
            Ok(Some(_)) => Fencing::Unconfirmed("its last fencing failed".into()),
            Ok(None) => Fencing::Unconfirmed("it left in good order".into()),
            Err(why) => Fencing::Unconfirmed(format!("whether it was fenced is not known: {why}")),
        }
    }

    /// When the last decision is due: there must be time left to take the constraint away, and to try
    /// that again.
    fn last(&self) -> Duration {
        let least = Duration::from_secs(2).min(self.deadline / 2);
        let margin = (self.deadline / 4).clamp(least, Duration::from_secs(8));
        self.deadline - margin
    }

    /// As much of this as is left, with a little for the answer itself.
    fn within(&self, most: Duration) -> Duration {
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let left = left.saturating_sub(Duration::from_millis(200));
        most.min(left).max(Duration::from_millis(50))
    }

    fn pause(&self) {
        std::thread::sleep(self.pause_after(self.started.elapsed()));
    }

    /// A tenth of what has been waited already, and not beyond the last decision.
    fn pause_after(&self, elapsed: Duration) -> Duration {
        let pause = (elapsed / 10).clamp(PAUSE.0, PAUSE.1);
        let left = self.last().saturating_sub(elapsed);
        pause.min(left.max(PAUSE.0))
    }
}

#[cfg(test)]
mod tests;
