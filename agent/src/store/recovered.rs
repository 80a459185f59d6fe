//! What a recovery leaves on the volume as its last change: from then on, until the record says so, the
//! database is known to be this node's.

use std::path::PathBuf;

use two_node_ha_config::Config;
use two_node_ha_node::Paths;
use two_node_ha_planner::Database;

/// The tarball for the peer, of a recovery by `k8sd cluster-recover`.
#[must_use]
pub fn tarball(paths: &Paths, config: &Config, epoch: u64, database: Database) -> PathBuf {
    let bundle = paths.volume_bundle(config, epoch);
    bundle.join(format!("{database}.tar.gz"))
}

/// The members by the entry that was added, of a native recovery.
#[must_use]
pub fn members(paths: &Paths, config: &Config, epoch: u64, database: Database) -> PathBuf {
    let bundle = paths.volume_bundle(config, epoch);
    bundle.join(format!("{database}.cluster.yaml"))
}

/// Whether one of the two is there.
#[must_use]
pub fn is_whole(paths: &Paths, config: &Config, epoch: u64, database: Database) -> bool {
    let made = [tarball, members].map(|of| of(paths, config, epoch, database));
    made.iter().any(|path| path.exists())
}
