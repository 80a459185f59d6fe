//! Who holds the voter's role for Pacemaker: the failover unit's main process, for as long as it
//! lives and has not been asked to stop. It has a lock, which the kernel gives back when the process
//! is gone, however it went; nothing that a paused program believes can stand in for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::paths::Paths;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// Takes the lock; `None` where another process has it.
///
/// # Errors
/// What the system says.
pub fn take(paths: &Paths) -> io::Result<Option<Held>> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(paths.holder())?;
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&write_lock())) {
        Ok(_) => Ok(Some(Held { _file: file })),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether some process has it. Asking takes nothing, so that it cannot be in the holder's way.
///
/// # Errors
/// What the system says.
pub fn is_held(paths: &Paths) -> io::Result<bool> {
    let file = match File::open(paths.holder()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let mut lock = write_lock();
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_everybody_sees_that_and_it_ends_with_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/two-node-ha")).unwrap();
        let paths = Paths::rooted(dir.path().to_path_buf());
        assert!(!is_held(&paths).unwrap());
        let held = take(&paths).unwrap().unwrap();
        assert!(is_held(&paths).unwrap() && is_held(&paths).unwrap());
        assert!(take(&paths).unwrap().is_none());
        drop(held);
        assert!(!is_held(&paths).unwrap());
        assert!(take(&paths).unwrap().is_some());
    }
}
