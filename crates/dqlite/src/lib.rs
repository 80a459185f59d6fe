//! dqlite's files: `info.yaml`, `cluster.yaml`, and what stands beside them in a state directory.
//!
//! [`Directory`] says what a state directory holds without touching it (libdqlite's own loader
//! truncates and renames files while it reads), and [`identity_trap`] whether starting dqlite on
//! it would found a new, empty cluster over the old one's name.

mod directory;
mod node;
mod trap;
mod yaml;

pub use directory::{Directory, InspectError, inspect};
pub use node::{BOOTSTRAP_ID, NodeInfo, Role};
pub use trap::{Trap, identity_trap};
pub use yaml::{
    CLUSTER_FILE, INFO_FILE, ReadError, WriteError, YamlError, format_cluster, format_info,
    parse_cluster, parse_info, read_cluster, read_info, write_cluster, write_info,
};
