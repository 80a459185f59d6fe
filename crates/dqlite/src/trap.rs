//! State directories on which dqlite must not be started.

use thiserror::Error;

use crate::directory::Directory;

/// Why starting dqlite here would do harm, or would not work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trap {
    /// No identity at all: go-dqlite makes itself one, with the bootstrap id, and founds a new,
    /// empty cluster.
    #[error(
        "there is neither info.yaml nor cluster.yaml: dqlite would found a new, empty cluster \
         here"
    )]
    NoIdentity,
    /// A founder's identity without raft state: dqlite founds a new, empty one-voter cluster and
    /// overwrites `cluster.yaml`.
    #[error(
        "info.yaml has the founder's id {id} but there is no raft state: dqlite would found a \
         new, empty cluster under the old one's name"
    )]
    EmptyBootstrap {
        /// The id.
        id: u64,
    },
    /// Segments or snapshots without the metadata that dates them.
    #[error(
        "there are segments or snapshots but neither metadata1 nor metadata2 holds a term: part \
         of the directory is missing"
    )]
    NoMetadata,
    /// `info.yaml` without `cluster.yaml`: go-dqlite refuses to start.
    #[error("there is info.yaml but no cluster.yaml: dqlite refuses to start")]
    NoCluster,
    /// `cluster.yaml` without `info.yaml`: go-dqlite refuses to start.
    #[error("there is cluster.yaml but no info.yaml: dqlite refuses to start")]
    NoInfo,
    /// A founder with the marker of an unfinished join: go-dqlite refuses to start.
    #[error("there is a leftover `join` beside the founder's id {id}: dqlite refuses to start")]
    BootstrapJoins {
        /// The id.
        id: u64,
    },
    /// The marker of an unfinished join beside raft state: dqlite would join once more a cluster
    /// that it may be in already. (A node that crashed in the middle of its first join looks the
    /// same; there, a rejoin from scratch is the remedy too.)
    #[error("there is a leftover `join` beside raft state: dqlite would join a second time")]
    JoinsAgain,
}

/// The first reason not to start dqlite on a directory; `None` when there is none. The gravest
/// comes first.
///
/// A node that is to join for the first time (an id of its own, `join`, no raft state) is in
/// order.
#[must_use]
pub fn identity_trap(directory: &Directory) -> Option<Trap> {
    let raft = directory.has_raft_state();
    match (&directory.info, &directory.cluster) {
        (Some(info), _) if info.is_bootstrap() && !raft => {
            Some(Trap::EmptyBootstrap { id: info.id })
        }
        _ if directory.has_data() && !raft => Some(Trap::NoMetadata),
        (None, None) => Some(Trap::NoIdentity),
        (Some(_), None) => Some(Trap::NoCluster),
        (None, Some(_)) => Some(Trap::NoInfo),
        (Some(info), Some(_)) if directory.join && info.is_bootstrap() => {
            Some(Trap::BootstrapJoins { id: info.id })
        }
        (Some(_), Some(_)) if directory.join && raft => Some(Trap::JoinsAgain),
        (Some(_), Some(_)) => None,
    }
}
