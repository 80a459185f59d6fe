//! The directory and its copy change places.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use two_node_ha_disk::{self as disk, effects};

use super::journal::{Inode, Journal, Phase};
use super::{Error, STATE, io, not_in_use};

/// Whether the directory is the repaired one.
pub(super) fn is_done(dir: &Path, journal: &Journal) -> Result<bool, Error> {
    Ok(Some(Inode::of(dir)?) == journal.other)
}

/// Makes the exchange durable and records it.
pub(super) fn settle(dir: &Path, aside: &Path, journal: &Journal) -> Result<(), Error> {
    for side in [dir.parent().unwrap_or(dir), aside] {
        disk::sync_directory(side).map_err(io("sync", side))?;
    }
    let mut journal = journal.clone();
    journal.phase = Phase::Done;
    journal.write(aside)
}

/// A file's name, inode, size, and time of its last change in seconds and nanoseconds.
pub type Fingerprint = (String, u64, u64, i64, i64);

/// What tells that a directory's files are still the same.
///
/// # Errors
/// When it cannot be read.
pub fn fingerprint(dir: &Path) -> Result<Vec<Fingerprint>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(io("read", dir))? {
        let entry = entry.map_err(io("read", dir))?;
        let path = entry.path();
        let meta = entry.metadata().map_err(io("look at", &path))?;
        if meta.is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let (seconds, nanoseconds) = (meta.mtime(), meta.mtime_nsec());
        files.push((name, meta.ino(), meta.size(), seconds, nanoseconds));
    }
    files.sort();
    Ok(files)
}

/// Gives a repaired directory's place back to the original. What the repair has made, and whatever
/// was written there since, is kept in the original's place.
///
/// # Errors
/// See [`Error`]; then nothing was changed.
pub fn undo(aside: &Path) -> Result<std::path::PathBuf, Error> {
    let aside = &aside.canonicalize().map_err(io("find", aside))?;
    let nothing = |detail: String| Error::NothingToUndo {
        aside: aside.clone(),
        detail,
    };
    let Some(journal) = Journal::read(aside)? else {
        return Err(nothing(
            "it is no folder of a repair: there is no journal.json in it".to_owned(),
        ));
    };
    let (dir, original) = (journal.directory.as_path(), aside.join(STATE));
    let _lock = super::lock(dir)?;
    if !original.is_dir() || Inode::of(&original)? != journal.original {
        return Err(nothing(format!(
            "the original of {} is not in it: the repair was undone already, or never came to its end",
            dir.display()
        )));
    }
    if !is_done(dir, &journal)? {
        return Err(nothing(format!(
            "what is in {} now is not what this repair has made of it, but newer: undo later \
             repairs first",
            dir.display()
        )));
    }
    not_in_use(dir)?;
    effects::exchange(&original, dir).map_err(io("exchange for its original", dir))?;
    for side in [dir.parent().unwrap_or(dir), aside.as_path()] {
        disk::sync_directory(side).map_err(io("sync", side))?;
    }
    let mut journal = journal;
    journal.phase = Phase::Undone;
    journal.write(aside)?;
    Ok(journal.directory)
}
