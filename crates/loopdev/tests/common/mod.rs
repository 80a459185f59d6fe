//! A backing file and the real loop devices for it.

#![allow(dead_code)] // Each test program uses a part of it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use two_node_ha_loopdev::{Attached, Error, Host, Request, attach, status};

/// A backing file, a place for the map, and a name in `/dev`: all gone at the end, whatever fails.
pub struct Bench {
    /// Holds the file and the map.
    pub dir: tempfile::TempDir,
    /// The real system, but for the map and udev.
    pub host: Host,
    /// The backing file, 1 MiB.
    pub file: PathBuf,
    /// The name below `/dev`.
    pub link: String,
}

impl Bench {
    /// `None`, loudly, where there are no loop devices to be had.
    pub fn new(name: &str) -> Option<Self> {
        let control = OpenOptions::new().write(true).open("/dev/loop-control");
        if let Err(error) = control {
            eprintln!("SKIPPED: no loop devices here (/dev/loop-control: {error})");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        fs::write(&file, vec![0x5a; 1 << 20]).unwrap();
        let host = Host {
            map: dir.path().join("map"),
            udev: dir.path().join("no-udev"),
            ..Host::default()
        };
        let unique = dir.path().file_name().unwrap().to_str().unwrap();
        let link = format!("two-node-ha-test{unique}");
        Some(Self {
            dir,
            host,
            file,
            link,
        })
    }

    /// Attaches the file, with the name and direct I/O.
    pub fn attach(&self) -> Result<Attached, Error> {
        let request = Request {
            file: self.file.clone(),
            link: Some(self.link.clone()),
            direct_io: true,
        };
        attach(&self.host, &request)
    }

    /// The devices that this file is attached to, as the kernel says.
    pub fn devices(&self) -> Vec<PathBuf> {
        let mut devices = Vec::new();
        for device in status(&self.host).unwrap() {
            if device.backing_file.starts_with(self.dir.path()) {
                devices.push(device.device);
            }
        }
        devices
    }

    /// The name's path.
    pub fn link(&self) -> PathBuf {
        Path::new("/dev").join(&self.link)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for device in self.devices() {
            let _ = Command::new("losetup").arg("-d").arg(device).status();
        }
        let _ = fs::remove_file(self.link());
    }
}
