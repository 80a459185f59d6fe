//! How a record is read that another version of this program may have written.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// A record with the version of its form, which is its field `format`.
pub trait Versioned: DeserializeOwned {
    /// The version that this program writes. It reads that and every one before, and refuses what
    /// comes after. A field that the program before may pass over can be added without raising it.
    const VERSION: u32;

    /// The record in that text, in whichever version.
    ///
    /// # Errors
    /// See [`Unreadable`].
    fn from_json(text: &[u8]) -> Result<Self, Unreadable> {
        // The version comes before the fields: a newer record may lack or add any of them.
        let head: Head = serde_json::from_slice(text)?;
        match head.format {
            None | Some(0) => return Err(Unreadable::Malformed("no format".into())),
            Some(found) if found > u64::from(Self::VERSION) => {
                return Err(Unreadable::Newer {
                    found,
                    known: Self::VERSION,
                });
            }
            Some(_) => {}
        }
        Ok(serde_json::from_slice(text)?)
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    format: Option<u64>,
}

/// Why a record could not be read, to stand behind its name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// It is not what any version writes: the parser's words.
    #[error("{0}")]
    Malformed(String),
    /// It is from a newer version.
    #[error("has format {found}, and this version knows {known}: upgrade two-node-ha here")]
    Newer {
        /// Its version.
        found: u64,
        /// The newest that is known here.
        known: u32,
    },
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}
