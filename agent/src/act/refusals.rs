//! What a step refuses when the world is not as the plan saw it, and that nothing was changed then;
//! and what its failure says of whom.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use two_node_ha_disk as disk;
use two_node_ha_dqlite::{EntryType, Position, Role, Server, encode_batch, encode_configuration};
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::record::Epoch;
use two_node_ha_planner::{Database, Step, Target};

use super::tests::{FOREIGN, NOTHING, Node, READ_ONLY, WRITABLE};
use super::{Actor, Error};
use crate::datastore::confirm::{self, Missing};
use crate::k8s;
use crate::peer::client;
use crate::systemd::{self, UnitState};

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
fn no_link_and_no_database_changes_beneath_a_service_that_writes_one_and_runs_or_is_on_its_way_up_or_down()
 {
    for state in [UnitState::Active, UnitState::Changing] {
        for service in ["k8sd", "k8s-dqlite"] {
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
    node.set("k8s-dqlite", UnitState::Failed);
    // They open nothing of the databases.
    node.set("kube-apiserver", UnitState::Active);
    node.set("kubelet", UnitState::Changing);
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

#[test]
fn where_the_logs_end_is_noted_in_a_complete_epoch_of_this_nodes_own_and_in_no_other() {
    let node = Node::new(WRITABLE);
    let raft = raft_directory(Database::K8sDqlite, &node.volume(Database::K8sDqlite));
    let voter = Server {
        id: 7_213_556_120_004_377_911,
        address: "10.0.0.1:9000".into(),
        role: Role::Voter,
    };
    let founding = encode_configuration(&[voter]);
    let mut segment = 1_u64.to_le_bytes().to_vec();
    segment.extend(encode_batch(&[(3, EntryType::Change, &founding)]));
    fs::write(raft.join("0000000000000001-0000000000000001"), segment).unwrap();

    let mut half = Epoch::first("hatwo").taken_over_by("haone");
    half.done(Database::K8sd);
    for epoch in [Epoch::first("hatwo"), half] {
        node.record(&epoch);
        let error = node.actor.note_confirmed().unwrap_err();
        assert!(error.to_string().contains("not this node's"), "{error}");
        assert_eq!(node.recorded(), epoch);
    }
    node.record(&Epoch::first("haone"));
    node.actor.note_confirmed().unwrap();
    let end = Position { term: 3, index: 1 };
    let confirmed = node.recorded().confirmed;
    // k8sd has no log here.
    assert_eq!(confirmed, BTreeMap::from([(Database::K8sDqlite, end)]));
}

#[test]
fn a_mount_point_that_cannot_be_made_is_an_error_that_names_it() {
    let mut node = Node::new(NOTHING);
    let point = node.actor.paths.mount_point(&node.actor.config);
    let parent = point.parent().unwrap();
    fs::remove_dir_all(parent).unwrap();
    fs::write(parent, "a file in the way").unwrap();
    let error = node.actor.take(&Step::ProtectMountPoint, &mut |_| {});
    let said = format!("creating the mount point {}", point.display());
    let error = error.unwrap_err();
    assert!(error.to_string().contains(&said), "{error}");
}

#[test]
fn only_a_step_that_gave_way_to_a_release_has_not_failed_and_only_the_peers_failures_are_the_peers()
{
    let io = || io::Error::from(io::ErrorKind::StorageFull);
    let not_confirmed = |missing| {
        let within = Duration::from_secs(1);
        Error::from(confirm::NotConfirmed { within, missing })
    };
    let host = || "10.0.0.2".to_owned();
    let unit = || "snap.k8s.kubelet.service".to_owned();
    let (call, path) = (String::new(), PathBuf::from("/var/lib"));
    let interrupted = two_node_ha_command::Error::Interrupted { call: call.clone() };
    let absent = two_node_ha_command::Error::NotInstalled { call };
    let within = Duration::from_secs(1);
    let (action, waited) = ("start", within);
    // What happened, whether it gave way, whether it is the peer's.
    for (error, gave_way, peers) in [
        (Error::Guard(String::new()), false, false),
        (Error::io("writing", &path)(io()), false, false),
        (Error::from(k8s::Error::from(interrupted)), true, false),
        (Error::from(k8s::Error::from(absent)), false, false),
        (
            Error::from(systemd::Error::Interrupted {
                action,
                unit: unit(),
            }),
            true,
            false,
        ),
        (
            Error::from(systemd::Error::Slow {
                action,
                unit: unit(),
                waited,
            }),
            false,
            false,
        ),
        (
            Error::from(disk::Error::Interrupted { path: path.clone() }),
            true,
            false,
        ),
        (not_confirmed(Missing::Role), true, false),
        (
            not_confirmed(Missing::Elsewhere(Database::K8sd)),
            false,
            false,
        ),
        (
            Error::from(client::Error::Interrupted { host: host() }),
            true,
            true,
        ),
        (
            Error::from(client::Error::Slow {
                host: host(),
                within,
            }),
            false,
            true,
        ),
        (
            Error::from(client::Error::Store { path, source: io() }),
            false,
            false,
        ),
        (
            Error::Refused {
                peer: "hatwo".into(),
                reason: String::new(),
            },
            false,
            true,
        ),
        (Error::Unfit(String::new()), false, true),
    ] {
        assert_eq!(error.is_interruption(), gave_way, "{error:?}");
        assert_eq!(error.is_of_the_peer(), peers, "{error:?}");
    }
}
