//! Which of two logs has more, and where they part.
//!
//! Terms and indexes do not tell: a node that is its own only voter goes on in the term that it
//! finds, so the two sides of a split brain can have different entries under the same index *and*
//! the same term. What both have is compared byte by byte.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::assess::assess;
use crate::entries::{Entries, Entry, loaded, range};
use crate::entry::EntryType;
use crate::loss::Loss;
use crate::report::{Position, Report, Verdict};
use crate::scan::scan;
use crate::scan_error::{ScanError, io_error};
use crate::snapshot;

/// How often two directories are compared anew when one of them changes meanwhile.
const ATTEMPTS: u32 = 10;

/// Some entries of a log by their indexes, both ends included.
pub type Range = Loss;

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// What the directory is worth. Of a damaged one, only what can be kept is compared.
    pub verdict: Verdict,
    /// The term of its last entry.
    pub last_term: u64,
    /// The index of its last entry.
    pub last_index: u64,
    /// The snapshot that the log follows.
    pub snapshot: Option<Position>,
    /// The entries that are still in segments; what precedes them is in the snapshot alone.
    pub log: Option<Range>,
}

/// How two logs stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Both have the same.
    Same,
    /// A has all that B has, and more.
    AAhead,
    /// B has all that A has, and more.
    BAhead,
    /// Each has what the other has not: two histories.
    Diverged,
    /// They have no entry in common to be compared by.
    Unconnected,
}

/// What an entry is said to be, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// Its term.
    pub term: u64,
    /// What it is.
    pub kind: Kind,
    /// The size of its data, in bytes.
    pub size: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A change of the databases.
    Command,
    /// Nothing; a new leader's first entry.
    Barrier,
    /// A configuration.
    Configuration,
}

/// The first entry that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Its index.
    pub index: u64,
    /// A's.
    pub a: Outline,
    /// B's.
    pub b: Outline,
}

/// What two directories have in common and what not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// How they stand to each other.
    pub relation: Relation,
    /// The first directory.
    pub a: Side,
    /// The second one.
    pub b: Side,
    /// The entries that are byte for byte the same in both.
    pub same: Option<Range>,
    /// The first one that is not.
    pub divergence: Option<Divergence>,
    /// What only A has.
    pub only_a: Option<Range>,
    /// What only B has.
    pub only_b: Option<Range>,
}

impl Kind {
    fn of(kind: EntryType) -> Self {
        match kind {
            EntryType::Command => Self::Command,
            EntryType::Barrier => Self::Barrier,
            EntryType::Change => Self::Configuration,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command => "command",
            Self::Barrier => "barrier",
            Self::Configuration => "configuration",
        })
    }
}

/// Compares two state directories, neither of which is touched; their nodes may be running.
///
/// # Errors
/// When one of them cannot be read or changes too fast.
pub fn compare(a: &Path, b: &Path) -> Result<Comparison, ScanError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let reports = [assess(&scan(a)?), assess(&scan(b)?)];
        match reports_compared([a, b], &reports) {
            Err(ScanError::Unsettled(_)) if attempt < ATTEMPTS => {}
            other => return other,
        }
    }
}

/// Compares two directories that have been read.
pub(crate) fn reports_compared(
    [a, b]: [&Path; 2],
    [of_a, of_b]: &[Report; 2],
) -> Result<Comparison, ScanError> {
    let parts = [loaded(of_a), loaded(of_b)];
    let ranges = [range(&parts[0]), range(&parts[1])];
    let from = ranges.map(|range| range.map_or(u64::MAX, |range| range.first));
    let from = from[0].max(from[1]);
    let [parts_a, parts_b] = parts;
    let mut logs = [
        Entries::new(a, parts_a, from),
        Entries::new(b, parts_b, from),
    ];
    let (mut same, mut divergence) = (None::<Range>, None);
    while let (Some(one), Some(other)) = (logs[0].next()?, logs[1].next()?) {
        debug_assert_eq!(one.index, other.index);
        if one != other {
            divergence = Some(Divergence {
                index: one.index,
                a: outline(&one),
                b: outline(&other),
            });
            break;
        }
        let first = same.map_or(one.index, |range| range.first);
        same = Some(Range {
            first,
            last: one.index,
        });
    }
    let lasts = [of_a.last_index, of_b.last_index];
    let at = |of: &Report| {
        of.snapshot
            .filter(|snapshot| snapshot.index == of.last_index)
    };
    let connected = divergence.is_some()
        || same.is_some()
        // Whoever has nothing has nothing else.
        || lasts.contains(&0)
        || match (at(of_a), at(of_b)) {
            (Some(one), Some(other)) if one == other => same_snapshot([a, b], [of_a, of_b], one)?,
            _ => false,
        };
    let beyond = |side: usize| {
        let shared = match divergence {
            Some(divergence) => divergence.index - 1,
            None => lasts[0].min(lasts[1]),
        };
        (connected && lasts[side] > shared).then(|| Range {
            first: shared + 1,
            last: lasts[side],
        })
    };
    let (only_a, only_b) = (beyond(0), beyond(1));
    Ok(Comparison {
        relation: match (connected, only_a, only_b) {
            (false, ..) => Relation::Unconnected,
            (true, None, None) => Relation::Same,
            (true, Some(_), None) => Relation::AAhead,
            (true, None, Some(_)) => Relation::BAhead,
            (true, Some(_), Some(_)) => Relation::Diverged,
        },
        a: side(of_a, ranges[0]),
        b: side(of_b, ranges[1]),
        same,
        divergence,
        only_a,
        only_b,
    })
}

fn side(report: &Report, log: Option<Range>) -> Side {
    Side {
        verdict: report.verdict,
        last_term: report.last_term,
        last_index: report.last_index,
        snapshot: report.snapshot,
        log,
    }
}

fn outline(entry: &Entry) -> Outline {
    Outline {
        term: entry.term,
        kind: Kind::of(entry.kind),
        size: entry.data.len() as u64,
    }
}

/// Whether the databases in both snapshots at that position are byte for byte the same. That they
/// are not proves nothing: what of a database is in its write-ahead log is each node's own affair.
fn same_snapshot(
    dirs: [&Path; 2],
    reports: [&Report; 2],
    position: Position,
) -> Result<bool, ScanError> {
    let mut contents = Vec::new();
    for (dir, report) in dirs.into_iter().zip(reports) {
        let found = report.snapshots.iter().rev().find(|snapshot| {
            snapshot.sound && (snapshot.term, snapshot.index) == (position.term, position.index)
        });
        let Some(found) = found else {
            return Ok(false);
        };
        let path = dir.join(&found.file);
        let file = File::open(&path).map_err(io_error(&path))?;
        let content = snapshot::content(file).map_err(io_error(&path))?;
        contents.push((path, content));
    }
    let (mut buffers, mut result) = ([vec![0; 1 << 16], vec![0; 1 << 16]], true);
    loop {
        let mut lengths = [0; 2];
        for (number, (path, content)) in contents.iter_mut().enumerate() {
            lengths[number] = fill(content, &mut buffers[number]).map_err(io_error(path))?;
        }
        result &= buffers[0][..lengths[0]] == buffers[1][..lengths[1]];
        if !result || lengths[0] == 0 {
            return Ok(result);
        }
    }
}

fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
