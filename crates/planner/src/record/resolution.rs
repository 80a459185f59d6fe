//! `split-brain.json` on both nodes: the resolution of a split brain that is under way. Everything
//! else about it can be seen; this is what cannot.

use serde::{Deserialize, Serialize};

use super::Versioned;

/// The record itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resolution {
    pub(crate) format: u32,
    /// Which one it is, of all that have ever been: a word that a command has thought of when it
    /// began, the same on both nodes. In a request it is the one that was seen on the node. Empty
    /// where an older version has begun it, and where none was seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mark: String,
    /// In a request to begin: the mark of the one whose place it takes. Not in the record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub over: String,
    /// The node whose data stays.
    pub winner: String,
    /// The node whose data is given up.
    pub loser: String,
    /// Whether it is given up without a copy, by the operator's word.
    pub without_copy: bool,
    /// On the loser: its copy.
    #[serde(default)]
    pub copy: Option<CopyMade>,
    /// On the loser: noted just before DRBD is told to discard its data, with the generation that
    /// is discarded.
    #[serde(default)]
    pub discarding: Option<u64>,
}

/// A copy of the loser's data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CopyMade {
    /// What `two-node-ha copies list` calls it.
    pub name: String,
    /// The generation that it is of: DRBD's current identifier. Where that has changed since, the
    /// node has written since; where it has not, `writes` tells.
    pub generation: u64,
    /// Where the writes to the data stood.
    #[serde(default)]
    pub writes: Option<String>,
}

impl Versioned for Resolution {
    /// Fields were added without raising it; the first program that knew it reads what this one writes.
    const VERSION: u32 = 1;
}

impl Resolution {
    /// A resolution that begins.
    #[must_use]
    pub fn new(winner: &str, loser: &str, without_copy: bool) -> Self {
        Self {
            format: Self::VERSION,
            mark: String::new(),
            over: String::new(),
            winner: winner.to_owned(),
            loser: loser.to_owned(),
            without_copy,
            copy: None,
            discarding: None,
        }
    }

    /// The same with this mark.
    #[must_use]
    pub fn marked(mut self, mark: &str) -> Self {
        mark.clone_into(&mut self.mark);
        self
    }

    /// A request to begin it in the place of the one with this mark; empty where there was none.
    #[must_use]
    pub fn over(mut self, mark: &str) -> Self {
        mark.clone_into(&mut self.over);
        self
    }
}
