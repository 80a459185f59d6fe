//! What a step refuses when the world is not as the plan saw it, and that nothing was changed then.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use two_node_ha_command::Interrupt;
use two_node_ha_command::scripted::Scripted;
use two_node_ha_dqlite::{NodeInfo, Role, write_cluster, write_info};
use two_node_ha_planner::record::{Epoch, Journal};
use two_node_ha_planner::{Database, Step, Target};

use super::tests::config;
use super::{Actor, Error};
use crate::datastore::Datastore;
use crate::peer::client;
use crate::peer::client::Peer;
use crate::store::Record;
use crate::systemd::UnitState;
use crate::systemd_as_told::AsTold;
use two_node_ha_node::Paths;

const WRITABLE: &str = "40 21 147:0 / /mnt/drbd0 rw,relatime - ext4 /dev/drbd0 rw\n";
const READ_ONLY: &str = "40 21 147:0 / /mnt/drbd0 ro,relatime - ext4 /dev/drbd0 rw\n";
const FOREIGN: &str = "40 21 0:42 / /mnt/drbd0 rw,relatime - tmpfs tmpfs rw\n";
const NOTHING: &str = "";

/// Neither the peer nor the datastore is asked anything.
#[derive(Debug)]
struct Nobody;

impl Peer for Nobody {
    fn ask(
        &self,
        _: &super::Request,
        _: Duration,
    ) -> Result<two_node_ha_protocol::peer::Response, client::Error> {
        panic!("nobody asked for it")
    }

    fn fetch(
        &self,
        _: &super::Request,
        _: &Path,
        _: Duration,
    ) -> Result<two_node_ha_protocol::peer::Response, client::Error> {
        panic!("nobody asked for it")
    }
}

impl Datastore for Nobody {
    fn read(&self, _: Duration) -> Result<(), String> {
        panic!("nobody asked for it")
    }

    fn k8sd(&self, _: Duration) -> Result<(), String> {
        panic!("nobody asked for it")
    }

    fn sole_voter(&self, _: Database) -> Result<bool, String> {
        panic!("nobody asked for it")
    }

    fn api(&self, _: Duration) -> Result<(), String> {
        panic!("nobody asked for it")
    }
}

struct Node {
    actor: Actor,
    systemd: AsTold,
    _dir: tempfile::TempDir,
}

impl Node {
    /// haone, whose links lead to its spare directories, with these mounts.
    fn new(mounts: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::rooted(dir.path().to_path_buf());
        let config = Arc::new(config());
        let systemd = AsTold::default();
        let actor = Actor {
            node: config.this_node().unwrap().clone(),
            peer: config.peer_node().unwrap().clone(),
            config,
            paths,
            systemd: Box::new(systemd.clone()),
            runner: Box::new(Scripted::new()),
            client: Box::new(Nobody),
            datastore: Box::new(Nobody),
            journal: Journal::new("haone"),
            interrupt: Interrupt::default(),
        };
        let node = Self {
            actor,
            systemd,
            _dir: dir,
        };
        for path in [
            node.actor.paths.run(),
            node.actor.paths.mount_point(&node.actor.config),
        ] {
            fs::create_dir_all(path).unwrap();
        }
        for database in Database::ALL {
            for directory in [
                node.actor.paths.spare(database),
                node.actor.paths.on_volume(&node.actor.config, database),
            ] {
                let raft = two_node_ha_node::database::raft_directory(database, &directory);
                fs::create_dir_all(&raft).unwrap();
                let member = NodeInfo {
                    id: 7_213_556_120_004_377_911,
                    address: "10.0.0.1:9000".into(),
                    role: Role::Spare,
                };
                write_info(&raft, &member).unwrap();
                write_cluster(&raft, &[member]).unwrap();
                // raft's own, of a database that has been started: format, version, term and vote.
                let metadata = [1_u64, 1, 1, 0].map(u64::to_le_bytes).concat();
                fs::write(raft.join("metadata1"), metadata).unwrap();
            }
            node.lead(database, Target::Spare);
        }
        node.mounted(mounts);
        node
    }

    fn mounted(&self, mounts: &str) {
        let list = self.actor.paths.at(Path::new("/proc/self/mountinfo"));
        fs::create_dir_all(list.parent().unwrap()).unwrap();
        fs::write(list, mounts).unwrap();
    }

