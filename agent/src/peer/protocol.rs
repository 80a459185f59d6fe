//! What the agents say to each other: one request and one response, each a line of JSON; a
//! bundle's files follow their response, each of the announced length.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use two_node_ha_config::Facts;

use crate::database::Database;
use crate::observe::End;
use crate::plan::State;
use crate::split::Side;
use crate::split::plan::Step as SplitStep;
use crate::store::{Astray, Resolution};

/// The protocol's version, raised when an older agent could misunderstand.
pub const VERSION: u32 = 1;

/// A longer line is not from an agent.
pub const LONGEST_LINE: u64 = 1 << 20;

/// What one agent asks of the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How do you stand?
    Report {
        /// [`VERSION`]
        version: u32,
    },
    /// Stop your databases; I am about to become the voter. Answered once they are stopped.
    StopSpare {
        /// [`VERSION`]
        version: u32,
        /// Who asks.
        node: String,
        /// The epoch that the volume has now; an agent that knows a higher one refuses.
        epoch: u64,
    },
    /// Give me what I need to be the spare of this epoch.
    Bundle {
        /// [`VERSION`]
        version: u32,
        /// The epoch of the last report.
        epoch: u64,
    },
    /// Give me raft's files of this database, which is stopped with you; I am about to become the
    /// voter, and you may have what the volume lacks.
    Log {
        /// [`VERSION`]
        version: u32,
        /// Whose.
        database: Database,
    },
    /// What are you, as one side of a split brain?
    Side {
        /// [`VERSION`]
        version: u32,
        /// Whether the databases' logs are to be read, too.
        logs: bool,
    },
    /// Take this step of the resolution of a split brain. Answered once it is taken.
    Resolve {
        /// [`VERSION`]
        version: u32,
        /// The step.
        step: SplitStep,
        /// The resolution, as the operator wants it.
        resolution: Resolution,
    },
    /// This is my configuration; yours came with your report. Asked only of an agent whose report has
    /// one, as an older one does not know this request.
    Configuration {
        /// [`VERSION`]
        version: u32,
        /// What is compared of it.
        config: Facts,
    },
    /// Something changed here: look again.
    Wake {
        /// [`VERSION`]
        version: u32,
    },
}

impl Request {
    /// The version that the asker speaks.
    #[must_use]
    pub fn version(&self) -> u32 {
        match self {
            Self::Report { version }
            | Self::StopSpare { version, .. }
            | Self::Bundle { version, .. }
            | Self::Log { version, .. }
            | Self::Side { version, .. }
            | Self::Resolve { version, .. }
            | Self::Configuration { version, .. }
            | Self::Wake { version } => *version,
        }
    }
}

/// What the other answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Report`].
    Report(Report),
    /// To [`Request::StopSpare`]: stopped, and it stays so until a voter is known.
    Stopped,
    /// To [`Request::Bundle`]: the files that follow.
    Bundle {
        /// The epoch they were made in.
        epoch: u64,
        /// In the order in which they follow.
        files: Vec<BundleFile>,
        /// What had been written off the volume and has become the base of that epoch.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        astray: BTreeMap<Database, Astray>,
    },
    /// To [`Request::Side`].
    Side(Box<Side>),
    /// To [`Request::Resolve`]: the step is taken.
    Taken,
    /// To [`Request::Configuration`].
    Compared,
    /// To [`Request::Wake`].
    Woken,
    /// No.
    Refused {
        /// Why, in words for the administrator.
        reason: String,
    },
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFile {
    /// Which database it belongs to.
    pub database: Database,
    /// Its name: no separators.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// Of its content, in hexadecimal.
    pub sha256: String,
}

/// How a node stands, as its peer may rely on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    super::server::hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_an_older_agent_is_understood_and_says_nothing_of_its_configuration() {
        let old = r#"{"response":"report","node":"hatwo","state":"primary-running","epoch":2,
            "voter":true,"datastore_running":true,"wants_voter":true,"original_voter":null}"#;
        let Ok(Response::Report(report)) = serde_json::from_str(old) else {
            panic!()
        };
        assert!(report.config.is_empty() && report.heard.is_none());
    }

    #[test]
    fn no_two_configurations_have_one_digest() {
        let facts = |key: &str, value: &str| Facts::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(digest(&facts("a", "bc")), digest(&facts("a", "bc")));
        assert_ne!(digest(&facts("a", "bc")), digest(&facts("ab", "c")));
        assert_ne!(digest(&facts("a", "b")), digest(&facts("a", "c")));
    }
}
