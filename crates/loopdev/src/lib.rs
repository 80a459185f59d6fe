//! Attaching a backing file to a loop device, idempotently.
//!
//! The same file is never attached twice: what is attached already is found by device and inode,
//! not by name. The loop device gets a stable name (such as `/dev/lodrbd`) from a udev rule, or
//! from us where udev does not run.

mod attach;
mod blocks;
mod detach;
mod error;
mod link;
mod map;
mod status;
mod sys;

use std::path::{Path, PathBuf};

pub use attach::{Attached, Request, attach};
pub use detach::{Detached, detach};
pub use error::Error;
pub use link::Link;
pub use status::{Device, status};

/// Where the system's directories are. Anything but [`Host::default`] is for tests.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/dev`
    pub dev: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// `/run/two-node-ha/loop`: which names the udev rule shall give.
    pub map: PathBuf,
    /// `/run/udev/control`: there while udev runs.
    pub udev: PathBuf,
}

impl Host {
    /// The system below `root`, `/` being the real one. The kernel's own `/sys` is always meant.
    #[must_use]
    pub fn rooted(root: &Path) -> Self {
        Self {
            dev: root.join("dev"),
            sys: PathBuf::from("/sys"),
            map: root.join("run/two-node-ha/loop"),
            udev: root.join("run/udev/control"),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::rooted(Path::new("/"))
    }
}
