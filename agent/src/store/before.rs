//! `before-epoch-N` in this project's corner of the volume: each database as it was before this
//! epoch's owner changed anything of it.

use std::io;
use std::path::{Path, PathBuf};

use two_node_ha_config::Config;

use crate::database::Database;
use crate::paths::Paths;

const PREFIX: &str = "before-epoch-";

/// Where the copies of one epoch are.
#[must_use]
pub fn directory(paths: &Paths, config: &Config, epoch: u64) -> PathBuf {
    paths.volume_corner(config).join(format!("{PREFIX}{epoch}"))
}

/// All that are there, the oldest first.
///
/// # Errors
/// What the system says; a corner that is not there has none.
pub fn all(paths: &Paths, config: &Config) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(paths.volume_corner(config)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(epoch) = name.and_then(|name| name.strip_prefix(PREFIX)?.parse().ok()) {
            all.push((epoch, path));
        }
    }
    all.sort();
    Ok(all)
}

/// The copy from before a takeover of `database` that was begun, in `epoch` or one before it, and
/// has not led to a running database: what counts is then the copy, and not what the takeover has
/// made of the database so far.
///
/// It is known by raft's term. A recovery leaves the term alone (libraft, uv.c, uvRecover), and a
/// voter that starts elects itself in a new one before it can accept a write (start.c,
/// maybeSelfElect). So while the term is the copy's nothing was written, and where it is not,
/// nothing is taken back.
///
/// # Errors
/// What the system says.
pub fn interrupted(
    paths: &Paths,
    config: &Config,
    database: Database,
    epoch: u64,
) -> io::Result<Option<PathBuf>> {
    let copy = all(paths, config)?
        .into_iter()
        .filter(|(of, _)| *of <= epoch)
        .map(|(_, directory)| directory.join(database.name()))
        .rfind(|copy| copy.is_dir());
    let Some(copy) = copy else {
        return Ok(None);
    };
    let now = database.raft_directory(&paths.on_volume(config, database));
    Ok(same_term(&database.raft_directory(&copy), &now)?.then_some(copy))
}

/// Whether both hold the same `metadata1` and `metadata2`, and at least one of them.
fn same_term(one: &Path, other: &Path) -> io::Result<bool> {
    let mut any = false;
    for name in ["metadata1", "metadata2"] {
        let read = |directory: &Path| match std::fs::read(directory.join(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let one = read(one)?;
        if one != read(other)? {
            return Ok(false);
        }
        any |= one.is_some();
    }
    Ok(any)
}
