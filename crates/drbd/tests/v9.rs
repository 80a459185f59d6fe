//! DRBD 9. Its module was not at hand. What is in `fixtures/9.34` the real drbdsetup printed, from
//! messages of its own test program. The two texts in `fixtures/9`, with what
//! those messages do not have, are written after the code that prints them (`print_*` in
//! `user/v9/drbdsetup_events2.c`, `*_status_json` in `user/v9/drbdsetup.c` of drbd-utils 9.3x).
#![allow(clippy::unwrap_used)]

use two_node_ha_command::scripted::Scripted;
use two_node_ha_drbd::{
    Applied, ConnectionState, DiskState, Event, Generation, HelperStatus, ReplicationState, Role,
    State, parse_events2, parse_status_json, query,
};

const RESYNC: &str = include_str!("fixtures/9/resync.events2");
const LIVE: [(&str, &str); 3] = [
    ("live", include_str!("fixtures/9.34/live")),
    ("live-full", include_str!("fixtures/9.34/live-full")),
    (
        "live-statistics",
        include_str!("fixtures/9.34/live-statistics"),
    ),
];
const RESYNC_JSON: &[u8] = include_bytes!("fixtures/9/resync.json");

#[test]
fn a_resync_is_read_whole() {
    let state = parse_events2(RESYNC).unwrap();
    let [r0] = &state.resources[..] else {
        panic!("{state:?}")
    };
    assert!(r0.is_primary_uptodate());
    assert_eq!(r0.may_promote, Some(false));
    assert_eq!(r0.promotion_score, Some(10101));
    let volume = r0.volume(0).unwrap();
    assert_eq!(volume.backing_dev.as_deref(), Some("/dev/lodrbd"));
    assert_eq!(
        (volume.open, volume.quorum, volume.client),
        (Some(true), Some(true), Some(false))
    );
    let [peer] = &r0.peers[..] else {
        panic!("{r0:?}")
    };
    assert_eq!((peer.name.as_str(), peer.node_id), ("beta", 2));
    assert_eq!(peer.paths[0].peer, "ipv6:[fd00::2]:7788");
    assert!(peer.paths[0].established);
    assert_eq!(peer.volumes[0].replication, ReplicationState::SyncSource);
    assert_eq!(r0.resync_done(), Some(37.5));
    assert_eq!(r0.out_of_sync_kib(), Some(30720));
}

#[test]
fn json_and_events2_say_the_same() {
    let mut from_events = parse_events2(RESYNC).unwrap();
    let mut from_json = parse_status_json(RESYNC_JSON).unwrap();
    for resource in &mut from_events.resources {
        // JSON has no promotion score.
        resource.may_promote = None;
        resource.promotion_score = None;
    }
    for volume in from_json.resources.iter_mut().flat_map(|r| &mut r.volumes) {
        // Nor the backing device.
        assert_eq!(volume.backing_dev, None);
        volume.backing_dev = Some("/dev/lodrbd".to_owned());
    }
    assert_eq!(from_json, from_events);
}

