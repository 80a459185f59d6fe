//! The first day: both nodes still have real state directories.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use two_node_ha_disk::{self as disk, tree};
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Known, LinkTarget};
use two_node_ha_planner::record::Epoch;

use super::{Actor, Error, Outcome, Progress};
use crate::observe::live;
use crate::store::Record;

impl Actor {
    /// The voter's databases move onto the volume. One step for both: only the record at its end
    /// says that the copies are good, and a crash before it starts all over.
    pub(super) fn move_onto_volume(
        &mut self,
        progress: &mut Progress<'_>,
    ) -> Result<Outcome, Error> {
        self.services_stopped()?;
        let _pin = self.volume_mounted()?;
        match self.read_epoch() {
            Known::Absent => {}
            Known::Present(_) => return Ok(Outcome::Done),
            Known::Unreadable(why) => return Err(Error::Guard(why)),
        }
        let private = self.paths.private_on_volume(&self.config);
        disk::private_directory(&private).map_err(Error::io("creating", &private))?;
        for database in Database::ALL {
            let from = self.paths.state_directory(&self.config, database);
            let to = self.paths.on_volume(&self.config, database);
            // From an interrupted first start: perhaps older than what is here. Set aside.
            if to.exists() {
                let name = format!("unrecorded-{database}");
                set_aside(&to, &private, &name).map_err(Error::io("setting aside", &to))?;
            }
            let copied = tree::copy(&from, &to, &self.interrupt, &mut |bytes| {
                progress(&format!(
                    "moving {database} onto the volume: {} KiB",
                    bytes / 1024
                ));
            })?;
            tracing::info!(
                database = database.name(),
                files = copied.files,
                bytes = copied.bytes,
                "{database} was copied onto the volume and read back"
            );
        }
        // Remounted read-only in the middle it would say so; the pin keeps it mounted.
        let _pin = self.volume_mounted()?;
        Epoch::first(&self.node.name).write(&self.paths.epoch(&self.config))?;
        self.journal.saw_epoch(1);
        Ok(Outcome::Done)
    }

    /// The spare's directory is copied to where it stays; the link comes with the flip.
    pub(super) fn keep_original(
        &mut self,
        database: Database,
        progress: &mut Progress<'_>,
    ) -> Result<Outcome, Error> {
        self.services_stopped()?;
        if live::leads(&self.paths, &self.config, database) != LinkTarget::Directory {
            return Err(Error::Guard(format!(
                "the state directory of {database} is no real directory any more"
            )));
        }
        let to = self.paths.spare(database);
        if !to.exists() {
            let from = self.paths.state_directory(&self.config, database);
            tree::copy(&from, &to, &self.interrupt, &mut |bytes| {
                progress(&format!("keeping {database}: {} KiB", bytes / 1024));
            })?;
        }
        // The day the two nodes were separated is epoch 1, whoever it belongs to: a later epoch
        // needs a bundle.
        self.journal.spare_epoch.entry(database).or_insert(1);
        Ok(Outcome::Done)
    }

    /// Moves a replaced directory into the quarantine, and drops the oldest beyond the
    /// configured number.
    pub(super) fn quarantine(&self, directory: &Path, database: Database) -> Result<(), Error> {
        let quarantine = self.paths.quarantine();
        disk::private_directory(&quarantine).map_err(Error::io("creating", &quarantine))?;
        set_aside(directory, &quarantine, database.name())
            .map_err(Error::io("quarantining", directory))?;
        drop_surplus(&quarantine, database.name(), self.config.agent.keep_backups)
    }
}

/// Drops the oldest of what was [`set_aside`] under a name, beyond `keep`, of which one always stays.
pub(super) fn drop_surplus(directory: &Path, name: &str, keep: u32) -> Result<(), Error> {
    let kept = kept(directory, name).map_err(Error::io("reading", directory))?;
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let surplus = kept.len().saturating_sub(keep.max(1));
    for (_, old) in kept.into_iter().take(surplus) {
        tracing::info!(directory = %old.display(), "dropping an old directory that was set aside");
        tree::remove_if_there(&old).map_err(Error::io("removing", &old))?;
    }
    Ok(())
}

/// What was [`set_aside`] under a name, the oldest first, each with the number that its name ends in.
fn kept(directory: &Path, name: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(number) = number(&path, name) {
            kept.push((number, path));
        }
    }
    kept.sort();
    Ok(kept)
}

