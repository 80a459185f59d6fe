//! Whether the file systems that this project writes to take changes. Asked after a step has failed:
//! systemd says of a service that it failed, and a program of the snap whatever it says, but a full or
//! read-only disk is what an administrator can do something about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use two_node_ha_config::Config;
use two_node_ha_disk::room::{Fault, state};
use two_node_ha_node::Paths;
use two_node_ha_planner::Database;

/// A file system that takes no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A directory on it, of those that are written to.
    pub directory: PathBuf,
    /// Whether it is the volume.
    pub volume: bool,
    /// What is wrong.
    pub fault: Fault,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directory = self.directory.display();
        let whose = if self.volume { "the volume's" } else { "the" };
        match self.fault {
            Fault::Full => write!(
                f,
                "{whose} file system of {directory} is full: make room there (`df -h {directory}`; \
                 `du -x` tells by what)"
            ),
            Fault::NoInodes => write!(
                f,
                "{whose} file system of {directory} has no inode left: remove files there (`df -i \
                 {directory}`)"
            ),
            Fault::ReadOnly => write!(
                f,
                "{whose} file system of {directory} is read-only: `journalctl -k` tells why; once that \
                 is mended, `mount -o remount,rw` it or reboot"
            ),
        }
    }
}

/// Every file system that takes no change, each once; the volume's only where it is `mounted` here.
fn look(paths: &Paths, config: &Config, mounted: bool) -> Vec<Trouble> {
    let point = paths.mount_point(config);
    let parent = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut directories = vec![(paths.state(), false), (paths.run(), false)];
    for database in Database::ALL {
        directories.push((parent(&paths.state_directory(config, database)), false));
    }
    directories.push((paths.at(&config.k8s.recovery_dir), false));
    directories.push((parent(&point), false));
    if mounted {
        directories.push((point, true));
    }
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (directory, volume) in directories {
        // One that cannot be looked at has another trouble, which the step has told.
        let Ok((device, Some(fault))) = state(&directory) else {
            continue;
        };
        if seen.insert(device) {
            all.push(Trouble {
                directory,
                volume,
                fault,
            });
        }
    }
    all
}

/// Why something failed, and every file system that takes no change.
#[must_use]
pub fn with(why: String, paths: &Paths, config: &Config, mounted: bool) -> String {
    let all = look(paths, config, mounted).into_iter();
    all.fold(why, |why, trouble| format!("{why}; {trouble}"))
}
