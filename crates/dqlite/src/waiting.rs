//! A directory without a log, in which a node waits for its leader.

use std::io;
use std::path::Path;

use two_node_ha_disk::atomic;

use crate::metadata::Metadata;

/// Lets a node wait for its leader in a directory that holds its identity and nothing of raft's.
///
/// A spare has no log: raft sends it nothing until it becomes a stand-by or a voter, and then all of it.
/// With an empty directory any node waits but a founder, which would found a new cluster: dqlite has it
/// bootstrap whenever it starts, and only a term in the metadata keeps raft from doing so (`uvBootstrap`
/// of `uv.c`: `RAFT_CANTBOOTSTRAP`, which `maybeBootstrap` of `server.c` takes for an answer). Any leader's
/// term is higher than this one, or the same and without a vote.
///
/// # Errors
/// What the system says; there is no metadata then, or it is whole.
pub fn wait_for_leader(dir: &Path) -> io::Result<()> {
    let metadata = Metadata {
        version: 1,
        term: 1,
        voted_for: 0,
    };
    atomic::replace(&dir.join("metadata1"), &metadata.encode())
}
