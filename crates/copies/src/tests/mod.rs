//! What has to be seen from within: crash points, and the whole of a resync's life.

mod crash;
mod life;
mod volume;

use std::fs;
use std::path::{Path, PathBuf};

use two_node_ha_command::scripted::Scripted;
use two_node_ha_drbd::DiskState;

use crate::metadata::tests::block_84;
use crate::{Copies, Copy, Moment};

/// A node's backing file of 1 MiB, with DRBD's meta-data at its end.
pub struct Node {
    root: tempfile::TempDir,
    pub copies: Copies,
}

pub const SIZE: usize = 1 << 20;

impl Node {
    pub fn new(keep: u32) -> Self {
        // Not /tmp: a share of a file system is left free, and a disk may be fuller than that.
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = root.path().join("opt");
        fs::create_dir(&dir).unwrap();
        let node = Self {
            copies: Copies {
                resource: "r0".into(),
                dir: dir.join(".two-node-ha-copies"),
                backing: dir.join("drbd0"),
                keep,
                root: root.path().to_owned(),
                runner: Box::new(Scripted::new()),
            },
            root,
        };
        node.write(b'a', 0xA0);
        node
    }

    /// Other data of another generation.
    pub fn write(&self, byte: u8, generation: u64) {
        fs::write(&self.copies.backing, Self::data(byte, generation)).unwrap();
    }

    pub fn data(byte: u8, generation: u64) -> Vec<u8> {
        let mut data = vec![0; SIZE];
        data[4096..8192].fill(byte);
        data[300_000..300_010].fill(byte);
        data[SIZE - 4096..].copy_from_slice(&block_84(generation, 1));
        data
    }

    /// Where a power that is cut keeps what it takes back.
    pub fn attic(&self) -> PathBuf {
        self.root.path().join("attic")
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.copies.dir.join(name)
    }

    pub fn names(&self) -> Vec<String> {
        names(&self.copies.dir)
    }

    /// The first data byte of a copy.
    pub fn byte(&self, copy: &Copy) -> u8 {
        fs::read(&copy.path).unwrap()[4096]
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn moment(disk: DiskState) -> Moment {
    Moment { disk: Some(disk) }
}
