//! For the exploration of two nodes: a machine without what only counts.

use std::time::Duration;

use super::{Machine, Moment, SHORTEST_RETRY};

/// The moment at which the exploration stands still.
pub const NOW: Moment = Duration::from_secs(1_000_000);

/// The moment of a machine's next retry, whatever it had to wait for that.
pub const RETRY: Moment = Duration::from_secs(1_000_001);

impl Machine {
    /// The same machine at [`NOW`] instead of `now`. What differs in nothing but the time that was waited
    /// and the number of rounds does the same from here on, so that it is explored once. Whether the round
    /// was raised is told: a question that was asked before is of an older one.
    pub fn timeless(&mut self, now: Moment, silent_timeout: Duration) -> bool {
        self.retry = self.retry.map(|_| RETRY);
        self.patience = SHORTEST_RETRY;
        let silent = &mut self.knowledge.silent_since;
        *silent = silent.map(|since| match now.saturating_sub(since) >= silent_timeout {
            true => NOW.saturating_sub(silent_timeout),
            false => NOW,
        });
        for called in &mut self.called {
            called.until = NOW + super::FRESH;
            called.at = if called.at > now { RETRY } else { NOW };
        }
        self.reads.round = 0;
        // Only said, and decides nothing.
        self.fenced = None;
        self.heard_of_fencing = None;
        std::mem::take(&mut self.knowledge.round) > 0
    }

    /// Whether it counts the time that its peer has been silent, and that is not long yet.
    pub fn counts_silence(&self) -> bool {
        self.knowledge.silent_since == Some(NOW)
    }
}
