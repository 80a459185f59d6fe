//! `drbdsetup status --verbose`: of 8.4.11 as the lab's two nodes printed it (`lab-*`), of 9 as the
//! real drbdsetup printed it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use two_node_ha_drbd::{
    ConnectionState, DiskState, ReplicationState, Resource, Role, State, parse_proc_drbd,
    parse_status, parse_status_json,
};

fn fixture(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read_to_string(dir.join(name)).unwrap()
}

fn read(name: &str) -> Resource {
    let state = parse_status(&fixture(&format!("{name}.status"))).unwrap();
    let [resource] = &state.resources[..] else {
        panic!("{state:?}")
    };
    assert_eq!(resource.name, "r0");
    resource.clone()
}

#[test]
fn both_nodes_of_a_healthy_pair_under_8_4_are_read() {
    let primary = read("8.4.11/lab-primary");
    assert!(primary.is_primary_uptodate() && primary.all_uptodate() && !primary.suspended);
    assert_eq!(primary.volume(0).unwrap().size_kib, Some(196_564));
    assert_eq!(
        (primary.peers[0].name.as_str(), primary.peers[0].node_id),
        ("peer", 0)
    );
    let secondary = read("8.4.11/lab-secondary");
    assert!(!secondary.is_primary() && secondary.peer_primary() && secondary.all_uptodate());
    let alone = read("8.4.11/lab-alone");
    assert_eq!(alone.peers[0].connection, ConnectionState::Connecting);
    assert_eq!(alone.peers[0].role, Role::Unknown);
    assert_eq!(alone.peers[0].volumes[0].peer_disk, DiskState::DUnknown);
    assert_eq!(alone.peers[0].volumes[0].resync_suspended, None);
}

#[test]
fn status_of_8_4_agrees_with_its_proc_drbd() {
    for name in ["lab-primary", "lab-secondary", "lab-alone"] {
        let resource = read(&format!("8.4.11/{name}"));
        let proc = parse_proc_drbd(&fixture(&format!("8.4.11/{name}.proc")));
        let minor = proc.minor(resource.volumes[0].minor).unwrap();
        let peer = &resource.peers[0];
        assert_eq!(minor.role, resource.role, "{name}");
        assert_eq!(minor.disk, resource.volumes[0].disk, "{name}");
        assert_eq!(minor.connection, peer.connection, "{name}");
        assert_eq!(minor.peer_role, peer.role, "{name}");
        assert_eq!(minor.replication, peer.volumes[0].replication, "{name}");
        assert_eq!(minor.peer_disk, peer.volumes[0].peer_disk, "{name}");
        assert_eq!(minor.suspended(), resource.suspended, "{name}");
        assert_eq!(minor.out_of_sync_kib, resource.out_of_sync_kib(), "{name}");
    }
}

/// What `status` does not say: whether a disk that is there is a client's, and congestion's details.
fn without_clients(mut state: State) -> State {
    for resource in &mut state.resources {
        for volume in &mut resource.volumes {
            volume.client = None;
            // And what JSON does not.
            volume.backing_dev = None;
        }
        for volume in resource.peers.iter_mut().flat_map(|p| &mut p.volumes) {
            volume.peer_client = None;
        }
    }
    state
}

#[test]
fn status_and_json_of_9_say_the_same() {
    for name in ["healthy", "resync", "apart", "diskless"] {
        let status = parse_status(&fixture(&format!("9.34/{name}.status"))).unwrap();
        let json = parse_status_json(fixture(&format!("9.34/{name}.json")).as_bytes()).unwrap();
        assert_eq!(without_clients(status), without_clients(json), "{name}");
    }
}

#[test]
fn situations_under_9_are_read() {
    let healthy = read("9.34/healthy");
    assert!(healthy.all_uptodate() && healthy.peer_primary() && !healthy.is_primary());
    assert_eq!(
        healthy.volumes[0].backing_dev.as_deref(),
        Some("/dev/lodrbd")
    );
    assert_eq!(
        (healthy.peers[0].name.as_str(), healthy.peers[0].node_id),
        ("beta", 2)
    );
    let resync = read("9.34/resync");
    assert!(resync.is_resync_target());
    assert_eq!(resync.resync_done(), Some(37.5));
    assert_eq!(resync.out_of_sync_kib(), Some(2500));
    let apart = read("9.34/apart");
    assert!(apart.is_primary_uptodate());
    assert_eq!(apart.volumes[0].quorum, Some(false));
    assert_eq!(apart.peers[0].connection, ConnectionState::StandAlone);
    assert_eq!(apart.peers[0].volumes[0].replication, ReplicationState::Off);
    let diskless = read("9.34/diskless");
    assert_eq!(diskless.volumes[0].disk, DiskState::Diskless);
    assert_eq!(diskless.volumes[0].client, Some(false));
    assert_eq!(diskless.volumes[0].backing_dev, None);
}

