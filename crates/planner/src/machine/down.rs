//! The services beside the datastore that may run and do not: since when, and when to try again.
//!
//! Some seconds pass before one is called down, and before it is called up again: a service that starts
//! needs them, and one that ends at once after each start would be up and down many times a second. A
//! try comes by the time and never by a change, for the same reason.

use std::collections::BTreeSet;
use std::time::Duration;

use super::event::Moment;
use crate::observation::Rest;

/// How long they must stand otherwise than was last said.
const GRACE: Duration = Duration::from_secs(5);
/// The second try comes after this, each later one after twice the time, up to the longest.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Down {
    /// What is said to be down.
    said: BTreeSet<String>,
    /// Since when something else is seen.
    differs_since: Option<Moment>,
    /// When to try next, once something is said to be down.
    due: Moment,
    /// How long until the try after that; zero before the first.
    patience: Duration,
}

impl Down {
    /// What is said of them, now that these were seen to be down. Where a try is due it is due in this
    /// very look, and then not before its time has passed again, whatever becomes of it.
    pub(super) fn see(&mut self, seen: BTreeSet<String>, now: Moment) -> Rest {
        if seen == self.said {
            self.differs_since = None;
        } else {
            let since = *self.differs_since.get_or_insert(now);
            if now.saturating_sub(since) >= GRACE {
                self.differs_since = None;
                if seen.is_empty() {
                    self.patience = Duration::ZERO;
                }
                if self.said.is_empty() {
                    self.due = now;
                }
                self.said = seen;
            }
        }
        let due = !self.said.is_empty() && self.due <= now;
        if due {
            self.patience = (self.patience * 2).clamp(SHORTEST, LONGEST);
            self.due = now + self.patience;
        }
        Rest {
            down: self.said.clone(),
            due,
        }
    }

    /// When to look at them again although nothing happened.
    pub(super) fn wakes_at(&self) -> Option<Moment> {
        let accepts = self.differs_since.map(|since| since + GRACE);
        let tries = (!self.said.is_empty()).then_some(self.due);
        accepts.into_iter().chain(tries).min()
    }
}
