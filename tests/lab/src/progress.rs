//! What the lab says while it works: one line at the start of everything that may take over a
//! second, and how long it took.

use std::time::{Duration, Instant};

/// Seconds with one decimal.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Runs `work`, telling what it is and how long it took. Everything goes to standard error, so that
/// the output of a program run in a node stays clean.
///
/// # Errors
/// Those of `work`.
pub fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let start = Instant::now();
    eprintln!("{what} …");
    let result = work();
    let took = seconds(start.elapsed());
    match &result {
        Ok(_) => eprintln!("{what}: {took}"),
        Err(_) => eprintln!("{what}: failed after {took}"),
    }
    result
}
