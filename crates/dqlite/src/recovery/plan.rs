//! What a recovery will do to a directory, found out without touching it.

use std::path::{Path, PathBuf};

use thiserror::Error;
use two_node_ha_disk::atomic::meant;

use crate::assess::assess;
use crate::configuration::Server;
use crate::metadata::Metadata;
use crate::name::Name;
use crate::remedy::closed_name;
use crate::report::{Position, Problem, ProblemKind, Report, SegmentReport};
use crate::scan::{Cache, Depth, Scan, scan_with};
use crate::scan_error::ScanError;

/// What becomes of an open segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// It is cut off behind its last whole batch and gets the name of a closed one. What is cut off are
    /// the zeros that were allocated ahead, or a write that a crash had cut off before it was
    /// acknowledged, which dqlite drops when it starts.
    Close {
        /// The file.
        file: String,
        /// Its size, in bytes.
        size: u64,
        /// How much of that is kept, in bytes.
        keep: u64,
        /// The name that it gets.
        to: String,
    },
    /// There is no entry in it: it goes.
    Remove {
        /// The file.
        file: String,
        /// Its size, in bytes.
        size: u64,
    },
}

/// What a recovery will do to a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The directory.
    pub directory: PathBuf,
    /// What becomes of its open segments, in this order.
    pub closings: Vec<Closing>,
    /// Files without a name of their own that a recovery has left behind which was cut off.
    pub leftovers: Vec<String>,
    /// The last entry of the log.
    pub last: Position,
    /// The term of the entry that is added: the highest one in the log and of its snapshot.
    ///
    /// It is that of the last entry, but where a recovery of libdqlite's has added it: that one always
    /// has term 1 (`uvWriteClosedSegment`). A snapshot that is taken right there is named
    /// `snapshot-1-N`, sorts below all older ones and is deleted as the oldest, while the segments that
    /// it covers are trimmed: "closed segment … is past last snapshot …", and dqlite does not start. An
    /// entry of the log's own term behind it ends that.
    ///
    /// It is never above the term in the metadata, and need not be equal to it. A sole voter becomes its
    /// leader in the metadata's term as it finds it (`convertToCandidate` goes straight to
    /// `convertToLeader`), so that entries of a higher term than that would be followed by those of a
    /// lower one. Metadata of a lower term than the log's is an older copy or damaged, and there is no
    /// plan then. Metadata of a higher one is in order: an election has raised it and no entry followed,
    /// or a CHANGE of libdqlite's did.
    pub term: u64,
    /// The members by raft, as they are.
    pub configuration: Vec<Server>,
    /// The index of the entry that says so.
    pub configuration_index: Option<u64>,
    /// The file whose mode and owner the new segment gets: the metadata, which the same node has made.
    pub(super) neighbour: &'static str,
}

/// Why there is no plan. Nothing was changed.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The directory cannot be read, is of format 2, or a node writes to it.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// There is neither an entry nor a snapshot.
    #[error(
        "there is no entry of a log and no snapshot in {}, so that there is nothing to take over: a node \
         that starts there as the only voter would begin with an empty database. Look whether this is the \
         right directory, and whether its file system is mounted", .0.display()
    )]
    Nothing(PathBuf),
    /// There is a log without a term.
    #[error(
        "neither metadata1 nor metadata2 in {} holds a term: dqlite would found a new, empty cluster there, \
         or wait for ever. `two-node-ha raft repair {}` makes one out of the log", .0.display(), .0.display()
    )]
    NoTerm(PathBuf),
    /// dqlite would not start on it, or not with all that is in it.
    #[error(
        "{}: {}. Nothing was changed; `two-node-ha raft repair {}` shows what can be done, and what is lost \
         by it",
        .directory.join(.problem.file.as_deref().unwrap_or_default()).display(),
        .problem.detail,
        .directory.display()
    )]
    Damaged {
        /// The directory.
        directory: PathBuf,
        /// The gravest problem.
        problem: Box<Problem>,
    },
    /// A segment has entries of which nothing says where in the log they are.
    #[error(
        "nothing says which entries of the log are those in {}: `two-node-ha raft verify` shows the \
         directory as it is", .0.display()
    )]
    Unplaced(PathBuf),
}

