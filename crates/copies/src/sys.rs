//! System calls that need `unsafe`, each behind one safe function.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `FS_NOCOW_FL` of linux/fs.h.
const NOCOW: libc::c_long = 0x0080_0000;

mod raw {
    nix::ioctl_read!(get_flags, b'f', 1, libc::c_long);
    nix::ioctl_write_ptr!(set_flags, b'f', 2, libc::c_long);
    nix::ioctl_none!(flush_buffers, 0x12, 97);
}

/// btrfs clones only between two files that both are, or both are not, exempt from copy on write:
/// gives the still empty `target` that flag of `source`. Where there are no flags, nothing happens.
pub fn like(source: &File, target: &File) -> io::Result<()> {
    let (Some(from), Some(to)) = (flags(source), flags(target)) else {
        return Ok(());
    };
    if from & NOCOW == to & NOCOW {
        return Ok(());
    }
    let wanted = (to & !NOCOW) | (from & NOCOW);
    // SAFETY: the descriptor is open for the whole call, and FS_IOC_SETFLAGS reads one value
    // through the pointer, which outlives the call.
    unsafe { raw::set_flags(target.as_raw_fd(), &wanted) }?;
    Ok(())
}

fn flags(file: &File) -> Option<libc::c_long> {
    let mut flags: libc::c_long = 0;
    // SAFETY: the descriptor is open for the whole call, and FS_IOC_GETFLAGS writes at most one
    // long through the pointer, which is valid and exclusive for the call.
    unsafe { raw::get_flags(file.as_raw_fd(), &mut flags) }.ok()?;
    Some(flags)
}

/// `BLKFLSBUF`: drops what the page cache holds of a block device.
pub fn forget_buffers(device: &File) -> io::Result<()> {
    // SAFETY: the request has no argument; the descriptor is open for as long as the borrow.
    unsafe { raw::flush_buffers(device.as_raw_fd()) }?;
    Ok(())
}

/// Starts to write a part of a file to the disk.
pub fn begin_writing(file: &File, offset: u64, length: u64) -> io::Result<()> {
    sync_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE)
}

/// Waits until a part of a file is written, so that the speed of copying is that of the disk and
/// not that of memory.
pub fn end_writing(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, length, all)
}

fn sync_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: the descriptor is open for as long as the borrow; the other arguments are numbers.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system without it; the final fsync does the work.
        Some(libc::ESPIPE | libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => Ok(()),
        _ => Err(error),
    }
}
