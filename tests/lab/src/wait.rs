//! Waiting for a state, never for a time: every wait has a limit and says at the end what it waited
//! for and what it saw instead.

use crate::progress;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// What a look at the system found.
pub enum Seen<T> {
    /// What was waited for.
    Ready(T),
    /// Something else, in words.
    NotYet(String),
}

/// Looks until it is there. For waits of under a second.
///
/// # Errors
/// When the limit has passed, or a look fails.
pub fn quietly<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Seen<T>>,
) -> Result<T> {
    let start = Instant::now();
    // Grows, because a look costs the nodes time that they need for getting there.
    let mut pause = Duration::from_millis(50);
    loop {
        let seen = match look()? {
            Seen::Ready(value) => return Ok(value),
            Seen::NotYet(seen) => seen,
        };
        if start.elapsed() > limit {
            bail!(
                "waited {} for {what}; last seen: {}",
                progress::seconds(limit),
                seen.trim()
            );
        }
        std::thread::sleep(pause);
        pause = (pause * 5 / 4).min(Duration::from_millis(500));
    }
}

/// As [`quietly`], and tells on standard error what is waited for.
///
/// # Errors
/// As [`quietly`].
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    progress::step(&format!("waiting for {what}"), || {
        quietly(what, limit, look)
    })
}
