//! A process that is meant, and no other that got its number later.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process, known by its number and the time of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since the boot (proc(5), `starttime`).
    started: u64,
}

impl Process {
    /// The one in `/proc/PID`; `None` where it is gone, or a zombie, which holds nothing.
    pub fn at(proc: &Path, pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
        let (state, started) = state_and_start(&stat)?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started })
    }

    /// Sends SIGKILL, unless the number is another's by now. One that is gone is no error.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(&self, proc: &Path) -> io::Result<()> {
        kill_if(self.pid, || Self::at(proc, self.pid) == Some(*self))
    }
}

/// Whether a process was killed or has ended, and is only not gone yet: its first thread has, and no
/// other will run again. One that `/proc` does not have is none of which that is known.
pub fn has_ended(proc: &Path, pid: i32) -> bool {
    let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).unwrap_or_default();
    state_and_start(&stat).is_some_and(|(state, _)| matches!(state, "Z" | "X"))
}

/// Sends SIGKILL to the process that `still` says is the one that is meant. It is asked with the
/// process pinned: from there on its number cannot become another's.
pub fn kill_if(pid: i32, still: impl FnOnce() -> bool) -> io::Result<()> {
    use rustix::io::Errno;
    let Some(target) = Pid::from_raw(pid) else {
        return Ok(());
    };
    match pidfd_open(target, PidfdFlags::empty()) {
        Ok(pinned) => {
            if !still() {
                return Ok(());
            }
            match pidfd_send_signal(&pinned, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        Err(Errno::SRCH | Errno::INVAL) => Ok(()),
        // A kernel without, or out of descriptors or memory.
        Err(_) if still() => match rustix::process::kill_process(target, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        },
        Err(_) => Ok(()),
    }
}

/// State and start time of proc(5)'s `stat`. The name, in parentheses, may hold anything.
fn state_and_start(stat: &str) -> Option<(&str, u64)> {
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let state = fields.next()?;
    // The state is the third field, the start the 22nd.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_in_it_does_not_hide_the_state() {
        let stat = "7 (a) Z 1) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0 18446744073709551615";
        assert_eq!(state_and_start(stat), Some(("S", 4711)));
        assert_eq!(state_and_start("7 (x"), None);
    }

    #[test]
    fn a_number_that_is_another_processs_by_now_is_not_killed() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let proc = Path::new("/proc");
        let mut process = Process::at(proc, pid).unwrap();
        process.started -= 1;
        process.kill(proc).unwrap();
        // A kill takes a moment to be seen.
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(child.try_wait().unwrap().is_none(), "it was killed");
        process.started += 1;
        process.kill(proc).unwrap();
        child.wait().unwrap();
        // It is gone, which is no error.
        process.kill(proc).unwrap();
    }

    #[test]
    fn a_zombie_holds_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        while Process::at(Path::new("/proc"), pid).is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
