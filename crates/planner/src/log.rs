//! A database's log as raft's own files show it: how far it reaches, who votes by its last
//! configuration, and how it stands to another one of the same database.

use serde::{Deserialize, Serialize};
use two_node_ha_dqlite::Position;

use crate::record::Astray;

/// The log in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// There is none.
    #[default]
    None,
    /// It ends here.
    Ends(End),
    /// It cannot be read, or dqlite would lose some of it: in words.
    Unreadable(String),
}

impl Log {
    /// Its end, where there is a log that can be read.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        match self {
            Self::Ends(end) => Some(end),
            Self::None | Self::Unreadable(_) => None,
        }
    }
}

/// Where a log ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct End {
    /// Its last entry.
    pub last: Position,
    /// Who votes by its last configuration.
    pub voters: Voters,
}

/// Who votes, as seen from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voters {
    /// This node does.
    pub here: bool,
    /// Another does. With both, a change of hands is under way: the other may be alone in it by now.
    pub elsewhere: bool,
}

impl Voters {
    /// This node, and no other.
    #[must_use]
    pub fn only_here(self) -> bool {
        self.here && !self.elsewhere
    }
}

/// How another log of the same database stands to the volume's, byte by byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The volume has all of it.
    #[default]
    Within,
    /// It has all of the volume's, and these entries behind it.
    Ahead {
        /// The index of the first that the volume lacks.
        first: u64,
        /// The index of the last.
        last: u64,
    },
    /// Each has what the other lacks, or nothing shows that they belong together.
    Parted {
        /// The volume's last entry.
        volume: Position,
        /// The other's last entry.
        other: Position,
        /// The index of the first entry that differs; nothing where they have none in common.
        at: Option<u64>,
    },
    /// It cannot be told: in words, why.
    Unknown(String),
}

impl Standing {
    /// The same, given what the volume's record says to have been taken from a node's log. A log of that
    /// node that ends no later has nothing more, although the volume's begins behind it by now.
    #[must_use]
    pub fn given(self, taken: Option<&Astray>, node: &str) -> Self {
        let all_of_it = |end: &Position| {
            taken.is_some_and(|taken| taken.node == node && end.index <= taken.last)
        };
        match self {
            Self::Parted {
                at: None,
                ref other,
                ..
            } if all_of_it(other) => Self::Within,
            Self::Within | Self::Ahead { .. } | Self::Parted { .. } | Self::Unknown(_) => self,
        }
    }
}