impl Plan {
    /// Looks at a directory on which no node is running. Reads all that dqlite would load, but for the
    /// snapshot's data half.
    ///
    /// That one is taken on trust: where it is damaged, dqlite starts neither before nor after.
    /// [`crate::scan`] reads it too, for [`Self::of_scan`]. A segment that the snapshot covers is no such
    /// matter: libdqlite, and its recovery too, moves a damaged one away together with all open ones behind
    /// it, if it is the last closed one, and says nothing of what is lost.
    ///
    /// # Errors
    /// See [`PlanError`]: wherever dqlite would refuse to start, or would start without something that
    /// is there.
    pub fn of(directory: &Path) -> Result<Self, PlanError> {
        let scan = scan_with(directory, &mut Cache::default(), Depth::Log)?;
        Self::of_scan(directory, &scan)
    }

    /// The same for what was read already.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn of_scan(directory: &Path, scan: &Scan) -> Result<Self, PlanError> {
        let report = assess(scan);
        if let Some(problem) = gravest(&report) {
            return Err(PlanError::Damaged {
                directory: directory.to_owned(),
                problem: Box::new(problem.clone()),
            });
        }
        if report.last_index == 0 {
            return Err(PlanError::Nothing(directory.to_owned()));
        }
        let Some(Metadata {
            term: 1.., version, ..
        }) = report.metadata
        else {
            return Err(PlanError::NoTerm(directory.to_owned()));
        };
        let open = report.segments.iter().filter(|segment| segment.open);
        let closings = open
            .map(|segment| closing(directory, segment))
            .collect::<Result<_, _>>()?;
        let is_segment = |name: &&String| {
            meant(name).is_some_and(|meant| matches!(Name::of(meant), Name::Closed { .. }))
        };
        Ok(Self {
            directory: directory.to_owned(),
            closings,
            leftovers: scan.other.iter().filter(is_segment).cloned().collect(),
            last: Position {
                term: report.last_term,
                index: report.last_index,
            },
            term: term(scan, &report),
            neighbour: ["metadata2", "metadata1"][usize::from(version % 2 == 1)],
            configuration: report.configuration,
            configuration_index: report.configuration_index,
        })
    }

    /// Whether the last entry of the log is a recovery's of this configuration, and of the right term.
    #[must_use]
    pub fn is_done(&self, configuration: &[Server]) -> bool {
        self.configuration_index == Some(self.last.index)
            && self.last.term == self.term
            && self.configuration == configuration
    }
}

/// What dqlite refuses or would lose; who this node is, is not raft's, and the caller's to put right.
fn gravest(report: &Report) -> Option<&Problem> {
    let mut problems: Vec<_> = report
        .problems
        .iter()
        .filter(|problem| match problem.kind {
            ProblemKind::Identity => false,
            ProblemKind::Metadata
            | ProblemKind::Snapshot
            | ProblemKind::Gap
            | ProblemKind::Misnamed
            | ProblemKind::Damaged
            | ProblemKind::CutOff
            | ProblemKind::Behind
            | ProblemKind::Order
            | ProblemKind::Configuration => true,
        })
        .collect();
    problems.sort_by_key(|problem| problem.lossless);
    problems.first().copied()
}

fn closing(directory: &Path, segment: &SegmentReport) -> Result<Closing, PlanError> {
    let file = segment.file.clone();
    let size = segment.size;
    match (segment.entries, segment.first_index) {
        (0, _) => Ok(Closing::Remove { file, size }),
        (entries, Some(first)) => Ok(Closing::Close {
            file,
            size,
            keep: segment.used,
            to: closed_name(first, entries),
        }),
        (_, None) => Err(PlanError::Unplaced(directory.join(file))),
    }
}

/// See [`Plan::term`].
fn term(scan: &Scan, report: &Report) -> u64 {
    let loaded = |file: &str| {
        let mut loaded = report.segments.iter().filter(|segment| segment.loaded);
        loaded.any(|segment| segment.file == file)
    };
    let closed = scan.closed.iter().map(|s| (&s.file, &s.content));
    let open = scan.open.iter().map(|s| (&s.file, &s.content));
    let highest = closed
        .chain(open)
        .filter(|(file, _)| loaded(file))
        .filter_map(|(_, content)| content.terms.highest)
        .max();
    let snapshot = report.snapshot.map(|snapshot| snapshot.term);
    highest.max(snapshot).unwrap_or(0).max(report.last_term)
}