    fn lead(&self, database: Database, to: Target) {
        let Actor { paths, config, .. } = &self.actor;
        let link = paths.state_directory(config, database);
        let directory = match to {
            Target::Volume => paths.on_volume(config, database),
            Target::Spare => paths.spare(database),
        };
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(directory, link).unwrap();
    }

    fn lead_all(&self, to: Target) {
        for database in Database::ALL {
            self.lead(database, to);
        }
    }

    fn record(&self, epoch: &Epoch) {
        epoch
            .write(&self.actor.paths.epoch(&self.actor.config))
            .unwrap();
    }

    fn give_token(&self) {
        fs::write(self.actor.paths.token(), "").unwrap();
    }

    fn set(&self, service: &str, state: UnitState) {
        let unit = self.actor.config.k8s.unit(service);
        self.systemd.states.borrow_mut().insert(unit, state);
    }

    /// Why the step is refused by its guard; what is on the disk, the journal aside, is as it was.
    fn refused(&mut self, step: &Step) -> String {
        let before = self.files();
        let error = self.actor.take(step, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Guard(_)), "{step:?}: {error}");
        assert_eq!(self.files(), before, "{step:?} has changed something");
        assert!(self.systemd.started.borrow().is_empty(), "{step:?}");
        error.to_string()
    }

    /// Every file and link below the root but the journal.
    fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut left = vec![self.actor.paths.root().to_path_buf()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                if meta.is_dir() {
                    left.push(path);
                } else if path != self.actor.paths.journal() {
                    let to = fs::read_link(&path).ok();
                    all.push(format!("{} {to:?}", path.display()));
                }
            }
        }
        all.sort();
        all
    }
}

const EACH_THAT_NEEDS_STOPPED_SERVICES: [Step; 4] = [
    Step::Flip(Database::K8sd, Target::Volume),
    Step::Flip(Database::K8sd, Target::Spare),
    Step::RenewEpoch(2),
    Step::Recover(Database::K8sd),
];

#[test]
fn no_link_and_no_database_changes_while_the_services_are_still_allowed_to_start() {
    let mut node = Node::new(WRITABLE);
    node.record(&Epoch::first("haone"));
    node.lead_all(Target::Volume);
    node.give_token();
    for step in EACH_THAT_NEEDS_STOPPED_SERVICES {
        let why = node.refused(&step);
        assert!(why.contains("still allowed to start"), "{step:?}: {why}");
    }
}

#[test]
fn no_link_and_no_database_changes_beneath_a_service_that_runs_or_is_on_its_way_up_or_down() {
    for state in [UnitState::Active, UnitState::Changing] {
        for service in ["k8sd", "k8s-dqlite", "kubelet"] {
            let mut node = Node::new(WRITABLE);
            node.record(&Epoch::first("haone"));
            node.lead_all(Target::Volume);
            node.set(service, state);
            for step in EACH_THAT_NEEDS_STOPPED_SERVICES {
                let why = node.refused(&step);
                assert!(why.contains("still runs"), "{step:?} {service}: {why}");
            }
        }
    }
    let node = Node::new(WRITABLE);
    node.set("k8sd", UnitState::NotThere);
    assert!(node.actor.services_stopped().is_ok());
}

#[test]
fn nothing_is_written_to_a_volume_that_is_read_only_or_not_mounted_or_another() {
    for mounts in [READ_ONLY, FOREIGN, NOTHING] {
        let mut node = Node::new(mounts);
        node.record(&Epoch::first("hatwo"));
        for step in [
            Step::BeginEpoch,
            Step::RenewEpoch(2),
            Step::Recover(Database::K8sd),
            Step::Flip(Database::K8sDqlite, Target::Volume),
        ] {
            let why = node.refused(&step);
            assert!(why.contains("not mounted read-write"), "{step:?}: {why}");
        }
    }
}

#[test]
fn the_mount_point_is_made_immutable_only_while_nothing_at_all_is_mounted_on_it() {
    for mounts in [WRITABLE, READ_ONLY, FOREIGN] {
        let why = Node::new(mounts).refused(&Step::ProtectMountPoint);
        assert!(why.contains("something is mounted"), "{why}");
    }
    assert!(Node::new(NOTHING).actor.nothing_mounted().is_ok());
}

