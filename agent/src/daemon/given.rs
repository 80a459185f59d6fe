//! What a peer is given of this node's files, and when not.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use two_node_ha_planner::report::Report;
use two_node_ha_planner::{Database, State, world};
use two_node_ha_protocol::control::Status;

use super::Event;
use super::shared::Shared;
use two_node_ha_node::Paths;

/// hatwo's report, said by haone.
pub(super) fn report(state: State, epoch: u64) -> Report {
    Report {
        node: "haone".into(),
        logs: BTreeMap::new(),
        ..world::report(state, epoch)
    }
}

/// haone, which has the bundles of these epochs on the volume; nobody hears its events.
fn node(bundles: &[u64]) -> (Shared, tempfile::TempDir) {
    node_that_tells(channel().0, bundles)
}

/// The same, whose events are heard at the other end.
pub(super) fn node_that_tells(
    events: Sender<Event>,
    bundles: &[u64],
) -> (Shared, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = Arc::new(world::config());
    let node = config.this_node().unwrap().clone();
    let paths = Paths::rooted(dir.path().to_path_buf());
    for epoch in bundles {
        let directory = paths.volume_bundle(&config, *epoch);
        fs::create_dir_all(&directory).unwrap();
        for database in Database::ALL {
            fs::write(directory.join(format!("{database}.tar.gz")), "bundle").unwrap();
        }
    }
    for database in Database::ALL {
        let spare = two_node_ha_node::database::raft_directory(database, &paths.spare(database));
        fs::create_dir_all(&spare).unwrap();
        for name in ["metadata1", "open-1", "dqlite-lock", "info.yaml"] {
            fs::write(spare.join(name), "").unwrap();
        }
    }
    fs::create_dir_all(paths.run()).unwrap();
    (Shared::new(config, paths, node, events), dir)
}

/// haone's agent publishes this report.
pub(super) fn says(shared: &Shared, report: Report) {
    let o = world::booted();
    let decision = world::decide(&o);
    let status = Status {
        format: 1,
        node: o.node.clone(),
        peer: o.peer.clone(),
        state: report.state,
        settled: true,
        reasons: Vec::new(),
        warnings: Vec::new(),
        remedy: None,
        doing: None,
        epoch: report.epoch,
        owner: None,
        drbd: o.drbd.clone(),
        mount: o.mount.clone(),
        request: o.request,
        services: o.services,
        peer_state: String::new(),
    };
    shared.publish(status, (o, decision), report);
}

fn names(files: Result<Vec<(Database, String, std::path::PathBuf)>, String>) -> Vec<String> {
    files
        .unwrap()
        .into_iter()
        .map(|(_, name, _)| name)
        .collect()
}

#[test]
fn a_bundle_is_given_only_by_the_voter_of_that_very_epoch() {
    let (shared, _dir) = node(&[1, 2, 3]);
    assert!(shared.bundle(2).is_err(), "nothing is known yet");
    says(&shared, report(State::PrimaryRunning, 2));
    assert_eq!(
        names(shared.bundle(2)),
        ["k8sd.tar.gz", "k8s-dqlite.tar.gz"]
    );
    for other in [1, 3] {
        let why = shared.bundle(other).unwrap_err();
        assert!(
            why.contains(&format!("not the voter of epoch {other}")),
            "{why}"
        );
    }
    for state in [State::Recovering, State::SecondaryRunning, State::Draining] {
        says(&shared, report(state, 2));
        let why = shared.bundle(2).unwrap_err();
        assert!(why.contains("not the voter of epoch 2"), "{state}: {why}");
    }
    says(&shared, report(State::PrimaryRunning, 2));
    shared.retract_voter();
    assert!(shared.bundle(2).is_err(), "it may be the voter no more");
}

