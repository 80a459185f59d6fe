//! The two records this project keeps: `epoch.json` on the volume, `journal.json` on the node; and
//! the configuration that was accepted last.
//!
//! Both carry a format number and are replaced atomically, so that a power cut leaves the old or
//! the new record and never a part of one.

pub mod accepted;
pub mod astray;
pub mod before;
mod epoch;
mod journal;
mod resolution;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};

pub use astray::Astray;
pub use epoch::{Epoch, Phase};
pub use journal::{Journal, Owned};
pub use resolution::{CopyMade, Resolution};

use crate::files::atomic;

/// The only format of both records so far.
const FORMAT: u32 = 1;

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
    #[error("{path} has format {found}, this version knows {FORMAT}: upgrade two-node-ha here")]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its format number.
        found: u64,
    },
}

/// Reads a record; `None` where there is none.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
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
    let malformed = |error: serde_json::Error| Error::Malformed {
        path: path.into(),
        detail: error.to_string(),
    };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(malformed)?;
    // The format comes before the fields: a newer record may lack or add any of them.
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(found) if found > u64::from(FORMAT) => {
            return Err(Error::Newer {
                path: path.into(),
                found,
            });
        }
        Some(_) => {}
        None => {
            return Err(Error::Malformed {
                path: path.into(),
                detail: "no format".into(),
            });
        }
    }
    serde_json::from_value(value).map(Some).map_err(malformed)
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
