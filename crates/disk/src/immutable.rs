//! The immutable flag of the mount point (invariant I2): while nothing is mounted there, nothing
//! can be written there to be hidden by the next mount.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::effects::{self, Change};

/// `FS_IMMUTABLE_FL` of linux/fs.h.
const IMMUTABLE: libc::c_long = 0x0000_0010;

mod ioctl {
    nix::ioctl_read!(get_flags, b'f', 1, libc::c_long);
    nix::ioctl_write_ptr!(set_flags, b'f', 2, libc::c_long);
}

/// Whether the directory carries the flag. `None` where its file system has no such flags
/// (tmpfs, overlayfs on older kernels).
///
/// # Errors
/// What the system says.
pub fn get(path: &Path) -> io::Result<Option<bool>> {
    #[cfg(any(test, feature = "power"))]
    if let Some(noted) = crate::power::flag(path, None) {
        return noted;
    }
    Ok(flags(&File::open(path)?)?.map(|flags| flags & IMMUTABLE != 0))
}

/// Sets or clears the flag of a directory that is open, whatever its path leads to by now; where the
/// file system has no such flag, nothing happens.
///
/// # Errors
/// What the system says, such as a missing `CAP_LINUX_IMMUTABLE`.
pub fn set_on(directory: &File, path: &Path, immutable: bool) -> io::Result<()> {
    #[cfg(any(test, feature = "power"))]
    if let Some(noted) = crate::power::flag(path, Some(immutable)) {
        return noted.map(|_| ());
    }
    let Some(now) = flags(directory)? else {
        return Ok(());
    };
    let wanted = if immutable {
        now | IMMUTABLE
    } else {
        now & !IMMUTABLE
    };
    if wanted == now {
        return Ok(());
    }
    effects::pass(Change::Other("set the immutable flag of", path), || {
        // SAFETY: the descriptor is open for the whole call, and FS_IOC_SETFLAGS reads one value
        // through the pointer (of which the kernel uses the low 32 bits), which outlives the call.
        unsafe { ioctl::set_flags(directory.as_raw_fd(), &wanted) }?;
        Ok(())
    })
}

fn flags(directory: &File) -> io::Result<Option<libc::c_long>> {
    let mut flags: libc::c_long = 0;
    // SAFETY: the descriptor is open for the whole call, and FS_IOC_GETFLAGS writes at most one
    // long through the pointer, which is valid and exclusive for the call.
    match unsafe { ioctl::get_flags(directory.as_raw_fd(), &mut flags) } {
        Ok(_) => Ok(Some(flags)),
        Err(nix::errno::Errno::ENOTTY | nix::errno::Errno::EOPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