#[test]
fn a_database_is_recovered_only_through_a_link_that_leads_onto_the_volume() {
    let mut node = Node::new(WRITABLE);
    node.record(&Epoch::first("hatwo").taken_over_by("haone"));
    for database in Database::ALL {
        let why = node.refused(&Step::Recover(database));
        assert!(why.contains("does not lead onto the volume"), "{why}");
    }
}

#[test]
fn a_database_is_recovered_only_in_an_epoch_of_this_nodes_own() {
    let mut node = Node::new(WRITABLE);
    node.lead_all(Target::Volume);
    for epoch in [
        Epoch::first("hatwo"),
        Epoch::first("haone").taken_over_by("hatwo"),
    ] {
        node.record(&epoch);
        for database in Database::ALL {
            let why = node.refused(&Step::Recover(database));
            assert!(why.contains("the epoch belongs to hatwo"), "{why}");
        }
    }
}

#[test]
fn the_next_epoch_follows_on_this_nodes_own_and_on_no_other() {
    let mut node = Node::new(WRITABLE);
    node.record(&Epoch::first("hatwo"));
    let why = node.refused(&Step::RenewEpoch(2));
    assert!(why.contains("of hatwo, which 2 does not follow"), "{why}");
    node.record(&Epoch::first("haone"));
    let why = node.refused(&Step::RenewEpoch(3));
    assert!(why.contains("which 3 does not follow"), "{why}");
    fs::write(node.actor.paths.epoch(&node.actor.config), "{").unwrap();
    for step in [Step::RenewEpoch(2), Step::BeginEpoch] {
        let why = node.refused(&step);
        assert!(why.contains("cannot be read"), "{why}");
    }
}

#[test]
fn a_spare_is_not_started_while_the_volume_is_mounted_here() {
    let mut node = Node::new(WRITABLE);
    let why = node.refused(&Step::StartServices);
    assert!(why.contains("while the volume is mounted here"), "{why}");
    assert!(!node.actor.paths.token().exists());
    node.mounted(NOTHING);
    node.actor.take(&Step::StartServices, &mut |_| {}).unwrap();
    assert!(node.actor.paths.token().exists());
    assert!(!node.systemd.started.borrow().is_empty());
}

#[test]
fn a_voter_is_not_started_before_both_databases_are_this_nodes_own() {
    let mut half = Epoch::first("hatwo").taken_over_by("haone");
    half.done(Database::K8sd);
    let mut node = Node::new(WRITABLE);
    node.lead_all(Target::Volume);
    for epoch in [Epoch::first("hatwo"), half] {
        node.record(&epoch);
        let why = node.refused(&Step::StartServices);
        assert!(why.contains("not all this node's yet"), "{why}");
        assert!(!node.actor.paths.token().exists());
    }
    node.record(&Epoch::first("haone"));
    node.actor.take(&Step::StartServices, &mut |_| {}).unwrap();
    assert!(node.actor.paths.token().exists());
}

#[test]
fn a_voter_is_not_started_on_a_volume_that_is_not_mounted_for_writing() {
    for mounts in [READ_ONLY, FOREIGN, NOTHING] {
        let mut node = Node::new(mounts);
        node.record(&Epoch::first("haone"));
        node.lead_all(Target::Volume);
        let why = node.refused(&Step::StartServices);
        assert!(why.contains("not mounted read-write"), "{why}");
    }
}

#[test]
fn nothing_is_started_where_a_state_directory_is_no_link_of_ours_or_leads_to_no_database() {
    let mut node = Node::new(NOTHING);
    let Actor { paths, config, .. } = &node.actor;
    let link = paths.state_directory(config, Database::K8sd);
    fs::remove_file(&link).unwrap();
    let why = node.refused(&Step::StartServices);
    assert!(why.contains("not a link of ours"), "{why}");
    fs::create_dir(&link).unwrap();
    let why = node.refused(&Step::StartServices);
    assert!(why.contains("not a link of ours"), "{why}");

    let mut node = Node::new(NOTHING);
    fs::remove_dir_all(node.actor.paths.spare(Database::K8sd)).unwrap();
    let why = node.refused(&Step::StartServices);
    assert!(why.contains("there is no database of k8sd"), "{why}");
}
