//! The blocks of the backing file: all of them allocated, and not given back.
//!
//! A hole becomes a write error underneath DRBD on the day when the file system is full. A file
//! that was allocated whole gets holes all the same: a discard from above (`fstrim` trims every
//! mounted file system weekly) and some ways of writing zeros (ext4 initialising its inode tables)
//! arrive at the loop driver, which punches them into the file (`drivers/block/loop.c`).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::fstatvfs;

use crate::{Host, sys};

/// The unit of `st_blocks` (stat(2)).
const BLOCK: u64 = 512;
/// What is left free for everybody else on the file system, in bytes.
const RESERVE: u64 = 64 << 20;

/// What became of the holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocation {
    /// There were none.
    Whole,
    /// They were allocated; how many bytes.
    Filled(u64),
    /// They are still there; why, as a sentence.
    Sparse(String),
}

/// Allocates the holes of the file. Changes none of its data, so it may be in use.
pub fn allocate(path: &Path, file: &File) -> io::Result<Allocation> {
    let before = file.metadata()?;
    let size = before.len();
    let missing = size.saturating_sub(before.blocks().saturating_mul(BLOCK));
    if missing == 0 {
        return Ok(Allocation::Whole);
    }
    let sparse = |why: &str| {
        Ok(Allocation::Sparse(format!(
            "{path:?} is sparse, {missing} of {size} bytes have no place on the disk, and {why}: \
             when the file system is full, DRBD gets write errors; make room and run `fallocate -l \
             {size} {path:?}`, which changes no data"
        )))
    };
    let system = fstatvfs(file)?;
    let free = system
        .blocks_available()
        .saturating_mul(system.fragment_size());
    if free < missing.saturating_add(RESERVE) {
        return sparse("there is too little free space to allocate them");
    }
    let Ok(length) = i64::try_from(size) else {
        return sparse("the file is larger than can be allocated");
    };
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(Allocation::Filled(missing)),
        Err(Errno::EOPNOTSUPP) => sparse("its file system cannot allocate in advance"),
        Err(error) => Err(error.into()),
    }
}

/// Has the device refuse discards, so that nobody above gives blocks back.
///
/// There is no way back: with discards off the kernel calls their granularity 0, and takes no
/// limit that is not a multiple of it. Hence [`forget`].
pub fn keep(host: &Host, device: &Path) -> io::Result<()> {
    let name = device
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let queue = host.sys.join("block").join(name).join("queue");
    std::fs::write(queue.join("discard_max_bytes"), "0")
}

/// Removes a device that nothing is attached to any more, so that its number comes back as a
/// device that takes discards. One that somebody has got in the meantime stays.
pub fn forget(host: &Host, number: u32) {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open(host.dev.join("loop-control"));
    if let Ok(control) = control {
        let _ = sys::remove(&control, number);
    }
}
