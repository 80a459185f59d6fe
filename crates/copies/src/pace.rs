//! Whether a copy under way will be done in time.
//!
//! While it is made the primary's writes stand still, so that one that cannot succeed is given up
//! before the deadline, and not at it.

use std::time::Duration;

/// Before this part of the allowed time nothing is concluded: the first reads are no measure.
const TOO_EARLY: f64 = 0.1;
/// Up to here a copy may seem to need twice its time: data often ends where zeros begin, and
/// those go faster.
const HALF: f64 = 0.5;

/// What was measured so far.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Since the copy was begun.
    pub elapsed: Duration,
    /// What it may take.
    pub allowed: Duration,
    /// Bytes that were read, and written if there was anything in them.
    pub done: u64,
    /// Bytes still to be read.
    pub left: u64,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Go on.
    GoOn,
    /// The time is up.
    Up,
    /// It would take so long in all, at so many bytes a second.
    Slow(Duration, u64),
}

impl Pace {
    /// Whether to go on.
    // Seconds and bytes of this size are exact enough in a double.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation
    )]
    pub fn verdict(self) -> Verdict {
        let (elapsed, allowed) = (self.elapsed.as_secs_f64(), self.allowed.as_secs_f64());
        if elapsed >= allowed {
            return Verdict::Up;
        }
        let part = elapsed / allowed;
        if self.done == 0 || part < TOO_EARLY {
            return Verdict::GoOn;
        }
        let rate = self.done as f64 / elapsed;
        let projected = elapsed + self.left as f64 / rate;
        let patience = if part < HALF { 2.0 } else { 1.0 };
        if projected <= allowed * patience {
            return Verdict::GoOn;
        }
        let projected = Duration::try_from_secs_f64(projected).unwrap_or(Duration::MAX);
        Verdict::Slow(projected, rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64, done: u64, left: u64) -> Verdict {
        Pace {
            elapsed: Duration::from_secs_f64(seconds),
            allowed: Duration::from_secs(20),
            done,
            left,
        }
        .verdict()
    }

    #[test]
    fn a_copy_that_cannot_be_done_is_given_up_long_before_its_deadline() {
        // 10 MB/s, 2 GB.
        assert!(
            matches!(at(2.5, 25_000_000, 2_000_000_000), Verdict::Slow(time, 10_000_000) if time > Duration::from_secs(200))
        );
    }

    #[test]
    fn one_that_may_yet_be_done_goes_on_to_the_half_and_no_further() {
        assert_eq!(at(5.0, 400, 2000), Verdict::GoOn, "30 s by now");
        assert!(
            matches!(at(10.0, 800, 1600), Verdict::Slow(..)),
            "still 30 s"
        );
        assert_eq!(at(10.0, 800, 700), Verdict::GoOn);
    }

    #[test]
    fn nothing_is_concluded_at_once_and_nothing_goes_on_beyond_the_deadline() {
        assert_eq!(at(1.0, 1, u64::MAX), Verdict::GoOn);
        assert_eq!(at(20.0, u64::MAX, 0), Verdict::Up);
        assert_eq!(at(19.0, 0, 5), Verdict::GoOn);
    }
}
