//! What can go wrong, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error(
        "the backing file {0:?} does not exist; make it on this node with \
         `fallocate -l SIZE {0:?}`, or correct volume.backing_file"
    )]
    Missing(PathBuf),
    /// It is a block device.
    #[error(
        "{0:?} is a block device, which needs no loop device; give it as volume.backing_device"
    )]
    BlockDevice(PathBuf),
    /// It is a directory, a pipe or the like.
    #[error("{0:?} is no regular file; only a regular file can back a loop device")]
    NotRegular(PathBuf),
    /// Empty or not whole sectors: the loop device would be smaller than the file, and DRBD's
    /// internal metadata, which stand at the end, would not be found.
    #[error(
        "{path:?} has {size} bytes, which is not a multiple of 512 above zero; make it anew with \
         `fallocate -l SIZE {path:?}`; if it holds data, `truncate -s %512 {path:?}` rounds it up"
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Attached already, but not as we would: writing through both would destroy the data.
    #[error(
        "{path:?} is attached to {device:?} already, {how}; detach it with `losetup -d {device:?}`"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The loop device.
        device: PathBuf,
        /// In what way it is different.
        how: &'static str,
    },
    /// Another process holds the lock on the file.
    #[error("{path:?} is locked by another process since {seconds} s; `lslocks` shows which one")]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// The name that udev should give is taken.
    #[error(
        "{link:?} exists and is no link to the loop device of the volume; remove it, or choose \
         another volume.loop_symlink"
    )]
    LinkTaken {
        /// The name.
        link: PathBuf,
    },
    /// A name that does not lie below `/dev`.
    #[error("{0:?} is no name below /dev")]
    BadLink(String),
    /// Somebody has the device open for himself alone, as DRBD and mounts do.
    #[error(
        "{device:?} ({path:?}) is in use{holders}; take DRBD down first: `drbdadm down RESOURCE`"
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The loop device.
        device: PathBuf,
        /// ` by NAME, NAME`, where the kernel says so.
        holders: String,
    },
    /// Somebody still has the device open, and the kernel detaches it when he closes it.
    #[error("{0:?} is still open somewhere; the kernel will detach it once it is closed")]
    StillOpen(PathBuf),
    /// The kernel has no loop devices.
    #[error("{0:?} is not there: this kernel has no loop devices; try `modprobe loop`")]
    NoLoop(PathBuf),
    /// Every free device that the kernel offered was taken by someone else before we had it.
    #[error("no loop device could be had: {0} times another process was faster")]
    Races(u32),
    /// The rest.
    #[error("cannot {doing} {path:?}: {error}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What happened.
        #[source]
        error: io::Error,
    },
}

/// Turns an I/O error into one that says what was being done to what.
pub(crate) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    move |error| Error::Io {
        doing,
        path: path.to_owned(),
        error: error.into(),
    }
}
