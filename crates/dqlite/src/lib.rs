//! dqlite's files: `info.yaml`, `cluster.yaml`, and what stands beside them in a state directory.
//!
//! [`Directory`] says what a state directory holds without touching it (libdqlite's own loader
//! truncates and renames files while it reads), and [`identity_trap`] whether starting dqlite on
//! it would found a new, empty cluster over the old one's name.

mod batch;
mod bytes;
mod configuration;
mod crc;
mod damage;
mod directory;
mod metadata;
mod name;
mod node;
mod scan;
mod segment;
mod snapshot;
mod trap;
mod yaml;

pub use batch::BatchFault;
pub use configuration::{ConfigurationFault, Server, decode_configuration};
pub use crc::{Crc, crc32};
pub use damage::{Damage, Nature};
pub use directory::{Directory, InspectError, inspect};
pub use metadata::{Metadata, MetadataFault};
pub use name::SnapshotName;
pub use node::{BOOTSTRAP_ID, NodeInfo, Role};
pub use scan::{Closed, Open, Scan, ScanError, Snapshot, scan};
pub use segment::{Change, End, EntryType, Segment, Terms, read_segment};
pub use snapshot::{Data, DataFault, Database, Meta, MetaFault, decode_meta, read_data, read_meta};
pub use trap::{Trap, identity_trap};
pub use yaml::{
    CLUSTER_FILE, INFO_FILE, ReadError, WriteError, YamlError, format_cluster, format_info,
    parse_cluster, parse_info, read_cluster, read_info, write_cluster, write_info,
};
