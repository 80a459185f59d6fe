//! Whether the file systems that this project writes to take changes. Asked after a step has failed:
//! systemd says of a service that it failed, and a program of the snap whatever it says, but a full or
//! read-only disk is what an administrator can do something about.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use two_node_ha_config::Config;
use two_node_ha_planner::Database;

use crate::paths::Paths;

/// What is wrong with a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fewer bytes than [`ENOUGH`] are left.
    Full,
    /// No inode is left.
    NoInodes,
    /// It is mounted read-only, or the kernel has made it so after an error.
    ReadOnly,
}

/// What raft allocates at a start: two segments of 8 MiB (libraft, uv_prepare.c).
const ENOUGH: u64 = 16 << 20;

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

/// The device of a directory, or of what is above it, and what is wrong there.
fn state(directory: &Path) -> io::Result<(u64, Option<Fault>)> {
    #[cfg(test)]
    if let Some(said) = crate::files::effects::power::room(directory) {
        return Ok(said);
    }
    let there = directory.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("/"));
    let device = std::fs::metadata(there)?.dev();
    let stat = statvfs(there)?;
    // c_ulong is 32 bits wide on some machines.
    #[allow(clippy::useless_conversion)]
    let bytes = u64::from(stat.blocks_free()).saturating_mul(u64::from(stat.fragment_size()));
    let fault = if stat.flags().contains(FsFlags::ST_RDONLY) {
        Some(Fault::ReadOnly)
    } else if bytes < ENOUGH {
        Some(Fault::Full)
    } else if stat.files() > 0 && stat.files_free() == 0 {
        Some(Fault::NoInodes)
    } else {
        None
    };
    Ok((device, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_what_is_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let (device, fault) = state(&dir.path().join("not/there")).unwrap();
        assert_eq!(device, std::fs::metadata(dir.path()).unwrap().dev());
        assert_eq!(fault, None, "no space for temporary files");
    }

    /// What statvfs says, tried where a namespace of mounts may be made.
    #[test]
    fn a_small_file_system_and_a_read_only_one_are_told_from_a_good_one() {
        for (options, expected) in [
            ("size=1m", Some(Fault::Full)),
            ("size=64m,nr_inodes=1", Some(Fault::NoInodes)),
            ("size=64m,ro", Some(Fault::ReadOnly)),
            ("size=64m", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            // The mount is the child's own; its view of the directory is reached through /proc.
            let child = std::process::Command::new("unshare")
                .args(["--map-root-user", "--mount", "sh", "-c"])
                .arg(format!(
                    "mount -t tmpfs -o {options} none \"$0\" && echo && read x"
                ))
                .arg(dir.path())
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn();
            let Ok(mut child) = child else {
                eprintln!("not tried: no namespace of mounts to be had");
                return;
            };
            let mut line = String::new();
            let mut said = io::BufReader::new(child.stdout.take().unwrap());
            io::BufRead::read_line(&mut said, &mut line).unwrap();
            if line.is_empty() {
                eprintln!("not tried: no namespace of mounts to be had");
            } else {
                let root = format!("/proc/{}/root", child.id());
                let there = Path::new(&root).join(dir.path().strip_prefix("/").unwrap());
                assert_eq!(state(&there).unwrap().1, expected, "{options}");
            }
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
