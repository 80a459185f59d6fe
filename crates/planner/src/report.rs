//! What one agent tells the other of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use two_node_ha_config::Facts;

use crate::log::End;
use crate::{Database, State};

/// How a node stands, as its peer may rely on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub node: String,
    /// Its agent's state.
    pub state: State,
    /// The highest epoch it knows.
    pub epoch: u64,
    /// Whether it runs a voter that was confirmed to work, of epoch `epoch`.
    pub voter: bool,
    /// Whether anything that writes a database runs there, or may start by itself.
    pub datastore_running: bool,
    /// Whether its failover unit asks for the voter.
    pub wants_voter: bool,
    /// On the first day: whether its own cluster.yaml files call it the voter. `None` once its
    /// state directories are links, or when they cannot be read.
    pub original_voter: Option<bool>,
    /// Where the logs end that its databases write to while it is the spare.
    #[serde(default)]
    pub logs: BTreeMap<Database, SpareLog>,
    /// Why it has had the other node fenced, which could not write that down itself.
    #[serde(default)]
    pub fenced: Option<String>,
    /// The configuration that its agent runs with, secrets left out; empty from an older agent, which
    /// did not tell.
    #[serde(default)]
    pub config: Facts,
    /// The [`digest`] of the configuration of the other node that its agent has heard last.
    #[serde(default)]
    pub heard: Option<String>,
}

/// The log in a node's own directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpareLog {
    /// The epoch that the directory was made for: what it holds beyond its bundle was written in it.
    pub epoch: u64,
    /// Where it ends, as that node sees it.
    pub end: End,
}

/// Of what is compared of a configuration, in hexadecimal: whether a node has heard it.
#[must_use]
pub fn digest(facts: &Facts) -> String {
    let mut digest = Sha256::new();
    for (key, value) in facts {
        // Lengths, so that no two lists of words give the same bytes.
        for word in [key, value] {
            digest.update((word.len() as u64).to_le_bytes());
            digest.update(word);
        }
    }
    hex(&digest.finalize())
}

/// In hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_configurations_have_one_digest() {
        let facts = |key: &str, value: &str| Facts::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(digest(&facts("a", "bc")), digest(&facts("a", "bc")));
        assert_ne!(digest(&facts("a", "bc")), digest(&facts("ab", "c")));
        assert_ne!(digest(&facts("a", "b")), digest(&facts("a", "c")));
    }
}
