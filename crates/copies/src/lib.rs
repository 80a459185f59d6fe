//! Protected copies of the data underneath DRBD: made, listed, verified, restored, dropped.
//!
//! A copy is made just before this node's data is overwritten: by a resync, by the solution of a
//! split brain, by a restore. It is of the *backing* data, DRBD's own meta-data at its end included,
//! so that it can be put back as it was.
//!
//! | way | where | cost |
//! |---|---|---|
//! | reflink (`FICLONE`) | backing file on btrfs or XFS | milliseconds |
//! | LVM snapshot | backing device is a logical volume | a process |
//! | sparse copy | anywhere | reads all, writes what is not zero |
//!
//! In the directory ([`Config`]'s `hooks.copy_dir`, 0700) there is, for each copy, `NAME.img` (not
//! with LVM) and `NAME.json` ([`Record`]). The record gets its name last and loses it first, so
//! that a copy that is listed is whole; what a crash left under other names, the next call clears
//! away. One lock for each resource, which dies with its holder.
//!
//! Nothing here changes the state of DRBD.

mod drop;
mod effects;
mod error;
mod lock;
mod lvm;
mod make;
mod metadata;
mod open;
mod pace;
mod record;
mod restore;
mod resync;
mod source;
mod space;
mod sparse;
mod store;
mod sys;
mod time;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use two_node_ha_command::{Runner, System};
use two_node_ha_config::{Backing, Config};

pub use error::{Error, Refused};
pub use make::{Limits, Progress};
pub use metadata::Generation;
pub use open::{Holder, holders};
pub use record::{Method, Record, VERSION, Why};
pub use restore::{Restored, Target};
pub use resync::{After, Before, Moment};
pub use sparse::Digest;
pub use store::{Copy, Listing};

/// The copies of one resource on this node.
pub struct Copies {
    /// The resource.
    resource: String,
    /// Where they are kept.
    dir: PathBuf,
    /// What is copied: a regular file or a block device.
    backing: PathBuf,
    /// How many copies from before a resync are kept; 0 makes none.
    keep: u32,
    /// Below which everything is; `/`, but for tests.
    root: PathBuf,
    runner: Box<dyn Runner>,
}

impl Copies {
    /// Those of the configured resource. Touches nothing yet. `root` is `/`, but for tests.
    #[must_use]
    pub fn open(config: &Config, root: &Path) -> Self {
        let backing = match &config.volume.backing {
            Backing::File { path, .. } => path,
            Backing::Device(path) => path,
        };
        let rooted = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        Self {
            resource: config.volume.resource.clone(),
            dir: rooted(&config.hooks.copy_dir),
            backing: rooted(backing),
            keep: config.hooks.copies,
            root: root.to_owned(),
            runner: Box::new(System::new()),
        }
    }

    /// The same, with LVM's programs run by another.
    #[must_use]
    pub fn with_runner(mut self, runner: Box<dyn Runner>) -> Self {
        self.runner = runner;
        self
    }

    /// The resource.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is copied.
    #[must_use]
    pub fn backing(&self) -> &Path {
        &self.backing
    }

    /// How many copies from before a resync are kept.
    #[must_use]
    pub fn keep(&self) -> u32 {
        self.keep
    }
}

impl std::fmt::Debug for Copies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copies")
            .field("resource", &self.resource)
            .field("dir", &self.dir)
            .field("backing", &self.backing)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
