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

/// Whether a name is one of raft's files, which a change of hands does not carry over.
#[must_use]
pub fn is_raft_file(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name == "metadata1"
        || name == "metadata2"
        || name.strip_prefix("open-").is_some_and(digits)
        || name.starts_with("snapshot-")
        || name.starts_with("corrupt-")
        || name.starts_with("tmp-")
        || name == "dqlite-lock"
        || name
            .split_once('-')
            .is_some_and(|(first, last)| digits(first) && digits(last))
}

#[cfg(test)]
mod tests {
    use super::is_raft_file;

    #[test]
    fn rafts_files_are_known_by_name_and_nothing_else_is() {
        for name in [
            "metadata1",
            "metadata2",
            "open-12",
            "0000000000002369-0000000000002655",
            "snapshot-2-2048-642428",
            "snapshot-2-2048-642428.meta",
            "corrupt-1-0000000000000001-0000000000000002",
            "dqlite-lock",
        ] {
            assert!(is_raft_file(name), "{name}");
        }
        for name in [
            "info.yaml",
            "cluster.yaml",
            "cluster.key",
            "open-",
            "failure-domain",
            "-",
            "1-notes",
            "notes-1",
        ] {
            assert!(!is_raft_file(name), "{name}");
        }
    }
}
