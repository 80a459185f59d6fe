//! One at a time for each resource.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, io_error};

/// How often a lock that another holds is tried again: `flock` knows no time-out.
const PAUSE: Duration = Duration::from_millis(20);

/// Held until it is dropped, or its process ends: never stale, and no child inherits it.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Takes it, waiting until `until`; for ever without.
    pub fn take(path: &Path, until: Option<Instant>) -> Result<Self, Error> {
        let began = Instant::now();
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io_error("open", path))?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self { _held: lock }),
                Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => file = back,
                Err((_, errno)) => return Err(io_error("lock", path)(errno.into())),
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(Error::Busy {
                    path: path.to_owned(),
                    waited: began.elapsed(),
                });
            }
            std::thread::sleep(PAUSE);
        }
    }
}
