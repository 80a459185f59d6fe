//! One side of a split brain: all that a node knows about itself and says to the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use two_node_ha_dqlite::Prints;

use super::generation::Generation;
use crate::Database;
use crate::observation::{Known, Mount, Role};
use crate::record::{Owned, Resolution};

/// One side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Side {
    /// The node.
    pub node: String,
    /// DRBD's role.
    pub role: Role,
    /// Its copy.
    pub disk: Disk,
    /// Its connection.
    pub link: Link,
    /// DRBD's state in words.
    pub summary: String,
    /// The generation identifiers, or why they are not known.
    pub generation: Result<Generation, String>,
    /// Where the writes to its copy stand: the boot, and how much DRBD has written since the disk
    /// was attached. DRBD makes no new generation for further writes of a node that is alone already.
    pub writes: Option<String>,
    /// What is mounted at the mount point.
    pub mount: Mount,
    /// Whether the failover unit holds the role there.
    pub held: bool,
    /// Pacemaker there.
    pub cluster: Cluster,
    /// Whose the databases on its copy are: read, or as last seen there.
    pub volume: Option<Owned>,
    /// The highest epoch that the node knows.
    pub highest_epoch: u64,
    /// The log of each database on its copy.
    pub logs: BTreeMap<Database, Log>,
    /// The node's evidence that is not resolved, by file name.
    pub evidence: Vec<String>,
    /// The resolution that is under way, as the node has noted it.
    pub resolution: Known<Resolution>,
}

/// The state of a copy, reduced to what decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// Whole and, as far as the node knows, current.
    UpToDate,
    /// Whole, but known or suspected to be older.
    Consistent,
    /// Half overwritten by a resync that has not ended.
    Inconsistent,
    /// None that can be read.
    None,
}

/// The connection, reduced to what decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// The resource is not up.
    Down,
    /// Cut, and not trying.
    StandAlone,
    /// Trying, or on the way.
    Connecting,
    /// Connected, both copies being equal or about to be found so.
    Connected,
    /// Connected, and one copy is being overwritten.
    Resyncing,
}

/// Pacemaker on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cluster {
    /// It does not run.
    Absent,
    /// It runs, or may run, and does not answer: why.
    Silent(String),
    /// It runs.
    Here {
        /// The node that our constraint keeps from being promoted.
        // As the agents of the version before call it.
        #[serde(rename = "barred")]
        banned: Option<String>,
    },
}

/// A database's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// Its last entries, each as a checksum.
    Read(Prints),
    /// It cannot be read: why.
    Unknown(String),
}

impl Side {
    /// Whether DRBD's primary, the mount or the failover unit is still here.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.held || self.mount != Mount::None || self.role == Role::Primary
    }

    /// The resolution that is noted here.
    #[must_use]
    pub fn noted(&self) -> Option<&Resolution> {
        match &self.resolution {
            Known::Present(resolution) => Some(resolution),
            Known::Absent | Known::Unreadable(_) => None,
        }
    }

    /// Whether the constraint stands in the cluster that this node is in.
    #[must_use]
    pub fn bans(&self, node: &str) -> bool {
        matches!(&self.cluster, Cluster::Here { banned: Some(banned) } if banned == node)
    }
}
