//! How the datastore of the voter here answers, by the reads of it.
//!
//! The machine counts; whoever reads is told which answers are worth telling ([`News`]). So a datastore
//! that goes on answering wakes nobody but the thread that reads it, and nothing is counted twice: what
//! an answer means is decided where the count is.

use super::Machine;
use super::event::{Action, News, Watch};
use crate::observation::Health;

/// Whether reads count at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Count {
    /// No voter runs here, or it was not confirmed: what was counted is forgotten.
    #[default]
    None,
    /// It runs, and cannot be blamed for not answering: what was counted stands.
    Excused,
    /// It runs and has to answer.
    Running,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Reads {
    pub(super) count: Count,
    pub(super) health: Health,
    /// Raised whenever a read that is under way no longer counts.
    pub(super) round: u64,
}

impl Reads {
    fn watch(&self) -> Watch {
        match self.count {
            Count::None => Watch::None,
            Count::Excused => Watch::Excused,
            Count::Running => Watch::Running {
                round: self.round,
                news: match self.health.misses {
                    0 => News::Misses,
                    _ => News::Any,
                },
            },
        }
    }
}

impl Machine {
    pub(super) fn watch(&mut self, count: Count) {
        let before = self.reads.watch();
        if std::mem::replace(&mut self.reads.count, count) != count {
            self.reads.round += 1;
        }
        if count == Count::None {
            self.reads.health = Health::default();
        }
        self.tell_watch(before);
    }

    /// Counts an answer, unless it is of a read that no longer counts; whether the count has changed.
    pub(super) fn datastore_answered(&mut self, round: u64, answer: Result<(), String>) -> bool {
        let reads = &mut self.reads;
        if reads.round != round {
            return false;
        }
        let before = reads.watch();
        let misses = reads.health.misses;
        reads.health = match answer {
            Ok(()) => Health::default(),
            Err(why) => Health {
                misses: misses.saturating_add(1),
                last: Some(why),
            },
        };
        let changed = reads.health.misses != misses;
        self.tell_watch(before);
        changed
    }

    fn tell_watch(&mut self, before: Watch) {
        let now = self.reads.watch();
        if now != before {
            self.out.push_back(Action::Watch(now));
        }
    }
}
