//! Under which addresses the peer's databases are dialled from this node.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use two_node_ha_config::{Config, Node};
use two_node_ha_dqlite::{NodeInfo, read_cluster, read_info};
use two_node_ha_node::Paths;
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;

/// The peer's address of each database. What is dialled is what `cluster.yaml` says: of its members, the
/// one that is not this node. Where that cannot be told, it is the peer's address and the port by the
/// configuration.
///
/// Only this node's own disk is read. The volume may stand still at this very moment, for the peer is
/// dead, and whoever reads it stands still with it; and in the middle of a takeover the identity on it is
/// the peer's, so that "not this node" would mean this one.
pub fn dialled(config: &Config, paths: &Paths, node: &Node, peer: &Node) -> BTreeSet<SocketAddr> {
    let by = |database: Database| {
        of_peer(&members(paths, database), &own(paths, database, node), peer).unwrap_or_else(|| {
            let port = match database {
                Database::K8sd => config.k8s.k8sd_port,
                Database::K8sDqlite => config.k8s.k8s_dqlite_port,
            };
            SocketAddr::new(peer.address, port)
        })
    };
    Database::ALL.into_iter().map(by).collect()
}

/// The members of a database, as far as their addresses are numbers.
fn members(paths: &Paths, database: Database) -> Vec<SocketAddr> {
    let directory = raft_directory(database, &paths.spare(database));
    let read = read_cluster(&directory).ok().flatten();
    let members = read.unwrap_or_default();
    members.iter().filter_map(number).collect()
}

fn number(member: &NodeInfo) -> Option<SocketAddr> {
    let (host, port) = member.host_port()?;
    Some(SocketAddr::new(host.parse().ok()?, port))
}

/// Every address that is known to be this node's.
fn own(paths: &Paths, database: Database, node: &Node) -> BTreeSet<IpAddr> {
    let identities = [
        raft_directory(database, &paths.spare(database)),
        paths.identity(database),
    ];
    let noted = identities.iter().filter_map(|directory| {
        let info = read_info(directory).ok().flatten()?;
        Some(number(&info)?.ip())
    });
    [node.address, node.drbd_address]
        .into_iter()
        .chain(node.corosync_addresses.iter().copied())
        .chain(noted)
        .collect()
}

/// The one member that is not this node, if that is certain: this node is among them, or the other has the
/// peer's address.
fn of_peer(members: &[SocketAddr], own: &BTreeSet<IpAddr>, peer: &Node) -> Option<SocketAddr> {
    let (mine, others): (Vec<_>, Vec<SocketAddr>) = members
        .iter()
        .copied()
        .partition(|address| own.contains(&address.ip()));
    match others[..] {
        [other] if !mine.is_empty() || other.ip() == peer.address => Some(other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use two_node_ha_dqlite::{Role, write_cluster, write_info};
    use two_node_ha_planner::world::config;

    struct Here {
        paths: Paths,
        _root: tempfile::TempDir,
    }

    impl Here {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let paths = Paths::rooted(root.path().into());
            for database in Database::ALL {
                fs::create_dir_all(raft_directory(database, &paths.spare(database))).unwrap();
                fs::create_dir_all(paths.identity(database)).unwrap();
            }
            Self { paths, _root: root }
        }

        fn members(&self, database: Database, addresses: &[&str]) {
            let members: Vec<_> = addresses.iter().map(|address| info(address)).collect();
            let directory = raft_directory(database, &self.paths.spare(database));
            write_cluster(&directory, &members).unwrap();
        }

        fn dialled(&self) -> Vec<String> {
            let config = config();
            let (node, peer) = (config.this_node().unwrap(), config.peer_node().unwrap());
            let all = dialled(&config, &self.paths, node, peer);
            all.iter().map(ToString::to_string).collect()
        }
    }

    fn info(address: &str) -> NodeInfo {
        NodeInfo {
            id: 7,
            address: address.into(),
            role: Role::Voter,
        }
    }

    #[test]
    fn it_is_what_cluster_yaml_says_of_the_member_that_is_not_this_node() {
        let here = Here::new();
        here.members(Database::K8sd, &["10.0.0.1:6400", "10.0.0.2:6499"]);
        here.members(Database::K8sDqlite, &["10.7.0.2:9001", "10.0.0.1:9001"]);
        assert_eq!(here.dialled(), ["10.0.0.2:6499", "10.7.0.2:9001"]);
        here.members(Database::K8sd, &["[fd00::2]:6400", "10.0.0.1:6400"]);
        assert_eq!(here.dialled(), ["10.7.0.2:9001", "[fd00::2]:6400"]);
    }

    #[test]
    fn a_node_whose_databases_have_an_address_of_their_own_knows_itself_by_its_noted_identity() {
        let here = Here::new();
        let both = ["10.7.0.1:9000", "10.7.0.2:9000"];
        here.members(Database::K8sDqlite, &both);
        assert_eq!(here.dialled(), ["10.0.0.2:6400", "10.0.0.2:9000"]);
        let spare = here.paths.spare(Database::K8sDqlite);
        for directory in [here.paths.identity(Database::K8sDqlite), spare] {
            write_info(&directory, &info(both[0])).unwrap();
            assert_eq!(here.dialled(), ["10.0.0.2:6400", "10.7.0.2:9000"]);
            fs::remove_file(directory.join("info.yaml")).unwrap();
        }
    }

    #[test]
    fn where_it_cannot_be_told_it_is_by_the_configuration_and_never_this_nodes_own_address() {
        let by_configuration = ["10.0.0.2:6400", "10.0.0.2:9000"];
        let here = Here::new();
        assert_eq!(here.dialled(), by_configuration);
        for members in [
            &["10.0.0.1:9001"][..],
            &["10.7.0.1:9001"],
            &["hatwo.lan:9001", "10.0.0.1:9001"],
            &["10.0.0.1:9001", "10.0.0.2:9001", "10.0.0.3:9001"],
        ] {
            here.members(Database::K8sDqlite, members);
            assert_eq!(here.dialled(), by_configuration, "{members:?}");
        }
        let directory = raft_directory(Database::K8sDqlite, &here.paths.spare(Database::K8sDqlite));
        fs::write(directory.join("cluster.yaml"), "- Address: 10.0.").unwrap();
        assert_eq!(here.dialled(), by_configuration);
    }
}