/// `k8sd-1700000000` belongs to k8sd, and `k8sd-dqlite-…` would not.
fn number(path: &Path, name: &str) -> Option<u64> {
    let file = path.file_name()?.to_str()?;
    file.strip_prefix(name)?.strip_prefix('-')?.parse().ok()
}

/// Renames `from` to `NAME-SECONDS` in a directory. The seconds since 1970 are for whoever reads the
/// name. What counts is that no later one is less: the oldest are dropped by it. So where the clock was
/// set back, or two come at once, the number is the one after the last.
pub(super) fn set_aside(from: &Path, directory: &Path, name: &str) -> io::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let last = kept(directory, name)?.pop();
    let number = last.map_or(now, |(last, _)| now.max(last.saturating_add(1)));
    disk::rename_new(from, &directory.join(format!("{name}-{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::{NOTHING, Node, contents, names};

    #[test]
    fn what_is_set_aside_twice_in_a_second_gets_two_names() {
        let dir = tempfile::tempdir().unwrap();
        for nth in ["first", "second", "third"] {
            let from = dir.path().join("from");
            std::fs::create_dir(&from).unwrap();
            std::fs::write(from.join(nth), "").unwrap();
            set_aside(&from, dir.path(), "k8sd").unwrap();
        }
        let all: Vec<_> = contents(dir.path()).into_keys().collect();
        assert_eq!(all.len(), 3);
        for (path, nth) in all.iter().zip(["first", "second", "third"]) {
            assert!(path.ends_with(nth), "the order of the names: {all:?}");
        }
    }

    #[test]
    fn what_is_not_there_cannot_be_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let error = set_aside(&dir.path().join("from"), dir.path(), "k8sd").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_replaced_directory_goes_into_the_quarantine_where_the_newest_stay() {
        let node = Node::new(NOTHING);
        let quarantine = node.actor.paths.quarantine();
        for nth in 1..=5 {
            let replaced = node.actor.paths.state().join("replaced");
            std::fs::create_dir(&replaced).unwrap();
            std::fs::write(replaced.join("nth"), format!("{nth}")).unwrap();
            node.actor.quarantine(&replaced, Database::K8sd).unwrap();
            assert!(!replaced.exists());
        }
        assert_eq!(node.actor.config.agent.keep_backups, 3);
        let kept: Vec<_> = contents(&quarantine).into_values().collect();
        assert_eq!(kept, ["3", "4", "5"]);
    }

    #[test]
    fn what_is_set_aside_after_the_clock_was_set_back_is_not_dropped_as_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        // One of a node that woke up in 1970, and one of a node that was years ahead.
        for number in ["86400", "9999999999"] {
            std::fs::create_dir(dir.path().join(format!("k8sd-{number}"))).unwrap();
        }
        std::fs::create_dir(&from).unwrap();
        set_aside(&from, dir.path(), "k8sd").unwrap();
        drop_surplus(dir.path(), "k8sd", 2).unwrap();
        assert_eq!(names(dir.path()), ["k8sd-10000000000", "k8sd-9999999999"]);
    }

    #[test]
    fn a_directory_set_aside_is_counted_for_its_own_name_only() {
        let of = |path: &str, name| number(Path::new(path), name);
        assert_eq!(of("/q/k8sd-1700000000", "k8sd"), Some(1_700_000_000));
        assert_eq!(of("/q/k8s-dqlite-1700000000", "k8sd"), None);
        assert_eq!(of("/q/k8sd-undone-1700000000", "k8sd"), None);
        assert_eq!(of("/q/k8s-dqlite-17", "k8s-dqlite"), Some(17));
    }

    #[test]
    fn however_often_something_is_set_aside_only_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        for seconds in 1_700_000_001..=1_700_000_009_u64 {
            for name in ["k8sd-undone", "k8sd"] {
                std::fs::create_dir(dir.path().join(format!("{name}-{seconds}"))).unwrap();
            }
        }
        drop_surplus(dir.path(), "k8sd-undone", 2).unwrap();
        assert!(dir.path().join("k8sd-undone-1700000009").exists());
        assert!(dir.path().join("k8sd-undone-1700000008").exists());
        assert!(!dir.path().join("k8sd-undone-1700000007").exists());
        assert!(dir.path().join("k8sd-1700000001").exists());
    }
}
