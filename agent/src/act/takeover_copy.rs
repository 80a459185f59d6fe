//! The copy of a database from before a takeover changes anything of it, and the way back to it
//! when the takeover was interrupted.

use std::time::Instant;

use two_node_ha_disk::linked_copy::{self, How};
use two_node_ha_disk::{self as disk, effects, tree};
use two_node_ha_planner::Database;
use two_node_ha_planner::record::{Epoch, Phase};

use super::first_start::{drop_surplus, set_aside};
use super::{Actor, Error};
use crate::store::takeover_copy;

/// An exchanged directory on its way out.
const PUT_BACK: &str = "put-back-";

/// What becomes of a file in the copy of a database.
///
/// raft only unlinks closed segments and snapshots, and k8sd its archives. Other archives are
/// left out: each is a copy of the database itself, of any size, and `recovery_db.tar.gz` is
/// written into by the next recovery. Half-written files are nobody's.
fn how(name: &str) -> How {
    let digits = |text: &str| text.len() >= 16 && text.bytes().all(|b| b.is_ascii_digit());
    let closed = name
        .split_once('-')
        .is_some_and(|(first, last)| digits(first) && digits(last));
    if name.ends_with(".tar.gz") {
        if name.starts_with("db_backup.") {
            How::Link
        } else {
            How::Leave
        }
    } else if name.starts_with("tmp-") || name.ends_with(".part") {
        How::Leave
    } else if closed || name.starts_with("snapshot-") {
        How::Link
    } else {
        How::Copy
    }
}

impl Actor {
    /// Before anything of the database changes: a copy of it, and a mark that it is about to
    /// change. After a takeover that was cut off, the database as it was before that one.
    pub(super) fn begin_attempt(&self, database: Database, epoch: u64) -> Result<(), Error> {
        if let Some(copy) = takeover_copy::interrupted(&self.paths, &self.config, database, epoch) {
            tracing::warn!(
                database = database.name(),
                copy = %copy.display(),
                "a takeover of {database} was interrupted; it begins anew from the copy in {}",
                copy.display()
            );
            return self.put_back(database, epoch);
        }
        let copy = takeover_copy::copy(&self.paths, &self.config, epoch, database);
        let from = self.paths.on_volume(&self.config, database);
        if copy.exists() {
            // An earlier attempt failed and was undone; Pacemaker may let many follow.
            if linked_copy::is_current(&from, &copy, &how)? {
                return self.set_mark(database, epoch);
            }
            // Somebody has changed the database since then, perhaps put it right: that is what
            // must not be lost now.
            let directory = takeover_copy::directory(&self.paths, &self.config, epoch);
            set_aside(&copy, &directory, database.name())
                .map_err(Error::io("setting aside", &copy))?;
        }
        let began = Instant::now();
        let kept = linked_copy::keep(&from, &copy, &how)?;
        self.set_mark(database, epoch)?;
        tracing::info!(
            database = database.name(),
            epoch,
            linked = kept.linked,
            copied = kept.copied,
            bytes = kept.bytes,
            ms = began.elapsed().as_millis() as u64,
            "{database} as it was before epoch {epoch} is kept in {}",
            copy.display()
        );
        Ok(())
    }

    /// The attempt has ended, and what is in the directory now is what counts.
    pub(super) fn end_attempt(&self, database: Database, epoch: u64) -> Result<(), Error> {
        let mark = takeover_copy::mark(&self.paths, &self.config, epoch, database);
        disk::remove_file_if_there(&mark).map_err(Error::io("removing", &mark))?;
        let directory = takeover_copy::directory(&self.paths, &self.config, epoch);
        if directory.is_dir() {
            disk::sync_directory(&directory).map_err(Error::io("syncing", &directory))?;
        }
        Ok(())
    }

