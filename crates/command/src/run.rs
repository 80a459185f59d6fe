//! The real runner.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::{Call, Error, Exit, Interrupt, Output, Runner, SEARCH_PATH, rooted};

/// How often a call that may be interrupted looks whether it is.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Runs programs of this machine.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// The machine as it is.
    #[must_use]
    pub fn new() -> Self {
        Self::rooted("/")
    }

    /// The machine's programs, but files ([`Runner::read`]) below `root`: for tests.
    pub fn rooted(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Runner for System {
    fn run(&self, call: &Call) -> Result<Output, Error> {
        let started = Instant::now();
        let child = Command::new(&call.program)
            .args(&call.args)
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("LC_ALL", "C")
            .envs(call.env.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => Error::NotInstalled {
                    call: call.to_string(),
                },
                _ => Error::Io {
                    call: call.to_string(),
                    source,
                },
            })?;
        let mut running = Running { child, ended: None };
        let result = running.collect(call, started);
        // Whatever happened, nothing that was started here goes on.
        running.end();
        result
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(rooted(&self.root, path))
    }
}

/// A child that is killed with its process group, and reaped, when we are done with it.
struct Running {
    child: Child,
    /// Set once the child has been reaped: from there on its id may belong to another.
    ended: Option<ExitStatus>,
}

impl Running {
    fn collect(&mut self, call: &Call, started: Instant) -> Result<Output, Error> {
        let io_error = |source: io::Error| Error::Io {
            call: call.to_string(),
            source,
        };
        let pid = Pid::from_child(&self.child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| io_error(e.into()))?;
        let mut stdout = Pipe::new(self.child.stdout.take().map(OwnedFd::from));
        let mut stderr = Pipe::new(self.child.stderr.take().map(OwnedFd::from));
        loop {
            let Some(left) = call.deadline.checked_sub(started.elapsed()) else {
                return Err(Error::Deadline {
                    call: call.to_string(),
                    deadline: call.deadline,
                });
            };
            if call.interrupt.as_ref().is_some_and(Interrupt::is_set) {
                return Err(Error::Interrupted {
                    call: call.to_string(),
                });
            }
            let left = match call.interrupt {
                Some(_) => left.min(LOOK_UP),
                None => left,
            };
            let timeout = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let [ended, out, err] = wait(&pidfd, &stdout, &stderr, &timeout).map_err(io_error)?;
            // The end is looked at before the pipes are read: what the child wrote before it
            // ended is then certainly in them. A grandchild that keeps them open is not waited
            // for.
            if out || ended {
                stdout.drain(call.output_limit).map_err(io_error)?;
            }
            if err || ended {
                stderr.drain(call.output_limit).map_err(io_error)?;
            }
            if stdout.data.len() > call.output_limit || stderr.data.len() > call.output_limit {
                return Err(Error::TooMuch {
                    call: call.to_string(),
                    limit: call.output_limit,
                });
            }
            if ended {
                self.kill_group();
                let status = self.child.wait().map_err(io_error)?;
                self.ended = Some(status);
                let exit = match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or(0)),
                };
                return Ok(Output {
                    exit,
                    stdout: stdout.data,
                    stderr: stderr.data,
                });
            }
        }
    }

    /// The leader has not been reaped, so that the group's id is still its own.
    fn kill_group(&self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }

    fn end(&mut self) {
        if self.ended.is_none() {
            self.kill_group();
            self.ended = self.child.wait().ok();
        }
    }
}

