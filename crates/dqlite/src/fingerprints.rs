//! A log as a list of checksums, to be compared on another machine: two sides of a split brain can
//! each read their own directory only, and terms and indexes alone do not tell (see
//! [`compare`](crate::compare())).

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::assess::assess;
use crate::compare::{Range, Relation};
use crate::crc::Crc;
use crate::entries::{Entries, Entry, loaded, range};
use crate::entry::EntryType;
use crate::scan::scan;
use crate::scan_error::ScanError;

/// How often a directory that changes meanwhile is read anew.
const ATTEMPTS: u32 = 10;

/// A checksum for each of the last entries of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prints {
    /// The term of the last entry.
    pub last_term: u64,
    /// The index of the last entry.
    pub last_index: u64,
    /// The index of the first one that has a checksum.
    pub first: u64,
    /// The checksums of that one and those that follow it.
    pub entries: Vec<u32>,
}

/// What two such lists have in common and what not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parting {
    /// How they stand to each other; [`Relation::Unconnected`] also when what they have in common
    /// lies before the first checksum.
    pub relation: Relation,
    /// The index of the first entry that differs.
    pub differs: Option<u64>,
    /// What only the first has.
    pub only_a: Option<Range>,
    /// What only the second has.
    pub only_b: Option<Range>,
}

/// Reads the last `most` entries of a log. Its node may be running.
///
/// # Errors
/// When the directory cannot be read or changes too fast.
pub fn prints(dir: &Path, most: usize) -> Result<Prints, ScanError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match read(dir, most) {
            Err(ScanError::Unsettled(_)) if attempt < ATTEMPTS => {}
            other => return other,
        }
    }
}

fn read(dir: &Path, most: usize) -> Result<Prints, ScanError> {
    let report = assess(&scan(dir)?);
    let parts = loaded(&report);
    let there = range(&parts);
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let from = report.last_index.saturating_add(1).saturating_sub(most);
    let first = there.map_or(report.last_index.saturating_add(1), |range| {
        range.first.max(from)
    });
    let mut log = Entries::new(dir, parts, first);
    let mut entries = Vec::new();
    while let Some(entry) = log.next()? {
        entries.push(print(&entry));
    }
    Ok(Prints {
        last_term: report.last_term,
        last_index: report.last_index,
        first,
        entries,
    })
}

fn print(entry: &Entry) -> u32 {
    let mut crc = Crc::new();
    crc.update(&entry.term.to_le_bytes());
    crc.update(&[match entry.kind {
        EntryType::Command => 1,
        EntryType::Barrier => 2,
        EntryType::Change => 3,
    }]);
    crc.update(&entry.data);
    crc.value()
}

/// Compares two lists.
#[must_use]
pub fn parting(a: &Prints, b: &Prints) -> Parting {
    let at = |of: &Prints, index: u64| {
        let offset = usize::try_from(index.checked_sub(of.first)?).ok()?;
        of.entries.get(offset).copied()
    };
    let first = a.first.max(b.first);
    let last = a.last_index.min(b.last_index);
    let differs = (first..=last).find(|index| at(a, *index) != at(b, *index));
    // An entry that differs at the very beginning says that they part there or earlier; one that
    // is the same, that all before it is.
    let connected = first <= last || last == 0 || a.last_index == 0 || b.last_index == 0;
    let shared = differs.map_or(last, |index| index.saturating_sub(1));
    let beyond = |of: &Prints| {
        (connected && of.last_index > shared).then(|| Range {
            first: shared.saturating_add(1),
            last: of.last_index,
        })
    };
    let (only_a, only_b) = (beyond(a), beyond(b));
    Parting {
        relation: match (connected, only_a, only_b) {
            (false, ..) => Relation::Unconnected,
            (true, None, None) => Relation::Same,
            (true, Some(_), None) => Relation::AAhead,
            (true, None, Some(_)) => Relation::BAhead,
            (true, Some(_), Some(_)) => Relation::Diverged,
        },
        differs,
        only_a,
        only_b,
    }
}