#[test]
fn without_a_tarball_a_spare_is_given_the_members_the_trust_store_and_the_certificate_of_now() {
    let (shared, _dir) = node(&[]);
    says(&shared, report(State::PrimaryRunning, 1));
    let why = shared.bundle(1).unwrap_err();
    assert!(why.starts_with("there is no /"), "{why}");
    assert!(why.ends_with("/k8sd/database/cluster.yaml"), "{why}");
    for database in Database::ALL {
        let volume = shared.paths.on_volume(&shared.config, database);
        let raft = two_node_ha_node::database::raft_directory(database, &volume);
        fs::create_dir_all(&raft).unwrap();
        // raft's files, and what else is the voter's own, stay.
        for name in [
            "cluster.yaml",
            "info.yaml",
            "open-1",
            "metadata1",
            "recovery.yaml",
        ] {
            fs::write(raft.join(name), "").unwrap();
        }
        fs::write(volume.join("cluster.crt"), "").unwrap();
    }
    let k8sd = shared.paths.on_volume(&shared.config, Database::K8sd);
    fs::create_dir_all(k8sd.join("truststore/older")).unwrap();
    for name in ["haone.yaml", "hatwo.yaml", "notes.txt"] {
        fs::write(k8sd.join("truststore").join(name), "").unwrap();
    }
    assert_eq!(
        names(shared.bundle(1)),
        [
            "k8sd.cluster.yaml",
            "k8sd.truststore.haone.yaml",
            "k8sd.truststore.hatwo.yaml",
            "k8sd.cluster.crt",
            "k8s-dqlite.cluster.yaml",
            "k8s-dqlite.cluster.crt",
        ]
    );
}

#[test]
fn rafts_files_are_given_only_by_a_node_that_is_no_voter_and_whose_databases_are_stopped() {
    let (shared, _dir) = node(&[]);
    assert!(shared.log(Database::K8sd).is_err(), "nothing is known yet");
    let waits = report(State::SecondaryWait, 2);
    says(&shared, waits.clone());
    assert_eq!(names(shared.log(Database::K8sd)), ["metadata1", "open-1"]);
    for (voter, wants_voter) in [(true, false), (false, true)] {
        says(
            &shared,
            Report {
                voter,
                wants_voter,
                ..waits.clone()
            },
        );
        let why = shared.log(Database::K8sd).unwrap_err();
        assert!(why.contains("itself"), "{why}");
    }
    says(
        &shared,
        Report {
            datastore_running: true,
            ..waits.clone()
        },
    );
    let why = shared.log(Database::K8sd).unwrap_err();
    assert!(why.contains("is not stopped"), "{why}");
    says(&shared, waits);
    fs::write(shared.paths.token(), "").unwrap();
    let why = shared.log(Database::K8sd).unwrap_err();
    assert!(why.contains("is not stopped"), "it may start: {why}");
}

#[test]
fn a_log_may_be_fetched_at_once_when_its_database_has_been_stopped_for_it() {
    let (shared, _dir) = node(&[]);
    let running = Report {
        datastore_running: true,
        ..report(State::SecondaryWait, 2)
    };
    says(&shared, running);
    shared.log(Database::K8sd).unwrap_err();
    // Before the next turn says so.
    shared.databases_stopped();
    assert_eq!(names(shared.log(Database::K8sd)), ["metadata1", "open-1"]);
}

#[test]
fn a_member_that_never_had_a_log_gives_none_and_one_whose_log_cannot_be_read_says_so() {
    let (shared, _dir) = node(&[]);
    says(&shared, report(State::SecondaryWait, 2));
    let spare = shared.paths.spare(Database::K8sd);
    let raft = two_node_ha_node::database::raft_directory(Database::K8sd, &spare);
    fs::remove_dir_all(&raft).unwrap();
    assert_eq!(shared.log(Database::K8sd), Ok(Vec::new()));
    fs::write(&raft, "no directory").unwrap();
    let why = shared.log(Database::K8sd).unwrap_err();
    assert!(
        why.starts_with(&format!("reading {}: ", raft.display())),
        "{why}"
    );
}
