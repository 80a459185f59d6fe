//! How far a repair has come, in the folder beside the directory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use two_node_ha_config::format_time;
use two_node_ha_disk::{self as disk, atomic, effects};
use two_node_ha_dqlite::Loss;
use two_node_ha_dqlite::repair::{Plan, Planned};

use super::Error;

/// The version of the record's form. A newer one is not touched, nor what it is about.
const VERSION: u32 = 1;
const FILE: &str = "journal.json";
const MARK: &str = ".repair-";

/// A directory, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inode {
    device: u64,
    inode: u64,
}

impl Inode {
    pub fn of(path: &Path) -> Result<Self, Error> {
        let meta = fs::metadata(path).map_err(super::io("look at", path))?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
        })
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The copy is being made: the directory is the original.
    Building,
    /// The two are changing places: which is which, their inodes tell.
    Exchanging,
    /// The directory is the other one.
    Done,
    /// The directory is the original again.
    Undone,
}

/// The record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    format: u32,
    /// What is repaired.
    pub directory: PathBuf,
    /// The directory as it was.
    pub original: Inode,
    /// The repaired copy, once it is there.
    pub other: Option<Inode>,
    /// How far it has come.
    pub phase: Phase,
    /// What was done, for whoever wants to know later.
    steps: Vec<Planned>,
    /// Where the steps took from.
    sources: Vec<PathBuf>,
    /// What was given up.
    lost: Option<Loss>,
}

impl Journal {
    pub fn new(dir: &Path, original: Inode, plan: &Plan) -> Self {
        Self {
            format: VERSION,
            directory: dir.to_owned(),
            original,
            other: None,
            phase: Phase::Building,
            steps: plan.steps.clone(),
            sources: plan.sources.iter().map(|s| s.dir.clone()).collect(),
            lost: plan.lost,
        }
    }

    pub fn write(&self, aside: &Path) -> Result<(), Error> {
        let path = aside.join(FILE);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| super::io("write", &path)(io::Error::other(error)))?;
        atomic::replace(&path, &text).map_err(super::io("write", &path))
    }

    /// `None` where there is none, or not a whole one yet.
    pub fn read(aside: &Path) -> Result<Option<Self>, Error> {
        let path = aside.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(super::io("read", &path)(error)),
        };
        let wrong = |detail: String| Error::Journal {
            path: path.clone(),
            detail,
        };
        let of = |error: serde_json::Error| wrong(error.to_string());
        // The version comes before the fields: a newer record may lack or add any of them.
        let Head { format } = serde_json::from_slice(&text).map_err(of)?;
        if format != VERSION {
            return Err(wrong(format!(
                "it has format {format}, and this version knows {VERSION}; the two-node-ha that wrote it \
                 can go on with the repair"
            )));
        }
        serde_json::from_slice(&text).map(Some).map_err(of)
    }
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Whether this is the name of a repair's folder.
pub fn is_aside(name: &str) -> bool {
    name.contains(MARK)
}

/// The folders of all repairs of a directory, the oldest first. Without a journal: one that was
/// interrupted before it had written it.
pub fn all(dir: &Path) -> Result<Vec<(PathBuf, Option<Journal>)>, Error> {
    let (parent, name) = split(dir);
    let entries = fs::read_dir(parent).map_err(super::io("read", parent))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(super::io("read", parent))?.path();
        let other = path.file_name().unwrap_or_default().to_string_lossy();
        if !other.starts_with(&format!("{name}{MARK}")) {
            continue;
        }
        match Journal::read(&path)? {
            Some(journal) if journal.directory != dir => {}
            // Anything else that somebody has put there is not ours.
            None if !path.is_dir() || path.join(super::STATE).exists() => {}
            journal => found.push((path, journal)),
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// A new folder beside a directory, for nobody but its owner.
pub fn new_aside(dir: &Path) -> Result<PathBuf, Error> {
    let (parent, name) = split(dir);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    let mut number = 0;
    loop {
        let suffix = match number {
            0 => String::new(),
            n => format!("-{n}"),
        };
        let aside = parent.join(format!("{name}{MARK}{}{suffix}", date(seconds)));
        match effects::make_directory(&aside, 0o700) {
            Ok(()) => {
                disk::sync_directory(parent).map_err(super::io("sync", parent))?;
                return Ok(aside);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(super::io("make", &aside)(error)),
        }
    }
}

fn split(dir: &Path) -> (&Path, String) {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    (dir.parent().unwrap_or(Path::new("/")), name.into_owned())
}

/// A time as `20261124T203015Z`: sorted as text, and fit for a name.
fn date(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    // 2026-11-24 20:30:15 UTC
    let text = format_time(time).replace(['-', ':'], "");
    text.replacen(' ', "T", 1).replace(" UTC", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_sample::contract::fixtures;

    fn read(text: &str) -> Result<Option<Journal>, Error> {
        let aside = tempfile::tempdir().unwrap();
        fs::write(aside.path().join(FILE), text).unwrap();
        Journal::read(aside.path())
    }

    #[test]
    fn the_journals_of_repairs_are_read_and_written_in_the_form_of_their_version() {
        let here = fixtures(env!("CARGO_MANIFEST_DIR"));
        let journal = read(&here.read(1, "repair.json")).unwrap().unwrap();
        assert_eq!(journal.phase, Phase::Done);
        let text = serde_json::to_string_pretty(&journal).unwrap();
        here.is_todays(VERSION, "repair.json", &text);
    }

    #[test]
    fn a_newer_journal_of_a_repair_says_which_version_it_has_and_what_to_do() {
        let why = read(r#"{"format": 2, "step": 1}"#).unwrap_err().to_string();
        let said = "has format 2, and this version knows 1; the two-node-ha that wrote it";
        assert!(why.contains(FILE) && why.contains(said), "{why}");
    }

    #[test]
    fn a_date_is_that_of_the_calendar() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_795_552_215, "20261124T203015Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
