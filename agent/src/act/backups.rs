//! The archives that `k8sd cluster-recover` leaves from before each recovery: they hold every secret of
//! the cluster, can be read by everybody, and fill the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use two_node_ha_disk::effects::{self, Change};
use two_node_ha_planner::Database;

use super::{Actor, Error};

/// The mode of an archive that was dealt with. k8sd makes them 0644.
const PRIVATE: u32 = 0o600;

impl Actor {
    /// Keeps the newest of each kind, as many as are configured, and makes them private.
    pub(super) fn drop_backups(&self) -> Result<(), Error> {
        let keep = usize::try_from(self.config.agent.keep_tarballs).unwrap_or(usize::MAX);
        let (recovery, k8sd) = (self.paths.at(&self.config.k8s.recovery_dir), Database::K8sd);
        // Of k8s-dqlite, each as it was and as it became; of k8sd in its state directory, wherever that is.
        prune(&recovery, "recovery-k8s-dqlite-", "-recovery.tar.gz", keep)?;
        for state in [
            self.paths.on_volume(&self.config, k8sd),
            self.paths.spare(k8sd),
        ] {
            prune(&state, "db_backup.", ".tar.gz", keep)?;
        }
        Ok(())
    }
}

/// One archive.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Archive {
    /// Whether it has come since the last time.
    new: bool,
    modified: SystemTime,
    path: PathBuf,
}

/// Drops the oldest beyond `keep`.
///
/// The time in the names is a local one, to the second, and a clock can be set back. So what is new is
/// newer than what was there the last time, by its mode; and its time is moved behind the others', where
/// it is not, which keeps the order for the next time.
fn prune(directory: &Path, prefix: &str, suffix: &str, keep: usize) -> Result<(), Error> {
    let mut archives = find(directory, prefix, suffix).map_err(Error::io("reading", directory))?;
    archives.sort();
    let surplus = archives.len().saturating_sub(keep);
    let mut last: Option<SystemTime> = None;
    for (index, archive) in archives.iter().enumerate() {
        let path = &archive.path;
        if index < surplus {
            effects::remove_file(path).map_err(Error::io("removing", path))?;
            continue;
        }
        let mut modified = archive.modified;
        if archive.new {
            if let Some(last) = last.filter(|last| modified <= *last) {
                modified = last + Duration::from_secs(1);
                effects::pass(Change::Other("set the time of", path), || {
                    File::options()
                        .write(true)
                        .open(path)?
                        .set_modified(modified)
                })
                .map_err(Error::io("setting the time of", path))?;
            }
            // Last: a crash before it leaves it new.
            effects::set_mode(path, PRIVATE).map_err(Error::io("protecting", path))?;
        }
        last = Some(modified);
    }
    Ok(())
}

fn find(directory: &Path, prefix: &str, suffix: &str) -> io::Result<Vec<Archive>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut archives = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let meta = entry.metadata()?;
        if meta.is_file() && name.starts_with(prefix) && name.ends_with(suffix) {
            archives.push(Archive {
                new: meta.permissions().mode() & 0o777 != PRIVATE,
                modified: meta.modified()?,
                path: entry.path(),
            });
        }
    }
    Ok(archives)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::act::tests::{Node, names};

    fn archive(path: &Path, ago: u64) {
        let file = File::create(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let at = SystemTime::now() - Duration::from_secs(ago);
        file.set_modified(at).unwrap();
    }

    #[test]
    fn the_newest_archives_of_each_kind_stay_and_nobody_else_reads_them() {
        let node = Node::taking_over();
        let Actor { paths, config, .. } = &node.actor;
        let recovery = paths.at(&config.k8s.recovery_dir);
        let [volume, spare] = [node.volume(Database::K8sd), node.spare(Database::K8sd)];
        type Name = fn(u64) -> String;
        let kinds: [(&Path, Name); 3] = [
            (&recovery, |n| {
                format!("recovery-k8s-dqlite-{n}-post-recovery.tar.gz")
            }),
            (&volume, |n| format!("db_backup.{n}.tar.gz")),
            (&spare, |n| format!("db_backup.{n}.tar.gz")),
        ];
        for (directory, name) in &kinds {
            // The clock of the names counts for nothing.
            for n in 1..=5 {
                archive(&directory.join(name(n)), n * 60);
            }
            fs::write(directory.join("db_backup.notes"), "a person's").unwrap();
        }
        node.actor.drop_backups().unwrap();
        assert_eq!(config.agent.keep_tarballs, 3);
        for (directory, name) in &kinds {
            let mut left = names(directory);
            left.retain(|name| name.ends_with(".tar.gz"));
            assert_eq!(left, [name(1), name(2), name(3)]);
            for name in left {
                let meta = fs::metadata(directory.join(name)).unwrap();
                assert_eq!(meta.permissions().mode() & 0o777, 0o600);
            }
            assert!(directory.join("db_backup.notes").exists());
        }
    }

    #[test]
    fn an_archive_that_was_made_after_the_clock_was_set_back_is_still_the_newest_and_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        // Each is an hour older than the one before, by the clock.
        for n in 1..=6 {
            archive(&dir.path().join(format!("db_backup.{n}.tar.gz")), n * 3600);
            prune(dir.path(), "db_backup.", ".tar.gz", 2).unwrap();
            let newest = [n.saturating_sub(1), n].map(|n| format!("db_backup.{n}.tar.gz"));
            let expected = if n == 1 { &newest[1..] } else { &newest[..] };
            assert_eq!(names(dir.path()), expected);
        }
    }
}
