//! How far it is, on a terminal, for what takes more than a second.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use two_node_ha_copies::Progress;

const FIRST: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_millis(200);

/// One line that is written again and again, and gone at the end.
pub struct Bar {
    doing: &'static str,
    next: Instant,
    terminal: bool,
    shown: bool,
}

impl Bar {
    /// Says nothing yet.
    pub fn new(doing: &'static str) -> Self {
        Self {
            doing,
            next: Instant::now() + FIRST,
            terminal: stderr().is_terminal(),
            shown: false,
        }
    }
}

impl Progress for Bar {
    fn step(&mut self, done: u64, total: u64) {
        let now = Instant::now();
        if !self.terminal || now < self.next {
            return;
        }
        self.next = now + EACH;
        self.shown = true;
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        let (done, total) = (done >> 20, total >> 20);
        let _ = write!(
            stderr(),
            "\r\x1b[K{}: {done} of {total} MiB, {percent} %",
            self.doing
        );
        let _ = stderr().flush();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
