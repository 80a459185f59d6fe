//! The end of a log: how far it reaches, and who votes by its last configuration.
//!
//! Only what dqlite would load behind its newest snapshot is read, and of the snapshot the meta half:
//! so it takes as long for a database of a gigabyte as for a small one. What was read is remembered by
//! name, inode, size and time, so that looking again costs what has changed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::assess::assess;
use crate::configuration::Server;
use crate::node::Role;
use crate::report::{Position, Report, Verdict};
use crate::scan::{Cache, Depth, Scan, scan_with};
use crate::scan_error::ScanError;

/// What is remembered of a directory between two looks.
#[derive(Debug, Default)]
pub struct TailCache(Cache);

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tail {
    /// The last entry.
    pub last: Position,
    /// The index of the last entry in a closed segment or in the snapshot. dqlite closes a segment once
    /// every write into it has been completed, so this one has reached the disk, on both nodes of a
    /// volume that replicates synchronously; an entry in an open segment may be read while its write is
    /// still under way.
    pub completed: u64,
    /// The ids of the voters by the last configuration, sorted.
    pub voters: Vec<u64>,
    /// The ids of all other members, sorted.
    pub others: Vec<u64>,
}

/// What there is of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No entry and no snapshot: a member that has never held any data.
    Nothing,
    /// A log, all of which dqlite would load.
    Tail(Tail),
    /// A log of which dqlite would lose something, or on which it would not start: in words.
    Damaged(String),
}

/// Reads the end of the log in a state directory. Its node may be running.
///
/// # Errors
/// When the directory cannot be read or changes too fast.
pub fn tail(dir: &Path, cache: &mut TailCache) -> Result<Found, ScanError> {
    let scan = scan_with(dir, &mut cache.0, Depth::Tail)?;
    Ok(of(&scan, &assess(&scan)))
}

fn of(scan: &Scan, report: &Report) -> Found {
    if report.last_index == 0 && scan.closed.is_empty() && scan.snapshots.is_empty() {
        let unused = scan.open.iter().all(|open| open.content.is_unused());
        if unused {
            return Found::Nothing;
        }
    }
    match report.verdict {
        Verdict::Sound => {}
        // Nothing of the log is missing, whatever else is.
        Verdict::Repairable | Verdict::Lossy(_) | Verdict::NotDqlite => {
            if let Some(problem) = report.problems.iter().find(|p| !p.lossless) {
                let file = problem.file.as_deref().unwrap_or("the log");
                let lost = match report.verdict {
                    Verdict::Lossy(lost) => format!("at least {lost} lost: "),
                    Verdict::Sound | Verdict::Repairable | Verdict::NotDqlite => String::new(),
                };
                return Found::Damaged(format!("{lost}{file}: {}", problem.detail));
            }
        }
    }
    let ids = |wanted: &dyn Fn(Role) -> bool| {
        let members = report.configuration.iter().filter(|s| wanted(s.role));
        let mut ids: Vec<u64> = members.map(|server: &Server| server.id).collect();
        ids.sort_unstable();
        ids
    };
    Found::Tail(Tail {
        last: Position {
            term: report.last_term,
            index: report.last_index,
        },
        completed: completed(scan, report),
        voters: ids(&|role| role == Role::Voter),
        others: ids(&|role| role != Role::Voter),
    })
}

fn completed(scan: &Scan, report: &Report) -> u64 {
    let snapshot = report.snapshot.map_or(0, |position| position.index);
    let closed = report.segments.iter().filter(|segment| {
        segment.loaded && scan.closed.iter().any(|closed| closed.file == segment.file)
    });
    closed
        .filter_map(|segment| {
            let last = segment.entries.checked_sub(1)?;
            segment.first_index?.checked_add(last)
        })
        .fold(snapshot, u64::max)
}
