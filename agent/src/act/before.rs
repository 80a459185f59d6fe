//! The copy of a database from before a takeover changes anything of it, and the way back to it
//! when the takeover was interrupted.

use std::time::Instant;

use super::{Actor, Error};
use crate::database::Database;
use crate::files::still::{self, How};
use crate::files::{self, effects, tree};
use crate::store::before;

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
    /// Keeps the database as it is, once an epoch: one that is there is from before the first
    /// attempt.
    pub(super) fn keep_before(&self, database: Database, epoch: u64) -> Result<(), Error> {
        let directory = before::directory(&self.paths, &self.config, epoch);
        let copy = directory.join(database.name());
        if copy.exists() {
            return Ok(());
        }
        let began = Instant::now();
        let from = self.paths.on_volume(&self.config, database);
        let kept = still::keep(&from, &copy, &how)?;
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

    /// Undoes what an interrupted takeover has made of the database (I7): the next one begins
    /// where that had begun, and not on a half-made recovery, nor on top of a whole one.
    pub(super) fn put_back(&self, database: Database, epoch: u64) -> Result<(), Error> {
        let volume = self.paths.on_volume(&self.config, database);
        let copy = before::interrupted(&self.paths, &self.config, database, epoch)
            .map_err(Error::io("comparing the terms of", &volume))?;
        let Some(copy) = copy else {
            return Ok(());
        };
        let new = self
            .paths
            .volume_corner(&self.config)
            .join(format!("{PUT_BACK}{database}"));
        tree::remove_if_there(&new).map_err(Error::io("removing", &new))?;
        still::keep(&copy, &new, &how)?;
        self.services_stopped()?;
        self.volume_mounted()?;
        effects::exchange(&new, &volume).map_err(Error::io("exchanging", &volume))?;
        for side in [&new, &volume] {
            if let Some(parent) = side.parent() {
                files::sync_directory(parent).map_err(Error::io("syncing", parent))?;
            }
        }
        tracing::warn!(
            database = database.name(),
            copy = %copy.display(),
            "a takeover of {database} was interrupted; it begins anew from the copy in {}",
            copy.display()
        );
        // What it had made of the database is in it no more than in the copy: no term, no write.
        tree::remove_if_there(&new).map_err(Error::io("removing", &new))
    }

    /// Drops the oldest copies beyond the configured number, and what a crash left half made or
    /// half removed.
    pub(super) fn drop_old_copies(&self) -> Result<(), Error> {
        let corner = self.paths.volume_corner(&self.config);
        let all = before::all(&self.paths, &self.config).map_err(Error::io("reading", &corner))?;
        let keep = usize::try_from(self.config.agent.keep_backups).unwrap_or(usize::MAX);
        let surplus = all.len().saturating_sub(keep.max(1));
        for (epoch, path) in all.into_iter().take(surplus) {
            tracing::info!(directory = %path.display(), "dropping the copy from before epoch {epoch}");
            // Under its own name it is whole, or not there.
            let going = tree::staging_name(&path);
            files::rename(&path, &going).map_err(Error::io("removing", &path))?;
        }
        for entry in std::fs::read_dir(&corner).map_err(Error::io("reading", &corner))? {
            let entry = entry.map_err(Error::io("reading", &corner))?;
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
}
