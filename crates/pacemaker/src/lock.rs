//! One fence handler of a resource at a time, and the agent's sweep neither.
//!
//! A lock of the kernel's: it goes with the process that holds it, however that ends, so that there
//! is no stale one. It only keeps two handlers from undoing each other's work; creating the
//! constraint is atomic in the cluster without it, which is why a handler goes on when it has waited
//! long enough.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// How often another's lock is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a fence handler of the resource is at work, or somebody else has its lock.
#[must_use]
pub fn is_held(dir: &Path, resource: &str) -> bool {
    // A handler that comes right now finds the lock taken for a moment, and tries again.
    OpenOptions::new()
        .write(true)
        .open(path(dir, resource))
        .is_ok_and(|file| {
            flock(&file, FlockOperation::NonBlockingLockShared)
                == Err(rustix::io::Errno::WOULDBLOCK)
        })
}

fn path(dir: &Path, resource: &str) -> PathBuf {
    let name: String = resource
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .collect();
    dir.join(format!("fence.{name}.lock"))
}

/// Takes the lock of a resource's fence handlers, a file in `dir` (`/run/two-node-ha`); it is held
/// while the file is open.
///
/// # Errors
/// Why it was not taken, in words.
pub fn take(dir: &Path, resource: &str, patience: Duration) -> Result<File, String> {
    // Made by systemd-tmpfiles or the agent; a handler may come before either.
    let _ = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir);
    let path = path(dir, resource);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| format!("cannot open the lock {}: {error}", path.display()))?;
    let since = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if since.elapsed() < patience => {
                std::thread::sleep(PAUSE);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(format!(
                    "another handler has held {} for {:.1} s",
                    path.display(),
                    since.elapsed().as_secs_f64()
                ));
            }
            Err(error) => {
                return Err(format!("cannot lock {}: {error}", path.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_while_its_file_is_open_and_asking_does_not_take_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_held(dir.path(), "r0"));
        let lock = take(dir.path(), "r0", Duration::ZERO).unwrap();
        assert!(is_held(dir.path(), "r0"));
        assert!(!is_held(dir.path(), "r1"));
        assert!(take(dir.path(), "r0", Duration::ZERO).is_err());
        drop(lock);
        assert!(!is_held(dir.path(), "r0"));
        assert!(take(dir.path(), "r0", Duration::ZERO).is_ok());
    }
}
