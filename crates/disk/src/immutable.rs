//! The immutable flag of the mount point (invariant I2): while nothing is mounted there, nothing
//! can be written there to be hidden by the next mount.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::effects::{self, Change};
use crate::sys;

/// `FS_IMMUTABLE_FL` of linux/fs.h.
const IMMUTABLE: libc::c_long = 0x0000_0010;

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
    Ok(sys::flags(&File::open(path)?)?.map(|flags| flags & IMMUTABLE != 0))
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
    let Some(now) = sys::flags(directory)? else {
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
        sys::set_flags(directory, wanted)
    })
}
