//! Other directories that may have what is missing: what lies beneath the mount point, the other
//! node's, a backup.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::assess::assess;
use crate::entries::{Entries, Part, known, loaded, range};
use crate::loss::Loss;
use crate::report::Report;
use crate::scan::{Scan, scan};
use crate::scan_error::ScanError;

/// How the log of a source stands to that of the directory that is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Kinship {
    /// The entries that both have are byte for byte the same.
    Kin {
        /// From the first to the last one of those.
        same: Loss,
    },
    /// They differ.
    Other {
        /// In the entry with this index, if not before.
        index: u64,
    },
    /// They have no entry in common: nothing shows that they are of one log.
    Unknown,
}

/// Another directory.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub dir: PathBuf,
    /// What is in it, and what that is worth. Of a damaged one, what can be kept serves.
    pub report: Report,
    /// Whether it is of the same log.
    pub kinship: Kinship,
    pub(super) scan: Scan,
    parts: Vec<Part>,
}

impl Source {
    /// Reads `dir` and compares it with the directory that is to be repaired.
    pub(super) fn read(
        dir: &Path,
        damaged: &Path,
        of_damaged: (&Scan, &Report),
    ) -> Result<Self, ScanError> {
        let scanned = scan(dir)?;
        let report = assess(&scanned);
        let parts = loaded(&report);
        let kinship = kinship(damaged, known(of_damaged.0, of_damaged.1), dir, &parts)?;
        Ok(Self {
            dir: dir.to_owned(),
            report,
            kinship,
            scan: scanned,
            parts,
        })
    }

    /// The entries from that index on.
    pub(super) fn from(&self, index: u64) -> Entries {
        Entries::new(&self.dir, self.parts.clone(), index)
    }

    /// What of a range it can give: all of it, or, where the range is a minimum, all there is.
    pub(super) fn gives(&self, missing: Loss, at_least: bool) -> Option<Loss> {
        let (Kinship::Kin { .. }, Some(has)) = (self.kinship, range(&self.parts)) else {
            return None;
        };
        let last = if at_least { has.last } else { missing.last };
        let enough = has.first <= missing.first && missing.last <= last && last <= has.last;
        enough.then_some(Loss {
            first: missing.first,
            last,
        })
    }
}

/// Compares what both have, byte by byte.
fn kinship(
    dir: &Path,
    parts: Vec<Part>,
    other: &Path,
    theirs: &[Part],
) -> Result<Kinship, ScanError> {
    let mut same: Option<Loss> = None;
    for part in parts {
        let from = theirs.first().map_or(u64::MAX, |first| first.first);
        let from = from.max(part.first);
        if part.entries == 0 || from > part.last() {
            continue;
        }
        let mut here = Entries::new(dir, vec![part], from);
        let mut there = Entries::new(other, theirs.to_vec(), from);
        while let (Some(one), Some(other)) = (here.next()?, there.next()?) {
            if one != other {
                return Ok(Kinship::Other { index: one.index });
            }
            let point = Loss {
                first: one.index,
                last: one.index,
            };
            same = Some(same.map_or(point, |range| range.with(point)));
        }
    }
    Ok(same.map_or(Kinship::Unknown, |same| Kinship::Kin { same }))
}
