//! The paths.
//!
//! All are taken below a root, `/` except in tests, so that whatever touches the disk can be run
//! against a scratch tree.

use std::path::{Path, PathBuf};

use two_node_ha_config::Config;
use two_node_ha_planner::Database;

/// Environment variable that roots everything elsewhere, for tests.
pub const ROOT_VARIABLE: &str = "TWO_NODE_HA_ROOT";

/// What this node remembers: identity, highest epoch, step in progress.
pub const JOURNAL: &str = "/var/lib/two-node-ha/journal.json";

/// Event files from the hooks.
pub const EVENTS: &str = "/var/lib/two-node-ha/events";

/// The evidence of split brains.
pub const EVIDENCE: &str = "/var/lib/two-node-ha/evidence";

/// What lasts until the next boot.
pub const RUN: &str = "/run/two-node-ha";

/// The token that every gated service of the snap is conditioned on.
pub const TOKEN: &str = "/run/two-node-ha/k8s.allowed";

/// How the directories of fetched logs begin; a node's name follows.
pub const PEER_LOG: &str = "peer-log-";

/// Where things are on this node.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Below `$TWO_NODE_HA_ROOT`, or `/`.
    #[must_use]
    pub fn from_env() -> Self {
        Self::rooted(std::env::var_os(ROOT_VARIABLE).map_or_else(|| "/".into(), PathBuf::from))
    }

    /// Below `root`.
    #[must_use]
    pub fn rooted(root: PathBuf) -> Self {
        Self { root }
    }

    /// `path`, an absolute path of the node, below the root.
    #[must_use]
    pub fn at(&self, path: &Path) -> PathBuf {
        if self.root == Path::new("/") {
            return path.to_path_buf();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Below which everything is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `/etc/two-node-ha.toml`
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.at(Path::new(two_node_ha_config::PATH))
    }

    /// `/var/lib/two-node-ha`: what this node keeps across boots. 0700: it holds certificates.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.at(Path::new(two_node_ha_config::STATE))
    }

    /// The configuration that was accepted last.
    #[must_use]
    pub fn accepted(&self) -> PathBuf {
        self.at(Path::new(two_node_ha_config::ACCEPTED))
    }

    /// [`JOURNAL`]
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.at(Path::new(JOURNAL))
    }

    /// Below which this node's own directories of the databases are.
    #[must_use]
    pub fn spares(&self) -> PathBuf {
        self.state().join("spare")
    }

    /// This node's own directory for one database, used while it is the spare.
    #[must_use]
    pub fn spare(&self, database: Database) -> PathBuf {
        self.spares().join(database.name())
    }

    /// This node's identity of one database, noted apart from its spare directory.
    #[must_use]
    pub fn identity(&self, database: Database) -> PathBuf {
        self.state().join("identity").join(database.name())
    }

    /// Where replaced directories go instead of being deleted.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.state().join("quarantine")
    }

    /// Where a bundle from the voter is received and unpacked.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.state().join("bundle")
    }

    /// [`EVENTS`]
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.at(Path::new(EVENTS))
    }

    /// [`EVIDENCE`]
    #[must_use]
    pub fn evidence(&self) -> PathBuf {
        self.at(Path::new(EVIDENCE))
    }

    /// The resolution of a split brain that is under way.
    #[must_use]
    pub fn resolution(&self) -> PathBuf {
        self.state().join("split-brain.json")
    }

    /// The ssh identity towards the peer, and the peer's pinned host keys.
    #[must_use]
    pub fn peer_keys(&self) -> PathBuf {
        self.state().join("peer")
    }

    /// [`RUN`]
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.at(Path::new(RUN))
    }

    /// [`TOKEN`]
    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.at(Path::new(TOKEN))
    }

    /// Locked while the failover unit's process holds the voter's role, which says its number in it.
    #[must_use]
    pub fn holder(&self) -> PathBuf {
        self.run().join("holder")
    }

    /// Locked while an agent runs, which says its number in it.
    #[must_use]
    pub fn agent_lock(&self) -> PathBuf {
        self.run().join("agent.lock")
    }

    /// There while DRBD is disconnected by the agent itself, which connects it again at once. Below
    /// `/run`, so that it ends with the boot, as a connection's state does.
    #[must_use]
    pub fn own_disconnect(&self) -> PathBuf {
        self.run().join("drbd.disconnected")
    }

    /// What a look through a database on the volume has found and could not mend.
    #[must_use]
    pub fn found_damaged(&self, database: Database) -> PathBuf {
        self.run().join(format!("{database}.damaged"))
    }

    /// The agent's socket for root on this node.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.run().join("agent.sock")
    }

    /// The agent's socket for the peer's forced command.
    #[must_use]
    pub fn peer_socket(&self) -> PathBuf {
        self.run().join("peer.sock")
    }

    /// Where Pacemaker mounts the volume.
    #[must_use]
    pub fn mount_point(&self, config: &Config) -> PathBuf {
        self.at(&config.volume.mount_point)
    }

    /// A database's directory on the volume.
    #[must_use]
    pub fn on_volume(&self, config: &Config, database: Database) -> PathBuf {
        self.mount_point(config).join(database.name())
    }

    /// The record of who owns the volume's databases.
    #[must_use]
    pub fn epoch(&self, config: &Config) -> PathBuf {
        self.mount_point(config).join("epoch.json")
    }

    /// This project's private directory on the volume: staging and bundles.
    #[must_use]
    pub fn private_on_volume(&self, config: &Config) -> PathBuf {
        self.mount_point(config).join(".two-node-ha")
    }

    /// The bundle that the peer fetches to become the spare of `epoch`.
    #[must_use]
    pub fn volume_bundle(&self, config: &Config, epoch: u64) -> PathBuf {
        self.private_on_volume(config)
            .join(format!("bundle-{epoch}"))
    }

    /// The log of a database as `peer` had it when its databases stopped for this node, which is about
    /// to be the voter.
    #[must_use]
    pub fn peer_log(&self, config: &Config, peer: &str, database: Database) -> PathBuf {
        let directory = self
            .private_on_volume(config)
            .join(format!("{PEER_LOG}{peer}"));
        directory.join(database.name())
    }

    /// Where the snap expects a database: a real directory on the first day, a link afterwards.
    #[must_use]
    pub fn state_directory(&self, config: &Config, database: Database) -> PathBuf {
        self.at(match database {
            Database::K8sDqlite => &config.k8s.k8s_dqlite_dir,
            Database::K8sd => &config.k8s.k8sd_dir,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_and_what_ends_with_the_boot_are_each_below_one_directory() {
        let paths = Paths::rooted("/root".into());
        for path in [
            paths.journal(),
            paths.events(),
            paths.evidence(),
            paths.accepted(),
        ] {
            assert_eq!(path.parent(), Some(&*paths.state()), "{}", path.display());
        }
        assert_eq!(paths.token().parent(), Some(&*paths.run()));
        assert_eq!(paths.run(), Path::new("/root/run/two-node-ha"));
    }

    #[test]
    fn a_path_that_is_not_below_the_machines_root_stays_below_the_tests() {
        let paths = Paths::rooted("/root".into());
        assert_eq!(paths.at(Path::new("/mnt/a")), Path::new("/root/mnt/a"));
        assert_eq!(paths.at(Path::new("mnt/a")), Path::new("/root/mnt/a"));
        let machine = Paths::rooted("/".into());
        assert_eq!(machine.at(Path::new("/mnt/a")), Path::new("/mnt/a"));
    }
}
