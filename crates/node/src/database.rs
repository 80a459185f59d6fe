//! What is in the state directory of a database.

use std::path::{Path, PathBuf};

use two_node_ha_planner::Database;

/// Where below its state directory raft's files are.
#[must_use]
pub fn raft_directory(database: Database, state: &Path) -> PathBuf {
    match database.raft_below() {
        Some(below) => state.join(below),
        None => state.to_path_buf(),
    }
}

/// The files that say which node this is, relative to the state directory: they differ
/// between the nodes and are swapped when the directory changes hands. `cluster.crt` and
/// `cluster.key` are the cluster's, and the volume's are the newest.
#[must_use]
pub fn identity_files(database: Database) -> &'static [&'static str] {
    match database {
        Database::K8sDqlite => &["info.yaml"],
        Database::K8sd => &[
            "database/info.yaml",
            "daemon.yaml",
            "server.crt",
            "server.key",
        ],
    }
}

/// Where below k8sd's state directory the certificates of the cluster's members are, a file each.
pub const TRUST_STORE: &str = "truststore";

/// The cluster's own certificate, which a spare of any database takes from the voter.
pub const CLUSTER_FILES: [&str; 2] = ["cluster.crt", "cluster.key"];
