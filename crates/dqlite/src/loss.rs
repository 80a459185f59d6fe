//! What is lost of a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Entries of the log that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The index of the first one.
    pub first: u64,
    /// The index of the last one that there is a trace of; more may have followed it.
    pub last: u64,
}

impl Loss {
    /// How many there are, at least.
    #[must_use]
    pub fn entries(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The one that takes in both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entries() {
            0 | 1 => write!(f, "1 entry, index {}", self.first),
            entries => write!(
                f,
                "{entries} entries, index {} to {}",
                self.first, self.last
            ),
        }
    }
}
