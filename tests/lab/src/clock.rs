//! A kernel's clock, kept going.
//!
//! The clock of User Mode Linux is a chain: each SIGALRM sets the timer for the next. Once in a
//! great while one is lost, and then every timer in the node is overdue for good (`/proc/timer_list`
//! there), while programs that wait for none still run. One more signal starts the chain again, and
//! changes nothing where it was going: the kernel looks at what is due, and finds nothing.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

/// Often enough for no wait of a scenario to fail, and too seldom to cost the node anything.
const EVERY: Duration = Duration::from_secs(5);

/// Nudges the kernel for as long as it lives. For the process that waits for it, which has it as a
/// child: its id stays its own until that process ends, and this thread with it.
pub fn keep_going(kernel: Pid) {
    loop {
        std::thread::sleep(EVERY);
        nudge(kernel);
    }
}

/// One SIGALRM, if the process catches it: it would die of it before its handler is there.
fn nudge(kernel: Pid) {
    let caught = fs::read_to_string(format!("/proc/{kernel}/status"))
        .is_ok_and(|status| catches(&status, Signal::SIGALRM));
    if caught {
        let _ = kill(kernel, Signal::SIGALRM);
    }
}

/// Whether this `/proc/PID/status` has a handler for the signal.
fn catches(status: &str, signal: Signal) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A shell that has run this, and says what it is told to say.
    fn shell(script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        (child, out)
    }

    fn line(out: &mut impl BufRead) -> String {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn pid(child: &Child) -> Pid {
        Pid::from_raw(child.id().try_into().unwrap())
    }

    #[test]
    fn a_process_with_a_handler_is_nudged() {
        let (mut child, mut out) =
            shell("trap 'echo nudged; exit' ALRM; echo ready; while :; do sleep 0.02; done");
        assert_eq!(line(&mut out), "ready");
        nudge(pid(&child));
        assert_eq!(line(&mut out), "nudged");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_process_without_a_handler_lives_on() {
        let (mut child, mut out) = shell("echo ready; read -r x; echo alive");
        assert_eq!(line(&mut out), "ready");
        nudge(pid(&child));
        drop(child.stdin.take());
        assert_eq!(line(&mut out), "alive");
        assert!(child.wait().unwrap().success());
    }
}
