//! How long a copy may take, and who hears how far it is.

use std::time::{Duration, Instant};

use crate::lvm;

/// How long it may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// When it must be done; `None`: whenever.
    pub until: Option<Instant>,
}

impl Limits {
    /// Until then.
    #[must_use]
    pub fn until(until: Instant) -> Self {
        Self { until: Some(until) }
    }

    /// What is left, from a moment on.
    pub(crate) fn left(&self, from: Instant) -> Option<Duration> {
        self.until
            .map(|until| until.saturating_duration_since(from))
    }

    /// What another program may take.
    pub(crate) fn of_program(&self) -> Duration {
        let left = self.left(Instant::now());
        left.map_or(lvm::DEADLINE, |left| left.min(lvm::DEADLINE))
    }
}

/// Hears how far it is.
pub trait Progress {
    /// So many bytes of so many.
    fn step(&mut self, done: u64, total: u64);

    /// Whether the copy is wanted no more, for now; asked after each step.
    fn is_over(&self) -> bool {
        false
    }
}

/// Nobody listens.
impl Progress for () {
    fn step(&mut self, _: u64, _: u64) {}
}