#[test]
fn changes_are_applied_and_renames_and_ends_followed() {
    let mut state = parse_events2(RESYNC).unwrap();
    for line in [
        "change connection name:r0 peer-node-id:2 conn-name:beta connection:BrokenPipe role:Unknown",
        "change peer-device name:r0 peer-node-id:2 conn-name:beta volume:0 replication:Off \
         peer-disk:DUnknown peer-client:no",
        "2026-01-31T12:00:00.000001+01:00 change resource name:r0 suspended:quorum,fencing",
        "change path name:r0 peer-node-id:2 conn-name:beta local:ipv6:[fd00::1]:7788 \
         peer:ipv6:[fd00::2]:7788 established:no",
    ] {
        assert_eq!(
            state.apply(&Event::parse(line).unwrap()),
            Applied::Changed,
            "{line}"
        );
    }
    let r0 = state.resource("r0").unwrap();
    assert_eq!(r0.peers[0].connection, ConnectionState::BrokenPipe);
    assert!(r0.suspended_by.quorum && r0.suspended_by.fencing && r0.suspended);
    assert!(!r0.peers[0].paths[0].established);
    assert_eq!(r0.resync_done(), None);
    assert_eq!(r0.peers[0].volumes[0].resync_done, None);

    let apply = |state: &mut State, line: &str| state.apply(&Event::parse(line).unwrap());
    assert_eq!(
        apply(&mut state, "rename resource name:r0 new_name:data"),
        Applied::Changed
    );
    assert!(state.resource("r0").is_none() && state.resource("data").is_some());
    assert_eq!(
        apply(&mut state, "rename resource name:r0 new_name:x"),
        Applied::MustReread
    );
    for line in [
        "destroy path name:data peer-node-id:2 conn-name:beta local:ipv6:[fd00::1]:7788 \
         peer:ipv6:[fd00::2]:7788",
        "destroy peer-device name:data peer-node-id:2 conn-name:beta volume:0",
        "destroy connection name:data peer-node-id:2 conn-name:beta",
        "destroy device name:data volume:0",
        "destroy resource name:data",
    ] {
        assert_eq!(apply(&mut state, line), Applied::Changed, "{line}");
        assert_eq!(apply(&mut state, line), Applied::Unchanged, "{line} twice");
    }
    assert!(state.resources.is_empty());
}

#[test]
fn the_life_of_a_resource_is_followed_as_the_real_drbdsetup_prints_it() {
    for (name, text) in LIVE {
        let mut state = State::default();
        let mut most = State::default();
        let mut seen = Vec::new();
        for line in text.lines() {
            let event = Event::parse(line).unwrap();
            assert!(!matches!(event, Event::Unrecognised(_)), "{name}: {line}");
            if let Event::Response { helper, status, .. } = &event {
                // The test program's own number; the kernel reports a wait status.
                assert_eq!(
                    (helper.as_str(), *status),
                    ("before-resync-target", HelperStatus::Signalled(1))
                );
            }
            assert_ne!(state.apply(&event), Applied::MustReread, "{name}: {line}");
            let Some(r0) = state.resource("r0") else {
                continue;
            };
            if let Some(peer) = r0.peers.first() {
                let replication = peer.volumes.first().map(|v| v.replication.clone());
                if seen.last() != Some(&replication) {
                    if replication == Some(ReplicationState::SyncSource) {
                        assert_eq!(r0.resync_done(), Some(37.5), "{name}");
                        assert!(r0.is_uptodate() && !r0.peer_uptodate(), "{name}");
                    }
                    seen.push(replication);
                }
                if r0.is_primary() {
                    most = state.clone();
                }
            }
        }
        assert!(state.resources.is_empty(), "{name}: {state:?}");
        let off = || Some(ReplicationState::Off);
        let established = Some(ReplicationState::Established);
        let sync = Some(ReplicationState::SyncSource);
        assert_eq!(seen, [None, off(), sync, established, None], "{name}");
        let [r0] = &most.resources[..] else {
            panic!("{name}: {most:?}")
        };
        assert_eq!(r0.volumes[0].quorum, Some(false), "{name}");
        assert_eq!(r0.may_promote, Some(false), "{name}");
        assert_eq!(r0.volumes[0].backing_dev.as_deref(), Some("/dev/lodrbd"));
        assert!(r0.peer_primary());
    }
}

#[test]
fn an_object_that_is_new_is_a_change_even_when_all_its_fields_are_as_expected() {
    let mut state = State::default();
    for line in [
        "create resource name:r0 role:Unknown suspended:no",
        "create device name:r0 volume:0 minor:0 disk:DUnknown",
        "create connection name:r0 peer-node-id:2 conn-name:beta connection:StandAlone role:Unknown",
        "create peer-device name:r0 peer-node-id:2 conn-name:beta volume:0 replication:Off \
         peer-disk:DUnknown",
        "create path name:r0 peer-node-id:2 conn-name:beta local:ipv4:1.2.3.4:7789 \
         peer:ipv4:5.6.7.8:7790 established:no",
    ] {
        let event = Event::parse(line).unwrap();
        assert_eq!(state.apply(&event), Applied::Changed, "{line}");
        assert_eq!(state.apply(&event), Applied::Unchanged, "{line} twice");
    }
}