#[test]
fn nothing_that_is_up_is_an_empty_state() {
    for text in ["", "\n", "# No currently configured DRBD found.\n"] {
        assert_eq!(parse_status(text).unwrap(), State::default(), "{text:?}");
    }
}

#[test]
fn two_resources_with_two_volumes_each_are_kept_apart() {
    let text: String = ["a", "b"]
        .map(|name| {
            format!(
                "{name} role:Secondary suspended:no\n\
                 \x20 volume:0 minor:1 disk:UpToDate\n\
                 \x20 volume:7 minor:2 disk:Inconsistent\n\
                 \x20 peer connection:Connected role:Primary congested:no\n\
                 \x20   volume:0 replication:Established peer-disk:UpToDate resync-suspended:no\n\
                 \x20   volume:7 replication:PausedSyncT peer-disk:UpToDate done:12.50\n\
                 \x20       resync-suspended:user,peer\n\
                 \n"
            )
        })
        .concat();
    let state = parse_status(&text).unwrap();
    for name in ["a", "b"] {
        let resource = state.resource(name).unwrap();
        assert_eq!(resource.volume(7).unwrap().disk, DiskState::Inconsistent);
        let [first, second] = &resource.peers[0].volumes[..] else {
            panic!("{resource:?}")
        };
        assert_eq!(first.replication, ReplicationState::Established);
        assert_eq!(second.resync_done, Some(12.5));
        assert_eq!(second.resync_suspended.as_deref(), Some("user,peer"));
    }
}

#[test]
fn an_output_that_was_cut_off_is_no_state() {
    for name in ["8.4.11/lab-primary", "9.34/resync"] {
        let whole = fixture(&format!("{name}.status"));
        let lines: Vec<_> = whole.lines().collect();
        let last = lines.iter().rposition(|line| !line.is_empty()).unwrap();
        for count in 1..=last + 1 {
            let error = parse_status(&lines[..count].join("\n")).unwrap_err();
            assert_eq!(error.command, "status");
            assert!(error.to_string().contains("empty line"), "{count}: {error}");
        }
    }
}

#[test]
fn what_is_no_verbose_status_is_named() {
    let missing = "a field is missing that --verbose prints";
    for (text, line, problem) in [
        ("r0 role:Primary\n\n", 2, missing),
        ("r0 suspended:no\n\n", 2, "no role"),
        (
            "r0 role:Primary suspended:no\n  disk:UpToDate\n\n",
            2,
            "no volume number",
        ),
        (
            "r0 role:Primary suspended:no\n  volume:0 disk:UpToDate\n\n",
            3,
            missing,
        ),
        (
            "r0 role:Primary suspended:no\n  volume:x minor:0 disk:UpToDate\n\n",
            3,
            "a number that is none",
        ),
        (
            "r0 role:Primary suspended:no\n  volume:0 minor:0\n\n",
            3,
            "no disk state",
        ),
        (
            "r0 role:Primary suspended:no\n    volume:0 replication:Off peer-disk:DUnknown\n\n",
            3,
            "no connection before it",
        ),
        (
            "r0 role:Primary suspended:no\n  peer role:Unknown\n\n",
            3,
            missing,
        ),
        (
            "  volume:0 minor:0 disk:UpToDate\n\n",
            1,
            "no resource before it",
        ),
        ("      size:1\n", 1, "fields of nothing"),
        (
            "r0 role:Primary suspended:no\nr1 role:Primary suspended:no\n\n",
            2,
            "no empty line before this resource",
        ),
    ] {
        let error = parse_status(text).unwrap_err();
        assert_eq!((error.line, error.problem), (line, problem), "{text:?}");
    }
}
