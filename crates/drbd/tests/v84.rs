//! What the real DRBD 8.4.11 printed while two resources connected, resynced, lost each other and
//! fell into split brain (recorded by `fixtures/record-8.4.sh`), and what is read from it.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use two_node_ha_command::scripted::Scripted;
use two_node_ha_command::{Exit, Output};
use two_node_ha_drbd::{
    Applied, ConnectionState, DiskState, Event, Generation, HelperStatus, ReplicationState,
    Resource, Role, State, Version, parse_events2, parse_proc_drbd, query,
};

const SITUATIONS: [&str; 14] = [
    "nothing",
    "attached",
    "connecting",
    "connected",
    "resync",
    "paused",
    "healthy",
    "peer-lost",
    "written",
    "resynced",
    "apart",
    "split-brain",
    "one-down",
    "down",
];

fn fixture(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/8.4.11");
    std::fs::read_to_string(dir.join(name)).unwrap()
}

fn state(situation: &str) -> State {
    let mut state = parse_events2(&fixture(&format!("{situation}.events2"))).unwrap();
    state.merge_proc(&parse_proc_drbd(&fixture(&format!("{situation}.proc"))));
    state
}

/// The two ends, as two nodes would see them.
fn ends(situation: &str) -> (Resource, Resource) {
    let state = state(situation);
    (
        state.resource("a").unwrap().clone(),
        state.resource("b").unwrap().clone(),
    )
}

#[test]
fn no_resource_is_an_empty_state_and_no_error() {
    assert_eq!(state("nothing"), State::default());
    assert_eq!(state("down"), State::default());
    let one = state("one-down");
    assert!(one.resource("a").is_none());
    assert!(one.resource("b").is_some());
    assert_eq!(one.resource_of_minor(1).unwrap().name, "b");
    assert!(one.resource_of_minor(0).is_none());
}

#[test]
fn before_the_first_sync_nobody_is_up_to_date() {
    let (a, b) = ends("attached");
    for end in [&a, &b] {
        assert_eq!(end.role, Role::Secondary);
        assert_eq!(end.volumes[0].disk, DiskState::Inconsistent);
        assert_eq!(end.volumes[0].size_kib, Some(49112));
        assert_eq!(end.peers[0].connection, ConnectionState::StandAlone);
        assert_eq!(end.out_of_sync_kib(), Some(49112));
        assert!(!end.is_uptodate() && !end.peer_connected() && !end.resyncing());
    }
    assert_eq!(a.minors().collect::<Vec<_>>(), [0]);
    assert_eq!(b.minors().collect::<Vec<_>>(), [1]);
    let (a, _) = ends("connecting");
    assert_eq!(a.peers[0].connection, ConnectionState::Connecting);
    let (a, b) = ends("connected");
    assert!(a.peer_connected() && b.peer_connected());
    assert_eq!(
        a.peers[0].volumes[0].replication,
        ReplicationState::Established
    );
    assert!(!a.peer_uptodate());
}

#[test]
fn a_resync_is_seen_from_both_ends_with_its_progress() {
    let (a, b) = ends("resync");
    assert!(a.is_primary_uptodate());
    assert!(a.resyncing() && !a.is_resync_target());
    assert_eq!(
        a.peers[0].volumes[0].replication,
        ReplicationState::SyncSource
    );
    assert_eq!(a.peers[0].volumes[0].peer_disk, DiskState::Inconsistent);
    assert!(b.is_resync_target() && b.peer_primary());
    assert_eq!(b.volumes[0].disk, DiskState::Inconsistent);
    for end in [&a, &b] {
        assert_eq!(end.resync_done(), Some(25.0));
        assert_eq!(end.out_of_sync_kib(), Some(37576));
    }
}

#[test]
fn a_paused_resync_is_still_one_and_says_who_paused_it() {
    let (a, b) = ends("paused");
    assert_eq!(
        a.peers[0].volumes[0].replication,
        ReplicationState::PausedSyncS
    );
    assert_eq!(
        a.peers[0].volumes[0].resync_suspended.as_deref(),
        Some("user")
    );
    assert_eq!(
        b.peers[0].volumes[0].resync_suspended.as_deref(),
        Some("peer")
    );
    assert!(a.resyncing() && b.is_resync_target());
}

#[test]
fn a_healthy_pair_is_up_to_date_on_both_sides() {
    for situation in ["healthy", "resynced"] {
        let (a, b) = ends(situation);
        assert!(a.is_primary_uptodate() && a.all_uptodate());
        assert!(!b.is_primary() && b.peer_primary() && b.all_uptodate());
        assert_eq!(a.out_of_sync_kib(), Some(0));
        assert!(!a.suspended && !a.resyncing());
        assert_eq!(a.peers[0].volumes[0].resync_suspended, None);
    }
}

