//! What is to be said about a state directory, as plain values.

use serde::{Deserialize, Serialize};

use crate::configuration::Server;
use crate::loss::Loss;
use crate::metadata::Metadata;
use crate::node::NodeInfo;
use crate::remedy::{Missing, Step};
use crate::snapshot::Database;

/// What a state directory is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "lost")]
pub enum Verdict {
    /// dqlite starts on it, with all that is in it.
    Sound,
    /// dqlite refuses it, or would lose something, but nothing of it need be lost.
    Repairable,
    /// Something is lost, whatever is done, unless it is found elsewhere.
    Lossy(Loss),
    /// There is nothing of dqlite's here.
    NotDqlite,
}

/// What kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// `metadata1` or `metadata2` is damaged, or behind the log.
    Metadata,
    /// The newest snapshot is damaged.
    Snapshot,
    /// Entries between the snapshot and the segments are missing: "closed segment … is past last
    /// snapshot …".
    Gap,
    /// A closed segment whose content is not that of its name, and belongs elsewhere.
    Misnamed,
    /// A segment is damaged.
    Damaged,
    /// A file ends too early.
    CutOff,
    /// All segments are behind the snapshot: "last entry on disk … is behind last snapshot's".
    Behind,
    /// Segments are not of one log: terms fall, or an open segment between others is missing.
    Order,
    /// The configuration makes no sense.
    Configuration,
    /// `info.yaml`, `cluster.yaml` or `join` would make dqlite do harm, or not start.
    Identity,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// The file; `None` where it is about none, or about many.
    pub file: Option<String>,
    /// What is wrong, what dqlite makes of it, and what could be done.
    pub detail: String,
    /// Whether it can be repaired without losing anything that is in the directory.
    pub lossless: bool,
    /// What is lost, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost: Option<Loss>,
    /// What would settle it, with the loss that it says; empty where nothing does. Other problems
    /// may come to light then.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub remedy: Vec<Step>,
    /// Entries that would settle it without loss, were they found elsewhere.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missing: Option<Missing>,
}

impl Problem {
    /// One that nothing settles so far.
    pub(crate) fn new(
        kind: ProblemKind,
        file: Option<&str>,
        detail: String,
        lossless: bool,
    ) -> Self {
        Self {
            kind,
            file: file.map(str::to_owned),
            detail,
            lossless,
            lost: None,
            remedy: Vec::new(),
            missing: None,
        }
    }

    /// With what would settle it.
    pub(crate) fn settled_by(self, remedy: Vec<Step>) -> Self {
        Self { remedy, ..self }
    }

    /// With what is lost. Where nothing tells where the log went on, there was one more entry at
    /// least.
    pub(crate) fn losing(self, lost: Loss) -> Self {
        let last = lost.last.max(lost.first);
        Self {
            lost: Some(Loss { last, ..lost }),
            ..self
        }
    }

    /// With what would have to be found elsewhere.
    pub(crate) fn missing(self, steps: Vec<Step>, range: Loss, at_least: bool) -> Self {
        let missing = Missing {
            steps,
            range,
            at_least,
        };
        Self {
            missing: Some(missing),
            ..self
        }
    }
}

/// Something worth knowing that does not keep dqlite from starting with all it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The file; `None` where it is about none, or about many.
    pub file: Option<String>,
    /// What it is.
    pub detail: String,
}

/// A point in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Its term.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// A snapshot in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// The name of its data half.
    pub file: String,
    /// The term of the last entry that it covers.
    pub term: u64,
    /// The index of the last entry that it covers.
    pub index: u64,
    /// Whether both halves are there and sound.
    pub sound: bool,
    /// The size of the data half on the disk, in bytes.
    pub size: u64,
    /// Its size when decompressed, in bytes; 0 where that failed.
    pub content: u64,
    /// The databases in it.
    pub databases: Vec<Database>,
}

/// A segment in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentReport {
    /// The file.
    pub file: String,
    /// Whether it is an open one.
    pub open: bool,
    /// The index of its first entry; of an open one it follows from what precedes it. `None` where
    /// it has no entry, or is not part of the log.
    pub first_index: Option<u64>,
    /// The index of its last whole entry.
    pub last_index: Option<u64>,
    /// The number of whole entries in it.
    pub entries: u64,
    /// The number of whole batches in it.
    pub batches: u64,
    /// The term of the first entry, a recovery's configuration aside.
    pub first_term: Option<u64>,
    /// The term of the last entry.
    pub last_term: Option<u64>,
    /// Its size in bytes.
    pub size: u64,
    /// How much of that is used, in bytes.
    pub used: u64,
    /// Whether dqlite would load it, or would once it is repaired.
    pub loaded: bool,
}

/// All about a state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it is worth.
    pub verdict: Verdict,
    /// The term of the last entry; of a damaged directory, of the last one that can be kept.
    pub last_term: u64,
    /// The index of the last entry; of a damaged directory, of the last one that can be kept.
    pub last_index: u64,
    /// The current term and the vote, where they are known.
    pub metadata: Option<Metadata>,
    /// The members and their roles, by raft and not by `cluster.yaml`.
    pub configuration: Vec<Server>,
    /// The index of the entry that says so.
    pub configuration_index: Option<u64>,
    /// The snapshot that dqlite loads, or would once it is repaired.
    pub snapshot: Option<Position>,
    /// All snapshots, the newest last.
    pub snapshots: Vec<SnapshotReport>,
    /// All segments, in the order of the log.
    pub segments: Vec<SegmentReport>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
    /// `info.yaml`
    pub info: Option<NodeInfo>,
    /// `cluster.yaml`: a cached list of addresses, no more.
    pub cluster: Option<Vec<NodeInfo>>,
    /// Files that are none of raft's.
    pub other: Vec<String>,
}