    /// An epoch begins on a volume whose last owner was cut off while it took a database over: its
    /// copy becomes this epoch's. To be called before the new epoch is recorded.
    pub(super) fn carry_interrupted(&self, now: &Epoch, next: u64) -> Result<(), Error> {
        // From a beginning that was never recorded. The last owner may have gone on since.
        let stale = takeover_copy::directory(&self.paths, &self.config, next);
        tree::remove_if_there(&stale).map_err(Error::io("removing", &stale))?;
        for database in Database::ALL {
            if now.phase(database) != Phase::Pending {
                continue;
            }
            let copy = takeover_copy::interrupted(&self.paths, &self.config, database, now.epoch);
            if let Some(copy) = copy {
                let to = takeover_copy::copy(&self.paths, &self.config, next, database);
                linked_copy::keep(&copy, &to, &how)?;
                self.set_mark(database, next)?;
            }
        }
        Ok(())
    }

    fn set_mark(&self, database: Database, epoch: u64) -> Result<(), Error> {
        let mark = takeover_copy::mark(&self.paths, &self.config, epoch, database);
        disk::atomic::replace(&mark, b"").map_err(Error::io("writing", &mark))
    }

    /// The database as it is in the copy; what was made of it is set aside beside that.
    pub(super) fn put_back(&self, database: Database, epoch: u64) -> Result<(), Error> {
        let volume = self.paths.on_volume(&self.config, database);
        let copy = takeover_copy::copy(&self.paths, &self.config, epoch, database);
        let private = self.paths.private_on_volume(&self.config);
        let new = private.join(format!("{PUT_BACK}{database}"));
        tree::remove_if_there(&new).map_err(Error::io("removing", &new))?;
        linked_copy::keep(&copy, &new, &how)?;
        self.services_stopped()?;
        let _pin = self.volume_mounted()?;
        effects::exchange(&new, &volume).map_err(Error::io("exchanging", &volume))?;
        for side in [&new, &volume] {
            if let Some(parent) = side.parent() {
                disk::sync_directory(parent).map_err(Error::io("syncing", parent))?;
            }
        }
        let directory = takeover_copy::directory(&self.paths, &self.config, epoch);
        let name = format!("{database}-undone");
        set_aside(&new, &directory, &name).map_err(Error::io("setting aside", &new))?;
        // One for each failure would fill the volume.
        drop_surplus(&directory, &name, self.config.agent.keep_backups)
    }

