//! The two dqlite databases of a Canonical Kubernetes node.

use serde::{Deserialize, Serialize};

/// One of the two databases whose voter follows the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Database {
    /// The Kubernetes datastore.
    #[serde(rename = "k8s-dqlite")]
    K8sDqlite,
    /// k8sd's own database: the members of the cluster.
    #[serde(rename = "k8sd")]
    K8sd,
}

impl Database {
    /// Both, in the order in which they are recovered: k8sd's checks are the stricter ones, so a
    /// refusal comes before anything of the datastore was changed.
    pub const ALL: [Self; 2] = [Self::K8sd, Self::K8sDqlite];

    /// The name of its directory on the volume and among the spares.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::K8sDqlite => "k8s-dqlite",
            Self::K8sd => "k8sd",
        }
    }

    /// The directory below its state directory in which raft's own files are, if they are in one.
    #[must_use]
    pub fn raft_below(self) -> Option<&'static str> {
        match self {
            Self::K8sDqlite => None,
            Self::K8sd => Some("database"),
        }
    }
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
