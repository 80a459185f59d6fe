//! What the agents say to each other: one request and one response, each a line of JSON; a
//! bundle's files follow their response, each of the announced length.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use two_node_ha_config::Facts;
use two_node_ha_planner::Database;
use two_node_ha_planner::record::{Astray, Resolution};
use two_node_ha_planner::report::Report;
use two_node_ha_planner::split_brain::Side;
use two_node_ha_planner::split_brain::plan::Step as SplitStep;

/// The protocol's version, raised when an older agent could misunderstand. Each request says it, and an
/// agent refuses every other than its own. What is added to an answer is passed over by an older agent;
/// a new request it refuses, so that none is sent that its report does not show to be known.
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
    /// The request in a line.
    ///
    /// # Errors
    /// In words for the administrator of the node that asks.
    pub fn read(line: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            version: Option<u32>,
        }
        let no_request = |error: serde_json::Error| format!("this is no request: {error}");
        // The version comes before the fields: a newer request may be none that is known.
        match serde_json::from_str(line).map_err(no_request)? {
            Head {
                version: Some(version),
            } if version != VERSION => Err(format!(
                "the peer speaks version {version} of the protocol, this node {VERSION}: install the \
                 same two-node-ha on both"
            )),
            Head { .. } => serde_json::from_str(line).map_err(no_request),
        }
    }

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
