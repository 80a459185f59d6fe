//! `metadata1` and `metadata2`: the current term and the vote, written in turn.
//!
//! Layout and rules: `uv_metadata.c` of dqlite. There is no checksum.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bytes::Bytes;

/// The format of every file that dqlite writes by default.
pub const FORMAT: u64 = 1;
/// The format of builds with `DQLITE_NEXT`, which is not understood here.
pub const FORMAT_NEXT: u64 = 2;
/// The size of a metadata file, in bytes.
pub const METADATA_SIZE: usize = 32;

/// One metadata file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Counts the writes, from 1; odd ones go to `metadata1`, even ones to `metadata2`.
    pub version: u64,
    /// The current term.
    pub term: u64,
    /// Whom this node has voted for in that term; 0 for nobody.
    pub voted_for: u64,
}

/// Why a metadata file holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MetadataFault {
    /// It is short: dqlite deletes it, as of a crash while it was written.
    #[error("it has {0} bytes and not 32: the write of it was cut off")]
    Short(u64),
    /// It is too long: dqlite refuses to start.
    #[error("it has {0} bytes and not 32")]
    Long(u64),
    /// It is of another format: dqlite refuses to start.
    #[error("it is of format {0}, not 1")]
    Format(u64),
    /// Its version is 0: dqlite refuses to start.
    #[error("its version is 0")]
    NoVersion,
}

impl Metadata {
    /// The file's content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let words = [FORMAT, self.version, self.term, self.voted_for];
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// Decodes a file's content; `size` is that of the whole file.
    ///
    /// # Errors
    /// When dqlite would not take it.
    pub fn decode(content: &[u8], size: u64) -> Result<Self, MetadataFault> {
        let short = MetadataFault::Short(size);
        if size > METADATA_SIZE as u64 {
            return Err(MetadataFault::Long(size));
        }
        let mut bytes = Bytes(content);
        let mut word = || bytes.u64().ok_or(short);
        let (format, version, term, voted_for) = (word()?, word()?, word()?, word()?);
        if format != FORMAT {
            return Err(MetadataFault::Format(format));
        }
        if version == 0 {
            return Err(MetadataFault::NoVersion);
        }
        Ok(Self {
            version,
            term,
            voted_for,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(words: [u64; 4]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn four_words_are_format_version_term_and_vote() {
        let metadata = Metadata {
            version: 3,
            term: 7,
            voted_for: 1 << 63,
        };
        assert_eq!(
            Metadata::decode(&file([1, 3, 7, 1 << 63]), 32),
            Ok(metadata)
        );
    }

    #[test]
    fn whatever_dqlite_would_not_take_is_a_fault() {
        assert_eq!(Metadata::decode(&[], 0), Err(MetadataFault::Short(0)));
        let whole = file([1, 3, 7, 0]);
        assert_eq!(
            Metadata::decode(&whole[..31], 31),
            Err(MetadataFault::Short(31))
        );
        assert_eq!(Metadata::decode(&whole, 33), Err(MetadataFault::Long(33)));
        assert_eq!(
            Metadata::decode(&file([2, 3, 7, 0]), 32),
            Err(MetadataFault::Format(2))
        );
        assert_eq!(
            Metadata::decode(&file([1, 0, 7, 0]), 32),
            Err(MetadataFault::NoVersion)
        );
    }
}
