//! System calls that need `unsafe`, each behind one safe function.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

mod raw {
    nix::ioctl_write_int!(ficlone, 0x94, 9);
    nix::ioctl_read!(get_flags, b'f', 1, libc::c_long);
    nix::ioctl_write_ptr!(set_flags, b'f', 2, libc::c_long);
}

/// `FICLONE`: `target` shares all blocks of `source` from here on, until one of them changes.
pub(crate) fn clone(source: &File, target: &File) -> io::Result<()> {
    let source = u64::from(source.as_raw_fd().unsigned_abs());
    // SAFETY: both descriptors are open for as long as their borrows; the argument is a number.
    unsafe { raw::ficlone(target.as_raw_fd(), source) }?;
    Ok(())
}

/// `FS_IOC_GETFLAGS`; `None` where the file system has no such flags.
pub(crate) fn flags(file: &File) -> io::Result<Option<libc::c_long>> {
    let mut flags: libc::c_long = 0;
    // SAFETY: the descriptor is open for the whole call, and FS_IOC_GETFLAGS writes at most one
    // long through the pointer, which is valid and exclusive for the call.
    match unsafe { raw::get_flags(file.as_raw_fd(), &mut flags) } {
        Ok(_) => Ok(Some(flags)),
        Err(Errno::ENOTTY | Errno::EOPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// `FS_IOC_SETFLAGS`
pub(crate) fn set_flags(file: &File, flags: libc::c_long) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call, and FS_IOC_SETFLAGS reads one value
    // through the pointer (of which the kernel uses the low 32 bits), which outlives the call.
    unsafe { raw::set_flags(file.as_raw_fd(), &flags) }?;
    Ok(())
}
