//! Free space.

use std::path::Path;

use nix::sys::statvfs::{Statvfs, statvfs};
use two_node_ha_config::format_size;

use crate::error::{Error, Refused, io_error};

/// What stays free, in percent of the file system: the kubelet begins to evict pods when 10 % of
/// its own file system, or 15 % of the images', are left, and the backing file often shares it.
const RESERVE_PERCENT: u64 = 15;

/// What a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may be written.
    pub free: u64,
    /// Bytes of those that stay free for everybody else.
    pub reserve: u64,
}

impl Space {
    /// That of the file system with this file or directory.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let stat = statvfs(path)
            .map_err(|errno| io_error("ask for the free space of", path)(errno.into()))?;
        Ok(Self::from(&stat))
    }

    /// What a copy may use.
    pub fn usable(self) -> u64 {
        self.free.saturating_sub(self.reserve)
    }

    /// The refusal of a copy that may need so much.
    pub fn refusal(self, needed: u64, path: &Path) -> Refused {
        Refused::Space {
            needed: format_size(round(needed)),
            free: format_size(round(self.usable())),
            reserve: format_size(round(self.reserve)),
            path: path.to_owned(),
        }
    }
}

impl From<&Statvfs> for Space {
    fn from(stat: &Statvfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
        Self {
            free: bytes(stat.blocks_available()),
            reserve: bytes(stat.blocks()) / 100 * RESERVE_PERCENT,
        }
    }
}

/// To whole mebibytes where there are any: nobody reads the rest.
pub fn round(bytes: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    if bytes < MIB {
        bytes
    } else {
        bytes / MIB * MIB
    }
}

/// A size in words.
pub fn words(bytes: u64) -> String {
    format_size(round(bytes))
}