/// Waits for the child's end or for output; says which of the three it was.
fn wait(
    pidfd: &OwnedFd,
    stdout: &Pipe,
    stderr: &Pipe,
    timeout: &Timespec,
) -> io::Result<[bool; 3]> {
    let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
    let mut which = vec![0];
    for (index, pipe) in [(1, stdout), (2, stderr)] {
        if let Some(fd) = &pipe.fd {
            fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
            which.push(index);
        }
    }
    match poll(&mut fds, Some(timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = [false; 3];
    for (fd, index) in fds.iter().zip(which) {
        ready[index] = !fd.revents().is_empty();
    }
    Ok(ready)
}

/// One of the child's outputs, read without blocking.
struct Pipe {
    /// `None` from its end on.
    fd: Option<std::fs::File>,
    data: Vec<u8>,
}

impl Pipe {
    fn new(fd: Option<OwnedFd>) -> Self {
        let fd = fd.filter(|fd| rustix::io::ioctl_fionbio(fd, true).is_ok());
        Self {
            fd: fd.map(std::fs::File::from),
            data: Vec::new(),
        }
    }

    /// Reads what is there, up to one byte more than `limit`.
    fn drain(&mut self, limit: usize) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        while let Some(fd) = &mut self.fd {
            if self.data.len() > limit {
                return Ok(());
            }
            match fd.read(&mut chunk) {
                Ok(0) => self.fd = None,
                Ok(n) => self.data.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, deadline: Duration) -> Call {
        Call::new("sh", deadline).args(["-c", script])
    }

    const AMPLE: Duration = Duration::from_secs(60);

    #[test]
    fn outputs_and_exit_code_come_back() {
        let output = System::new()
            .run(&sh("echo out; echo err >&2; exit 7", AMPLE))
            .unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.exit, Exit::Code(7));
        assert!(!output.success());
        assert_eq!(output.complaint(), "err");
    }

    #[test]
    fn a_signal_is_told_from_an_exit_code() {
        let output = System::new().run(&sh("kill -TERM $$", AMPLE)).unwrap();
        assert_eq!(output.exit, Exit::Signal(15));
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_its_deadline() {
        let error = System::new().run(&sh("exec sleep 1000", Duration::from_millis(100)));
        assert!(matches!(error, Err(Error::Deadline { .. })), "{error:?}");
    }

    #[test]
    fn a_call_ends_when_it_is_interrupted_and_not_before() {
        let interrupt = Interrupt::default();
        let call = sh("sleep 0.3; echo done", AMPLE).interrupted_by(&interrupt);
        assert_eq!(System::new().run(&call).unwrap().stdout, b"done\n");
        let other = interrupt.clone();
        let raised = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            other.set(true);
        });
        let call = sh("exec sleep 1000", AMPLE).interrupted_by(&interrupt);
        let error = System::new().run(&call);
        assert!(matches!(error, Err(Error::Interrupted { .. })), "{error:?}");
        raised.join().unwrap();
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipes_does_not_hold_up_the_answer_and_does_not_survive() {
        let output = System::new()
            .run(&sh("sleep 1000 & echo $!", AMPLE))
            .unwrap();
        let pid: i32 = String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        // Killed, but perhaps not dead yet: wait for it. Absent: dead and reaped.
        let Ok(grandchild) = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) else {
            return;
        };
        let mut fds = [PollFd::new(&grandchild, PollFlags::IN)];
        let hung = Timespec {
            tv_sec: 500,
            tv_nsec: 0,
        };
        assert_eq!(poll(&mut fds, Some(&hung)).unwrap(), 1);
    }

    #[test]
    fn more_output_than_the_limit_is_refused() {
        let mut call = sh("exec yes", AMPLE);
        call.output_limit = 100_000;
        let error = System::new().run(&call);
        assert!(matches!(error, Err(Error::TooMuch { .. })), "{error:?}");
    }

    #[test]
    fn an_output_larger_than_a_pipe_arrives_whole() {
        let output = System::new()
            .run(&sh("head -c 1000000 /dev/zero", AMPLE))
            .unwrap();
        assert_eq!(output.stdout.len(), 1_000_000);
    }

    #[test]
    fn an_absent_program_is_named() {
        let error = System::new()
            .run(&Call::new("no-such-program-here", AMPLE))
            .unwrap_err();
        assert!(matches!(error, Error::NotInstalled { .. }), "{error:?}");
        assert!(error.to_string().contains("no-such-program-here"));
    }

    #[test]
    fn the_environment_is_clean() {
        let output = System::new()
            .run(&Call::new("env", AMPLE).env("A", "b"))
            .unwrap();
        let mut lines: Vec<_> = std::str::from_utf8(&output.stdout)
            .unwrap()
            .lines()
            .collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["A=b", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        );
    }
}
