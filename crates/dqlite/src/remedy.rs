//! What can be done about a problem: changes of a directory, each by the names of files.
//!
//! A remedy is worked out where its problem is found, and is carried out on a copy (see
//! [`crate::repair`]). Nothing here says that a file is deleted: what is taken out of the copy is
//! still in the original.

use serde::{Deserialize, Serialize};

use crate::loss::Loss;
use crate::node::NodeInfo;

/// One change of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Step {
    /// The file is left out.
    LeaveOut {
        /// The file.
        file: String,
    },
    /// The file gets another name.
    Rename {
        /// The name that it has.
        file: String,
        /// The name that is right.
        to: String,
    },
    /// The file's first bytes are kept, under a name that fits.
    Cut {
        /// The file.
        file: String,
        /// How many bytes.
        size: u64,
        /// The name that is right; the old one where it is.
        to: String,
    },
    /// A new `metadata1` or `metadata2`, newer than both that are there, with no vote cast.
    Term {
        /// The current term.
        term: u64,
    },
    /// A new `info.yaml`.
    Info {
        /// Who this node is.
        node: NodeInfo,
    },
    /// A new `cluster.yaml`.
    Cluster {
        /// The members.
        nodes: Vec<NodeInfo>,
    },
    /// Closed segments with these entries of another directory.
    Entries {
        /// The directory's place among the sources.
        source: usize,
        /// The entries.
        range: Loss,
    },
    /// Both halves of a snapshot of another directory.
    Snapshot {
        /// The directory's place among the sources.
        source: usize,
        /// The data half.
        file: String,
    },
}

/// Entries that are missing, and what has to be done for them to fit in where they are found
/// elsewhere. What follows them then stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// To be done first.
    pub steps: Vec<Step>,
    /// The entries.
    pub range: Loss,
    /// Whether more may be missing: then it takes all that there is from the first one on.
    pub at_least: bool,
}

impl Step {
    pub(crate) fn leave_out(file: impl Into<String>) -> Self {
        Self::LeaveOut { file: file.into() }
    }

    /// The file with its first `size` bytes under its own name.
    pub(crate) fn cut(file: &str, size: u64) -> Self {
        Self::Cut {
            file: file.to_owned(),
            size,
            to: file.to_owned(),
        }
    }

    /// The same as a closed segment with that many entries.
    pub(crate) fn close(file: &str, size: u64, first: u64, entries: u64) -> Self {
        Self::Cut {
            file: file.to_owned(),
            size,
            to: closed_name(first, entries),
        }
    }
}

/// The name of a closed segment.
pub(crate) fn closed_name(first: u64, entries: u64) -> String {
    let last = first.saturating_add(entries.saturating_sub(1));
    format!("{first:016}-{last:016}")
}