#[test]
fn a_primary_that_lost_its_peer_stands_still_until_it_is_fenced() {
    let (a, b) = ends("peer-lost");
    assert!(a.is_primary_uptodate());
    assert!(a.suspended && a.suspended_by.fencing && !a.suspended_by.user);
    assert_eq!(a.peers[0].connection, ConnectionState::Connecting);
    assert_eq!(a.peers[0].role, Role::Unknown);
    assert_eq!(a.peers[0].volumes[0].peer_disk, DiskState::DUnknown);
    assert!(!a.peer_connected() && !a.peer_uptodate());
    assert!(b.is_uptodate() && !b.suspended);
    let (a, _) = ends("written");
    assert!(!a.suspended);
    assert_eq!(a.out_of_sync_kib(), Some(8000));
}

#[test]
fn after_a_split_brain_both_are_primary_and_stand_alone() {
    for situation in ["apart", "split-brain"] {
        let (a, b) = ends(situation);
        for end in [a, b] {
            assert!(end.is_primary_uptodate());
            assert_eq!(end.peers[0].connection, ConnectionState::StandAlone);
            assert_eq!(end.out_of_sync_kib(), Some(80));
        }
    }
}

/// What the live stream can know: it prints no statistics, and a stand-alone connection comes and
/// goes in it, as a destroyed one or as a bare peer device.
fn bare(mut state: State) -> State {
    for resource in &mut state.resources {
        resource
            .peers
            .retain(|peer| peer.connection != ConnectionState::StandAlone);
        for volume in &mut resource.volumes {
            volume.size_kib = None;
        }
        for peer in &mut resource.peers {
            peer.congested = None;
            for volume in &mut peer.volumes {
                volume.out_of_sync_kib = None;
                volume.resync_done = None;
            }
        }
    }
    state
}

#[test]
fn the_live_stream_leads_to_every_state_that_was_read_at_the_time() {
    let mut live = State::default();
    let mut seen = Vec::new();
    for line in fixture("live").lines() {
        if let Some(situation) = line.strip_prefix("# ") {
            assert_eq!(bare(live.clone()), bare(state(situation)), "{situation}");
            seen.push(situation.to_owned());
            continue;
        }
        let event = Event::parse(line).unwrap();
        assert!(!matches!(event, Event::Unrecognised(_)), "{line}");
        assert_ne!(live.apply(&event), Applied::MustReread, "{line}");
    }
    assert_eq!(seen, SITUATIONS);
    assert!(!live.stale);
}

#[test]
fn the_kernels_calls_of_handlers_are_events() {
    let events: Vec<_> = fixture("live")
        .lines()
        .filter(|line| line.contains(" helper "))
        .map(|line| Event::parse(line).unwrap())
        .collect();
    let answer = |helper: &str| {
        events.iter().find_map(|event| match event {
            Event::Response {
                key,
                helper: name,
                status,
            } if name == helper => Some((key.resource.clone(), key.minor, *status)),
            _ => None,
        })
    };
    // fence-peer had answered 1: the kernel reports a wait status.
    assert_eq!(
        answer("fence-peer").unwrap(),
        ("a".into(), None, HelperStatus::Exited(1))
    );
    assert_eq!(
        answer("before-resync-target").unwrap(),
        ("b".into(), Some(1), HelperStatus::Exited(0))
    );
    let calls = events
        .iter()
        .filter(|event| matches!(event, Event::Call { .. }))
        .count();
    assert_eq!(calls * 2, events.len());
    // Seen from a usermode_helper that was not there, and what a signal looks like.
    for (status, expected) in [
        ("4294967294", HelperStatus::NotRun(2)),
        ("9", HelperStatus::Signalled(9)),
        ("1280", HelperStatus::Exited(5)),
    ] {
        let line = format!("response helper name:a helper:fence-peer status:{status}");
        let event = Event::parse(&line).unwrap();
        assert!(
            matches!(event, Event::Response { status, .. } if status == expected),
            "{line}"
        );
    }
}

