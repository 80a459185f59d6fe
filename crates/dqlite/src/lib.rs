//! dqlite's files: what is in a state directory, whether dqlite would start on it with all of that,
//! and if not, why. libdqlite is not used: its loader truncates and renames files while it reads.
//!
//! [`scan`] reads a directory, [`assess`] says what it is worth: a [`Report`] with a [`Verdict`].
//! [`Directory`] is a quick look without reading the log, and [`identity_trap`] says whether starting
//! dqlite on it would found a new, empty cluster over the old one's name. [`repair`] mends a copy of a
//! directory, and [`recovery`] makes a node of one its only voter.
//!
//! The layouts are those of format 1, which dqlite has written from its beginnings up to 1.18.

mod assess;
mod batch;
mod bytes;
mod compare;
mod configuration;
mod crc;
mod damage;
mod directory;
mod encode;
mod entries;
mod entry;
mod fingerprints;
mod listing;
mod log;
mod loss;
mod metadata;
mod name;
mod node;
mod parallel;
pub mod recovery;
mod remedy;
pub mod repair;
mod report;
mod scan;
mod scan_error;
mod segment;
mod snapshot;
mod tail;
mod trap;
mod waiting;
mod yaml;

pub use assess::assess;
pub use batch::BatchFault;
pub use compare::{Comparison, Divergence, Kind, Outline, Range, Relation, Side, compare};
pub use configuration::{ConfigurationFault, Server, decode_configuration};
pub use crc::{Crc, crc32};
pub use damage::{Damage, Nature};
pub use directory::{Directory, InspectError, inspect};
pub use encode::{encode_batch, encode_configuration, encode_meta};
pub use entries::{Entry, entries};
pub use entry::{Change, EntryType};
pub use fingerprints::{Parting, Prints, parting, prints};
pub use loss::Loss;
pub use metadata::{Metadata, MetadataFault};
pub use name::SnapshotName;
pub use node::{BOOTSTRAP_ID, NodeInfo, Role};
pub use remedy::{Missing, Step};
pub use report::{
    Note, Position, Problem, ProblemKind, Report, SegmentReport, SnapshotReport, Verdict,
};
pub use scan::{Closed, Open, Scan, Snapshot, scan, scan_loaded};
pub use scan_error::ScanError;
pub use segment::{End, Fall, Segment, Terms, read_segment};
pub use snapshot::{Data, DataFault, Database, Meta, MetaFault, decode_meta, read_data, read_meta};
pub use tail::{Found, Tail, TailCache, tail};
pub use trap::{Trap, identity_trap};
pub use waiting::wait_for_leader;
pub use yaml::{
    CLUSTER_FILE, INFO_FILE, ReadError, WriteError, YamlError, format_cluster, format_info,
    parse_cluster, parse_info, read_cluster, read_info, write_cluster, write_info,
};
