//! The two records this project keeps: `epoch.json` on the volume, `journal.json` on the node; and
//! the configuration that was accepted last.
//!
//! Both carry a format number and are replaced atomically, so that a power cut leaves the old or
//! the new record and never a part of one.

pub mod accepted;
pub mod damage;
pub mod recovered;
pub mod takeover_copy;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use two_node_ha_disk::atomic;
use two_node_ha_planner::record::{Epoch, Journal, Resolution, Unreadable, Versioned};

/// A record as a file: replaced atomically, and never taken for absent where it cannot be read.
pub trait Record: Serialize + Versioned {
    /// Reads the record; `None` where there is none.
    ///
    /// # Errors
    /// See [`Error`]; a record that cannot be read is never taken for none.
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        read(path)
    }

    /// Replaces the record atomically and durably.
    ///
    /// # Errors
    /// See [`Error`]; the old record is still whole.
    fn write(&self, path: &Path) -> Result<(), Error> {
        write(path, self)
    }
}

impl Record for Epoch {}
impl Record for Journal {}
impl Record for Resolution {}

/// Reads the journal, or begins one.
///
/// # Errors
/// See [`Error`].
pub fn journal_or_new(path: &Path, node: &str) -> Result<Journal, Error> {
    Ok(Journal::read(path)?.unwrap_or_else(|| Journal::new(node)))
}

/// When any file of a directory was last written to.
///
/// # Errors
/// What reading it says.
pub fn last_written(directory: &Path) -> io::Result<SystemTime> {
    let mut last = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(directory)? {
        last = last.max(entry?.metadata()?.modified()?);
    }
    Ok(last)
}

/// Why a record could not be read or replaced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk said no.
    #[error("{action} {path}: {source}")]
    Io {
        /// `cannot read` or `cannot replace`.
        action: &'static str,
        /// The record.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not the JSON that this version writes.
    #[error(
        "{path} is not a record of this project ({detail}); nothing was changed. Compare it with \
         the peer's view in `two-node-ha status`, and restore it from a backup or remove it only \
         when you know which node holds the newest data"
    )]
    Malformed {
        /// The record.
        path: PathBuf,
        /// The parser's words.
        detail: String,
    },
    /// Written by a newer version.
    #[error("{path} {why}")]
    Newer {
        /// The record.
        path: PathBuf,
        /// Which it is, which is known, and what to do.
        why: Unreadable,
    },
}

/// Reads a record; `None` where there is none.
fn read<T: Versioned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io {
                action: "cannot read",
                path: path.into(),
                source,
            });
        }
    };
    T::from_json(&text).map(Some).map_err(|why| match why {
        Unreadable::Malformed(detail) => Error::Malformed {
            path: path.into(),
            detail,
        },
        Unreadable::Newer { .. } => Error::Newer {
            path: path.into(),
            why,
        },
    })
}

/// Replaces a record and makes it durable.
fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), Error> {
    let io = |source| Error::Io {
        action: "cannot replace",
        path: path.into(),
        source,
    };
    let mut text = serde_json::to_vec_pretty(record).map_err(|e| io(e.into()))?;
    text.push(b'\n');
    atomic::replace(path, &text).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_being_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch.json");
        assert_eq!(Epoch::read(&path).unwrap(), None);
        Epoch::first("haone").write(&path).unwrap();
        assert_eq!(Epoch::read(&path).unwrap(), Some(Epoch::first("haone")));
    }

    #[test]
    fn a_newer_record_is_refused_and_not_guessed_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch.json");
        std::fs::write(&path, r#"{"format": 2, "epoch": "seven"}"#).unwrap();
        let why = Epoch::read(&path).unwrap_err().to_string();
        let path = path.display();
        assert_eq!(
            why,
            format!("{path} has format 2, and this version knows 1: upgrade two-node-ha here")
        );
    }

    #[test]
    fn half_a_record_is_an_error_and_not_an_absent_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("epoch.json");
        Epoch::first("haone").write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() - 2 {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(
                matches!(Epoch::read(&path), Err(Error::Malformed { .. })),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_directory_was_last_written_to_when_its_newest_file_was() {
        let dir = tempfile::tempdir().unwrap();
        for (name, seconds) in [("a", 10), ("b", 30), ("c", 20)] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
                .unwrap();
        }
        let last = last_written(dir.path()).unwrap();
        assert_eq!(
            last,
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(30)
        );
    }
}
