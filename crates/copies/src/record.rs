//! What is written down beside a copy.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::metadata::Generation;

/// Version of [`Record`]'s form. Fields may be added without raising it. A copy whose record is newer is
/// listed as damaged, with what to do.
pub const VERSION: u32 = 1;

/// Why a copy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A resync is about to overwrite the data. The only copies that are dropped unasked.
    BeforeResync,
    /// Its side of a split brain is about to be given up.
    SplitBrain,
    /// Another copy is about to be put back in its place.
    BeforeRestore,
    /// The operator asked for it.
    Asked,
}

impl Why {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::BeforeResync => "before a resync",
            Self::SplitBrain => "split brain",
            Self::BeforeRestore => "before a restore",
            Self::Asked => "asked for",
        }
    }
}

/// How a copy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `FICLONE`: shares its blocks with the backing file until they change.
    Reflink,
    /// A snapshot of the logical volume.
    LvmSnapshot,
    /// Read and written, but for what is zero.
    Sparse,
}

impl Method {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::LvmSnapshot => "LVM snapshot",
            Self::Sparse => "sparse copy",
        }
    }
}

/// A copy, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`] of the writer.
    pub format: u32,
    /// DRBD's resource.
    pub resource: String,
    /// When it was begun, in seconds since 1970.
    pub time: u64,
    /// The same for people, in UTC.
    pub made: String,
    /// Why.
    pub why: Why,
    /// How.
    pub method: Method,
    /// What was copied.
    pub backing: PathBuf,
    /// Its size, in bytes.
    pub size: u64,
    /// DRBD's name of the disk state just before, where it could be read.
    #[serde(default)]
    pub disk_state: Option<String>,
    /// Whether DRBD took the data for whole then: false for what an unfinished resync or
    /// `invalidate` left. `None`: not known.
    #[serde(default)]
    pub consistent: Option<bool>,
    /// DRBD's generation identifiers, as they stood on the disk.
    #[serde(default)]
    pub generation: Option<Generation>,
    /// The snapshot, with [`Method::LvmSnapshot`], as `VG/LV`.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// [`Digest`](crate::Digest) of the data, with [`Method::Sparse`].
    #[serde(default)]
    pub checksum: Option<String>,
    /// What it took to make, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
}
