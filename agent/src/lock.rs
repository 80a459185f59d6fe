//! What only one process of a node may be at a time, kept by a lock of the kernel's on a file below
//! `/run`: it goes with the process that has it, however that ends. The file says which one that is,
//! for whoever is refused.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{FlockOperation, flock};
use two_node_ha_node::Paths;

use crate::release::has_ended;

/// How long another one may take that is about to take or to be refused the same lock.
const TURN: Duration = Duration::from_secs(2);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who has it instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its number, where the file says it.
    pub pid: Option<i32>,
    /// The unit or the session that it belongs to: the last part of its control group.
    pub unit: Option<String>,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.unit) {
            (Some(pid), Some(unit)) => write!(f, "process {pid} of {unit}"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, _) => f.write_str("a process that has not said its number"),
        }
    }
}

/// Takes the lock on the file `path` in `/run/two-node-ha`, or says who has it.
///
/// A process that was killed while one of its threads waits for a disk (DRBD's, whose writes stand
/// still) keeps its files open until the disk answers, and does nothing any more. The one that takes
/// its place may be the one that makes the disk answer, so it is not kept waiting for that.
///
/// # Errors
/// What the system says.
pub fn take(paths: &Paths, path: &Path) -> io::Result<Result<Lock, Other>> {
    let _turn = turn(path)?;
    let file = open(path)?;
    if lock(&file)? {
        return Ok(Ok(keep(file)));
    }
    let other = other(paths, path);
    let ended = |pid: i32| has_ended(&paths.at(Path::new("/proc")), pid);
    if !other.pid.is_some_and(ended) {
        return Ok(Err(other));
    }
    tracing::warn!("{other} was killed and has not gone yet; its lock is passed over");
    fs::remove_file(path)?;
    let file = open(path)?;
    // It is new, and nobody else is at it.
    Ok(if lock(&file)? {
        Ok(keep(file))
    } else {
        Err(other)
    })
}

/// Whether some process has the lock. Asking takes nothing, so that it cannot be in anybody's way.
///
/// # Errors
/// What the system says.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let mut lock = write_lock();
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// One at a time takes a lock, from opening the file to having said its number in it.
fn turn(path: &Path) -> io::Result<File> {
    let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let since = Instant::now();
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(directory),
            Err(rustix::io::Errno::WOULDBLOCK) if since.elapsed() < TURN => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn lock(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&write_lock())) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The whole file, for writing.
fn write_lock() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Says in the file whose it is now. Where `/run` is full it is held all the same, and nobody is named.
fn keep(mut file: File) -> Lock {
    let said = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = said {
        tracing::debug!(%error, "the lock's file does not say whose it is");
    }
    Lock { _file: file }
}

fn other(paths: &Paths, path: &Path) -> Other {
    let said = fs::read_to_string(path).unwrap_or_default();
    let pid = said.trim().parse().ok();
    let unit = pid.and_then(|pid: i32| {
        let groups = paths.at(Path::new("/proc")).join(format!("{pid}/cgroup"));
        unit(&fs::read_to_string(groups).ok()?)
    });
    Other { pid, unit }
}

/// The unit in `/proc/PID/cgroup`: systemd's own hierarchy, or the only one.
fn unit(groups: &str) -> Option<String> {
    let path = groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find(|path| path.ends_with(".service") || path.ends_with(".scope"))?;
    path.rsplit('/').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node {
        dir: tempfile::TempDir,
        paths: Paths,
    }

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("run/two-node-ha")).unwrap();
            let paths = Paths::rooted(dir.path().to_path_buf());
            Self { dir, paths }
        }

        fn take(&self) -> Result<Lock, Other> {
            take(&self.paths, &self.paths.agent_lock()).unwrap()
        }

        /// What `/proc` has of a process.
        fn proc(&self, pid: u32, state: &str) {
            let at = self.dir.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&at).unwrap();
            let stat = format!("{pid} (two-node-ha) {state} 1 {}", "0 ".repeat(20));
            fs::write(at.join("stat"), stat).unwrap();
            fs::write(
                at.join("cgroup"),
                "0::/system.slice/two-node-ha-k8s.service\n",
            )
            .unwrap();
        }
    }

    #[test]
    fn one_holds_it_everybody_sees_that_and_it_ends_with_the_holder() {
        let node = Node::new();
        let path = node.paths.agent_lock();
        assert!(!is_held(&path).unwrap());
        let held = node.take().unwrap();
        assert!(is_held(&path).unwrap() && is_held(&path).unwrap());
        assert!(node.take().is_err());
        drop(held);
        assert!(!is_held(&path).unwrap());
        assert!(node.take().is_ok());
    }

    #[test]
    fn whoever_is_refused_hears_the_number_and_the_unit_of_the_one_that_has_it() {
        let node = Node::new();
        let _held = node.take().unwrap();
        let me = std::process::id();
        assert_eq!(
            node.take().unwrap_err().to_string(),
            format!("process {me}")
        );
        node.proc(me, "S");
        let other = node.take().unwrap_err();
        assert_eq!(
            other.to_string(),
            format!("process {me} of two-node-ha-k8s.service")
        );
        // A full /run.
        fs::write(node.paths.agent_lock(), "").unwrap();
        assert_eq!(node.take().unwrap_err().pid, None);
    }

    #[test]
    fn a_killed_process_that_a_disk_keeps_from_going_is_not_waited_for_and_any_other_is() {
        for (state, passed_over) in [("Z", true), ("X", true), ("D", false), ("T", false)] {
            let node = Node::new();
            let killed = node.take().unwrap();
            node.proc(std::process::id(), state);
            let next = node.take();
            assert_eq!(next.is_ok(), passed_over, "{state}");
            if passed_over {
                assert!(is_held(&node.paths.agent_lock()).unwrap());
                // The killed one's last thread goes, and takes nothing with it.
                drop(killed);
                node.proc(std::process::id(), "S");
                assert!(node.take().is_err(), "two of them after {state}");
            }
        }
    }

    #[test]
    fn the_unit_is_found_in_either_kind_of_hierarchy() {
        let name = |groups: &str| unit(groups).unwrap_or_default();
        assert_eq!(
            name("0::/system.slice/two-node-ha-k8s.service\n"),
            "two-node-ha-k8s.service"
        );
        assert_eq!(
            name("3:cpu:/\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n"),
            "session-3.scope"
        );
        assert_eq!(name("0::/\n"), "");
    }
}
