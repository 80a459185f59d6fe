//! `journal.json` on the node: what it must remember even when the volume is elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FORMAT;
use crate::Database;

/// Whose a volume's databases are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owned {
    /// The epoch.
    pub epoch: u64,
    /// Its owner.
    pub owner: String,
}

/// The record itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Journal {
    format: u32,
    /// The node that wrote it: a copied disk must not pass for its original.
    pub node: String,
    /// The highest epoch this node has ever seen on the volume or heard of. A volume with a
    /// lower one is stale.
    pub highest_epoch: u64,
    /// Epoch and owner that the volume had when it was last seen mounted here read-write: what is
    /// known of this node's own copy while it is not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Owned>,
    /// For each database, the epoch that this node's own spare directory was made for.
    pub spare_epoch: BTreeMap<Database, u64>,
    /// The step that was begun and not yet ended: after a crash it says where.
    pub in_progress: Option<String>,
}

impl Journal {
    /// What a node knows before it has seen anything.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            format: FORMAT,
            node: node.to_owned(),
            highest_epoch: 0,
            volume: None,
            spare_epoch: BTreeMap::new(),
            in_progress: None,
        }
    }

    /// Forgets every epoch above `epoch`: their data has been given up by an operator's decision.
    pub fn forget_above(&mut self, epoch: u64) {
        self.highest_epoch = self.highest_epoch.min(epoch);
        self.spare_epoch.retain(|_, of| *of <= epoch);
    }

    /// Remembers that `epoch` exists.
    pub fn saw_epoch(&mut self, epoch: u64) {
        self.highest_epoch = self.highest_epoch.max(epoch);
    }
}