#[test]
fn proc_drbd_agrees_with_events2() {
    for situation in SITUATIONS {
        let state = state(situation);
        let proc = parse_proc_drbd(&fixture(&format!("{situation}.proc")));
        assert_eq!(
            proc.version,
            Some(Version {
                major: 8,
                minor: 4,
                patch: 11
            })
        );
        let volumes: usize = state.resources.iter().map(|r| r.volumes.len()).sum();
        assert_eq!(proc.minors.len(), volumes, "{situation}");
        for resource in &state.resources {
            let minor = proc.minor(resource.volumes[0].minor).unwrap();
            let peer = &resource.peers[0];
            assert_eq!(minor.role, resource.role, "{situation}");
            assert_eq!(minor.disk, resource.volumes[0].disk, "{situation}");
            assert_eq!(minor.connection, peer.connection, "{situation}");
            assert_eq!(minor.peer_role, peer.role, "{situation}");
            assert_eq!(
                minor.replication, peer.volumes[0].replication,
                "{situation}"
            );
            assert_eq!(minor.peer_disk, peer.volumes[0].peer_disk, "{situation}");
            assert_eq!(minor.suspended(), resource.suspended, "{situation}");
            assert_eq!(
                minor.out_of_sync_kib,
                resource.out_of_sync_kib(),
                "{situation}"
            );
        }
    }
}

#[test]
fn an_output_that_was_cut_off_is_no_state() {
    let whole = fixture("healthy.events2");
    let lines: Vec<_> = whole.lines().collect();
    for count in 0..lines.len() {
        let error = parse_events2(&lines[..count].join("\n")).unwrap_err();
        assert!(
            error.to_string().contains("`exists -` is missing"),
            "{error}"
        );
    }
}

#[test]
fn a_lost_event_makes_the_state_stale() {
    let mut state = state("healthy");
    let event = Event::parse("- skipped 3").unwrap();
    assert_eq!(event, Event::Skipped(3));
    assert_eq!(state.apply(&event), Applied::MustReread);
    assert!(state.stale);
    // Half of an object that nobody has spoken of.
    for line in [
        "change resource name:x role:Primary",
        "change device name:a volume:7 disk:UpToDate",
        "change connection name:a peer-node-id:9 conn-name:x role:Primary",
        "change peer-device name:a peer-node-id:0 conn-name:peer volume:7 peer-disk:UpToDate",
    ] {
        let mut fresh = self::state("healthy");
        let event = Event::parse(line).unwrap();
        assert_eq!(fresh.apply(&event), Applied::MustReread, "{line}");
        assert!(fresh.stale, "{line}");
    }
}

fn machine() -> Scripted {
    Scripted::new().file("/sys/module/drbd/version", "8.4.11\n")
}

#[test]
fn the_door_reads_the_state_and_on_8_4_the_progress_of_a_resync_from_proc() {
    let runner = machine()
        .answer("drbdsetup", 0, fixture("resync.events2"))
        .file(PathBuf::from("/proc/drbd"), fixture("resync.proc"));
    let read = query::now(&runner).unwrap();
    assert_eq!(read.generation(), Some(Generation::V84));
    assert_eq!(read.resource("a").unwrap().resync_done(), Some(25.0));
    assert_eq!(runner.calls(), ["drbdsetup events2 --now --statistics"]);
}

#[test]
fn without_the_module_there_is_no_state_and_no_process() {
    let runner = Scripted::new();
    assert_eq!(query::now(&runner).unwrap(), State::default());
    assert_eq!(query::generation(&runner), None);
    assert!(runner.calls().is_empty());
}

#[test]
fn a_module_without_a_version_in_sys_tells_it_in_proc() {
    let runner = Scripted::new().file("/proc/drbd", fixture("nothing.proc"));
    assert_eq!(query::generation(&runner), Some(Generation::V84));
}

#[test]
fn a_drbdsetup_that_fails_hangs_or_is_absent_is_an_error_that_says_so() {
    let runner = machine().answer_with("drbdsetup", |_| {
        let stderr = b"\nCould not connect to 'drbd' generic netlink family\n".to_vec();
        Ok(Output {
            exit: Exit::Code(20),
            stdout: Vec::new(),
            stderr,
        })
    });
    let error = query::now(&runner).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("exit code 20: Could not connect"),
        "{error}"
    );
    assert!(matches!(
        query::now(&machine().hang("drbdsetup")),
        Err(query::Error::Call(
            two_node_ha_command::Error::Deadline { .. }
        ))
    ));
    assert!(query::now(&machine().absent("drbdsetup")).is_err());
    assert!(query::now(&machine().answer("drbdsetup", 0, "")).is_err());
}

#[test]
fn a_state_is_saved_and_read_back() {
    for situation in SITUATIONS {
        let mut state = state(situation);
        state.version = Version::parse("8.4.11");
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(
            serde_json::from_str::<State>(&json).unwrap(),
            state,
            "{situation}"
        );
    }
}
