//! `before-epoch-N` in this project's private of the volume: each database as it was before this
//! epoch's owner changed anything of it.

use std::io;
use std::path::PathBuf;

use two_node_ha_config::Config;
use two_node_ha_node::Paths;
use two_node_ha_planner::Database;

const PREFIX: &str = "before-epoch-";

/// Where the copies of one epoch are.
#[must_use]
pub fn directory(paths: &Paths, config: &Config, epoch: u64) -> PathBuf {
    paths
        .private_on_volume(config)
        .join(format!("{PREFIX}{epoch}"))
}

/// All that are there, the oldest first.
///
/// # Errors
/// What the system says; a private that is not there has none.
pub fn all(paths: &Paths, config: &Config) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(paths.private_on_volume(config)) {
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

/// The copy of one database.
#[must_use]
pub fn copy(paths: &Paths, config: &Config, epoch: u64, database: Database) -> PathBuf {
    directory(paths, config, epoch).join(database.name())
}

/// There from just before a takeover changes anything of the database until it has ended, well or
/// not.
#[must_use]
pub fn mark(paths: &Paths, config: &Config, epoch: u64, database: Database) -> PathBuf {
    directory(paths, config, epoch).join(format!("{database}.under-way"))
}

/// The copy of `database`, where a takeover was cut off while it changed it: what counts is then
/// the copy, and not what the takeover has made of the database so far.
///
/// The mark says so and nothing else does. raft's term would not: a node that is its only voter
/// makes itself the leader in the term it finds (start.c, `maybeSelfElect`), so a database that has
/// run for weeks since the copy can still be of the copy's term.
#[must_use]
pub fn interrupted(
    paths: &Paths,
    config: &Config,
    database: Database,
    epoch: u64,
) -> Option<PathBuf> {
    let copy = copy(paths, config, epoch, database);
    (mark(paths, config, epoch, database).exists() && copy.is_dir()).then_some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_node::database::raft_directory;
    use two_node_ha_planner::world;

    #[test]
    fn a_copy_of_the_same_term_is_not_put_back_when_its_takeover_has_ended() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::rooted(root.path().to_path_buf());
        let config = world::config();
        let database = Database::K8sDqlite;
        let of = |epoch| interrupted(&paths, &config, database, epoch);
        for directory in [
            copy(&paths, &config, 2, database),
            paths.on_volume(&config, database),
        ] {
            let raft = raft_directory(database, &directory);
            std::fs::create_dir_all(&raft).unwrap();
            std::fs::write(raft.join("metadata1"), [1; 32]).unwrap();
        }
        assert_eq!(of(2), None);
        std::fs::write(mark(&paths, &config, 2, database), "").unwrap();
        assert_eq!(of(2), Some(copy(&paths, &config, 2, database)));
        assert_eq!(of(3), None, "another epoch's copy is none of this one's");
    }
}