    /// Drops the oldest copies beyond the configured number, those of an epoch that somebody began
    /// and never recorded, and what a crash left half made or half removed.
    pub(super) fn drop_old_copies(&self, now: u64) -> Result<(), Error> {
        let private = self.paths.private_on_volume(&self.config);
        let all = takeover_copy::all(&self.paths, &self.config)
            .map_err(Error::io("reading", &private))?;
        let keep = usize::try_from(self.config.agent.keep_backups).unwrap_or(usize::MAX);
        let recorded = all.iter().filter(|(epoch, _)| *epoch <= now).count();
        let surplus = recorded.saturating_sub(keep.max(1));
        for (index, (epoch, path)) in all.into_iter().enumerate() {
            if index >= surplus && epoch <= now {
                continue;
            }
            tracing::info!(directory = %path.display(), "dropping the copy from before epoch {epoch}");
            // Under its own name it is whole, or not there.
            let going = tree::staging_name(&path);
            disk::rename(&path, &going).map_err(Error::io("removing", &path))?;
        }
        for entry in std::fs::read_dir(&private).map_err(Error::io("reading", &private))? {
            let entry = entry.map_err(Error::io("reading", &private))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(PUT_BACK) || (name.starts_with('.') && name.ends_with(".part")) {
                let path = entry.path();
                tree::remove_if_there(&path).map_err(Error::io("removing", &path))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    use crate::act::tests::{Node, WRITABLE, names};

    #[test]
    fn only_what_dqlite_and_k8sd_never_write_into_again_is_linked() {
        for name in [
            "0000000000002369-0000000000002655",
            "snapshot-2-2048-642428",
            "snapshot-2-2048-642428.meta",
            "db_backup.2026-01-02T150405Z.tar.gz",
        ] {
            assert_eq!(how(name), How::Link, "{name}");
        }
        for name in [
            "open-1",
            "metadata1",
            "cluster.yaml",
            "1-2",
            "patch.global.sql",
        ] {
            assert_eq!(how(name), How::Copy, "{name}");
        }
        for name in ["recovery_db.tar.gz", "tmp-Xyz", "x.part"] {
            assert_eq!(how(name), How::Leave, "{name}");
        }
    }
    /// A copy of that epoch, with or without the mark of a takeover that changes the database.
    fn copied(node: &Node, epoch: u64, database: Database, marked: bool) -> [PathBuf; 2] {
        let (paths, config) = (&node.actor.paths, &node.actor.config);
        let copy = takeover_copy::copy(paths, config, epoch, database);
        fs::create_dir_all(&copy).unwrap();
        fs::write(copy.join("of"), format!("{epoch}")).unwrap();
        let mark = takeover_copy::mark(paths, config, epoch, database);
        if marked {
            fs::write(&mark, "").unwrap();
        }
        [copy, mark]
    }

    #[test]
    fn an_attempt_that_has_ended_is_marked_no_more_and_may_end_twice() {
        let node = Node::new(WRITABLE);
        let [copy, mark] = copied(&node, 2, Database::K8sd, true);
        for _ in 0..2 {
            node.actor.end_attempt(Database::K8sd, 2).unwrap();
            assert!(!mark.exists());
        }
        assert!(copy.exists(), "it is kept for an operator");
        node.actor.end_attempt(Database::K8sd, 7).unwrap();
        fs::create_dir(&mark).unwrap();
        let error = node.actor.end_attempt(Database::K8sd, 2).unwrap_err();
        let said = format!("removing {}", mark.display());
        assert!(error.to_string().contains(&said), "{error}");
    }

    #[test]
    fn the_copy_of_a_takeover_that_was_cut_off_is_carried_into_the_next_epoch_and_no_other_is() {
        for (done, marked) in [(false, true), (false, false), (true, true)] {
            let node = Node::new(WRITABLE);
            let mut now = Epoch::first("haone").taken_over_by("hatwo");
            if done {
                now.done(Database::K8sd);
            }
            copied(&node, 2, Database::K8sd, marked);
            // Of an epoch 3 that nobody recorded.
            let [stale, _] = copied(&node, 3, Database::K8sDqlite, true);
            node.actor.carry_interrupted(&now, 3).unwrap();
            assert!(!stale.exists(), "a copy older than the last owner's writes");
            let (paths, config) = (&node.actor.paths, &node.actor.config);
            let carried = takeover_copy::interrupted(paths, config, Database::K8sd, 3);
            if done || !marked {
                assert_eq!(carried, None, "done {done}, marked {marked}");
            } else {
                let of = fs::read_to_string(carried.unwrap().join("of")).unwrap();
                assert_eq!(of, "2");
            }
        }
    }

    #[test]
    fn the_newest_recorded_copies_stay_and_what_nobody_recorded_or_finished_goes() {
        let mut node = Node::new(WRITABLE);
        let mut config = (*node.actor.config).clone();
        config.agent.keep_backups = 2;
        node.actor.config = config.into();
        for epoch in [1, 2, 3, 4, 9] {
            copied(&node, epoch, Database::K8sd, false);
        }
        let private = node.actor.paths.private_on_volume(&node.actor.config);
        let others = [".hidden", "bundle-4", "notes.part"];
        let unfinished = [".before-epoch-1.part", "put-back-k8sd"];
        for name in others.iter().chain(&unfinished) {
            fs::create_dir(private.join(name)).unwrap();
        }
        node.actor.drop_old_copies(4).unwrap();
        assert_eq!(
            names(&private),
            [
                ".hidden",
                "before-epoch-3",
                "before-epoch-4",
                "bundle-4",
                "notes.part"
            ]
        );
    }
}
