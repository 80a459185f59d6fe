//! One fence handler of a resource at a time, and the agent's sweep neither.
//!
//! A lock of the kernel's: it goes with the process that holds it, however that ends, so that there
//! is no stale one. It only keeps two handlers from undoing each other's work; creating the
//! constraint is atomic in the cluster without it, which is why a handler goes on when it has waited
//! long enough.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// How often another's lock is tried.
const PAUSE: Duration = Duration::from_millis(20);

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
    let name: String = resource
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .collect();
    let path = dir.join(format!("fence.{name}.lock"));
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
