//! An entry of the log: its kind, and the one kind that is looked into.

use crate::configuration::{ConfigurationFault, Server};

/// What kind of entry: the byte in a batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// For the databases: 1.
    Command,
    /// Nothing, appended by a new leader: 2.
    Barrier,
    /// A configuration: 3.
    Change,
}

impl EntryType {
    /// The type of that byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Command),
            2 => Some(Self::Barrier),
            3 => Some(Self::Change),
            _ => None,
        }
    }

    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Command => 1,
            Self::Barrier => 2,
            Self::Change => 3,
        }
    }
}

/// A configuration in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How many entries of the segment stand before it.
    pub before: u64,
    /// Its term.
    pub term: u64,
    /// The members; a fault makes dqlite refuse to start where this is the last one.
    pub servers: Result<Vec<Server>, ConfigurationFault>,
}