#[test]
fn a_percentage_beyond_100_and_an_amount_that_was_not_said_are_no_numbers() {
    // More is out of sync than when the resync began: DRBD 9 subtracts without a sign.
    let line = "change peer-device name:r0 peer-node-id:2 conn-name:beta volume:0 \
                replication:SyncTarget done:230584300921369386.00 received:5 sent:5 \
                out-of-sync:9223372036854775807";
    let mut state = parse_events2(RESYNC).unwrap();
    state.apply(&Event::parse(line).unwrap());
    let r0 = state.resource("r0").unwrap();
    assert!(r0.is_resync_target());
    // What was known before is still the last that was said.
    assert_eq!(r0.resync_done(), Some(37.5));
    let json = String::from_utf8_lossy(RESYNC_JSON)
        .replace(
            "\"percent-resync-done\": 37.50",
            "\"percent-resync-done\": 1e300",
        )
        .replace(
            "\"out-of-sync\": 30720",
            "\"out-of-sync\": 9223372036854775807",
        );
    let state = parse_status_json(json.as_bytes()).unwrap();
    assert_eq!(state.resources[0].resync_done(), None);
    assert_eq!(state.resources[0].out_of_sync_kib(), None);
}

#[test]
fn words_of_a_later_version_are_kept_and_ignored() {
    let text = "exists resource name:r0 role:Observer suspended:no flavour:new\n\
                exists gadget name:r0 volume:0\n\
                exists device name:r0 volume:0 minor:0 backing_dev:/dev/disk/by id/x \
                disk:Shiny client:no open:unknown quorum:yes\n\
                ponder resource name:r0\n\
                exists -\n";
    let state = parse_events2(text).unwrap();
    let r0 = state.resource("r0").unwrap();
    assert_eq!(r0.role, Role::Unrecognised("Observer".into()));
    assert!(!r0.is_primary());
    assert_eq!(r0.volumes[0].disk, DiskState::Unrecognised("Shiny".into()));
    assert!(!r0.is_uptodate());
    assert_eq!(r0.volumes[0].open, None);
    assert_eq!(
        r0.volumes[0].backing_dev.as_deref(),
        Some("/dev/disk/by id/x")
    );
    let suspended = Event::parse("change resource name:r0 suspended:boredom").unwrap();
    let mut state = state;
    state.apply(&suspended);
    assert!(
        state.resource("r0").unwrap().suspended,
        "whatever the reason"
    );
}

#[test]
fn a_line_that_is_no_event_is_named() {
    for (line, problem) in [
        ("", "nothing"),
        ("exists", "no object"),
        ("exists resource", "no resource name"),
        ("exists resource r0", "a word that is no field"),
        ("exists device name:r0 minor:0", "no volume number"),
        ("exists device name:r0 volume:x", "a number that is none"),
        ("exists connection name:r0", "no peer"),
        (
            "exists peer-device name:r0 peer-node-id:1",
            "no volume number",
        ),
        ("call helper name:r0", "no handler"),
        ("response helper name:r0 helper:x", "no status"),
        (
            "response helper name:r0 helper:x status:-1",
            "a status that is no number",
        ),
        ("rename resource name:r0", "no new name"),
    ] {
        let error = Event::parse(line).unwrap_err();
        assert_eq!(error.problem, problem, "{line:?}");
    }
    let error = parse_events2("exists resource name:r0 role:Primary\nexists device\n").unwrap_err();
    assert!(error.to_string().starts_with("line 2 "), "{error}");
}

#[test]
fn json_that_is_none_and_json_without_resources() {
    assert_eq!(parse_status_json(b"[\n]\n").unwrap(), State::default());
    for text in [&b""[..], b"{}", b"[{}]", b"[{\"name\": \"r0\"}]", b"\xff"] {
        assert!(parse_status_json(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_door_asks_9_no_more_than_events2() {
    let runner = Scripted::new()
        .file("/sys/module/drbd/version", "9.2.14\n")
        .answer("drbdsetup", 0, RESYNC);
    let state = query::now(&runner).unwrap();
    assert_eq!(state.generation(), Some(Generation::V9));
    assert_eq!(state.resource("r0").unwrap().resync_done(), Some(37.5));
}
