//! State directories as they are met.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use two_node_ha_dqlite::{
    BOOTSTRAP_ID, Directory, InspectError, NodeInfo, Role, Trap, identity_trap, inspect,
    write_cluster, write_info,
};

fn node(id: u64) -> NodeInfo {
    NodeInfo {
        id,
        address: "10.0.0.1:9000".to_owned(),
        role: Role::Voter,
    }
}

fn metadata(version: u64, term: u64) -> Vec<u8> {
    [1, version, term, 0]
        .iter()
        .flat_map(|word: &u64| word.to_le_bytes())
        .collect()
}

/// A directory as dqlite leaves it.
fn live(id: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_info(dir.path(), &node(id)).unwrap();
    write_cluster(dir.path(), &[node(id)]).unwrap();
    put(dir.path(), "metadata1", &metadata(3, 2));
    put(dir.path(), "metadata2", &metadata(2, 1));
    for name in [
        "0000000000000001-0000000000000120",
        "0000000000000121-0000000000000300",
        "open-1",
        "open-2",
        "open-3",
        "snapshot-1-250-901",
        "snapshot-1-250-901.meta",
        "snapshot-2-300-955.meta",
        "cluster.crt",
        "corrupt-open-1",
        "dqlite-lock",
    ] {
        put(dir.path(), name, b"x");
    }
    put(dir.path(), "snapshot-2-300-955", b"");
    dir
}

fn put(dir: &Path, name: &str, content: &[u8]) {
    fs::write(dir.join(name), content).unwrap();
}

fn trap_of(dir: &TempDir) -> Option<Trap> {
    identity_trap(&inspect(dir.path()).unwrap())
}

#[test]
fn a_live_directory_is_counted_and_is_no_trap() {
    let dir = live(BOOTSTRAP_ID);
    let found = inspect(dir.path()).unwrap();
    assert_eq!(
        found,
        Directory {
            info: Some(node(BOOTSTRAP_ID)),
            cluster: Some(vec![node(BOOTSTRAP_ID)]),
            join: false,
            metadata: [true, true],
            snapshots: 1,
            segments: 2,
            open_segments: 3,
            other: ["cluster.crt", "corrupt-open-1", "dqlite-lock"]
                .map(str::to_owned)
                .to_vec(),
        }
    );
    assert!(found.has_raft_state() && found.has_data());
    assert_eq!(identity_trap(&found), None);
}

#[test]
fn a_founder_on_an_empty_directory_is_a_trap() {
    for id in [BOOTSTRAP_ID, 1] {
        let dir = tempfile::tempdir().unwrap();
        write_info(dir.path(), &node(id)).unwrap();
        assert_eq!(trap_of(&dir), Some(Trap::EmptyBootstrap { id }));
        write_cluster(dir.path(), &[node(id)]).unwrap();
        assert_eq!(trap_of(&dir), Some(Trap::EmptyBootstrap { id }));
        put(dir.path(), "metadata1", &metadata(1, 0));
        put(dir.path(), "metadata2", &metadata(2, 7)[..31]);
        assert_eq!(trap_of(&dir), Some(Trap::EmptyBootstrap { id }));
        put(dir.path(), "0000000000000001-0000000000000120", b"x");
        assert_eq!(trap_of(&dir), Some(Trap::EmptyBootstrap { id }));
        put(dir.path(), "metadata2", &metadata(2, 7));
        assert_eq!(trap_of(&dir), None);
    }
}

#[test]
fn a_joiner_on_an_empty_directory_waits_and_is_no_trap() {
    let dir = tempfile::tempdir().unwrap();
    write_info(dir.path(), &node(42)).unwrap();
    write_cluster(dir.path(), &[node(0)]).unwrap();
    assert_eq!(trap_of(&dir), None);
    put(dir.path(), "join", b"");
    assert!(inspect(dir.path()).unwrap().join);
    assert_eq!(trap_of(&dir), None);
}

#[test]
fn half_an_identity_and_none_are_traps() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(trap_of(&dir), Some(Trap::NoIdentity));
    write_cluster(dir.path(), &[node(42)]).unwrap();
    assert_eq!(trap_of(&dir), Some(Trap::NoInfo));
    let dir = tempfile::tempdir().unwrap();
    write_info(dir.path(), &node(42)).unwrap();
    assert_eq!(trap_of(&dir), Some(Trap::NoCluster));
}

#[test]
fn a_leftover_join_is_a_trap() {
    let dir = live(BOOTSTRAP_ID);
    put(dir.path(), "join", b"");
    assert_eq!(
        trap_of(&dir),
        Some(Trap::BootstrapJoins { id: BOOTSTRAP_ID })
    );
    let dir = live(42);
    put(dir.path(), "join", b"");
    assert_eq!(trap_of(&dir), Some(Trap::JoinsAgain));
}

#[test]
fn data_without_metadata_is_a_trap() {
    let dir = live(42);
    fs::remove_file(dir.path().join("metadata1")).unwrap();
    assert_eq!(trap_of(&dir), None);
    fs::remove_file(dir.path().join("metadata2")).unwrap();
    assert_eq!(trap_of(&dir), Some(Trap::NoMetadata));
}

#[test]
fn an_absent_directory_and_a_broken_yaml_are_errors_that_say_where() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    assert!(matches!(inspect(&absent), Err(InspectError::Absent(path)) if path == absent));
    put(dir.path(), "cluster.yaml", b"nonsense");
    let error = inspect(dir.path()).unwrap_err();
    assert!(error.to_string().contains("cluster.yaml"), "{error}");
}

#[test]
fn inspection_changes_nothing() {
    let dir = live(42);
    let list = || {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
            .collect();
        names.sort();
        names
    };
    let before = list();
    inspect(dir.path()).unwrap();
    assert_eq!(list(), before);
}
