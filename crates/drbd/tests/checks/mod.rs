//! What holds of every parser's answer, whatever the bytes. For the tests and the fuzz targets.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    dead_code
)]

use two_node_ha_drbd::{
    Applied, Event, PeerVolume, Resource, State, parse_events2, parse_proc_drbd, parse_status,
    parse_status_json,
};

/// Reads bytes, and panics where the answer contradicts itself.
pub type Check = fn(&[u8]);

/// The parsers by name: the fuzz targets, and the folders of seeds.
pub const PARSERS: [(&str, Check); 4] = [
    ("events2", events2),
    ("json", json),
    ("proc", proc),
    ("status", status),
];

/// The live stream line by line, and the whole as a snapshot.
pub fn events2(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut state = State::default();
    for line in text.lines() {
        let Ok(event) = Event::parse(line) else {
            continue;
        };
        let before = state.clone();
        let applied = state.apply(&event);
        match applied {
            Applied::Changed => assert_ne!(state, before, "{line:?}"),
            Applied::Unchanged => assert_eq!(state, before, "{line:?}"),
            Applied::MustReread => assert!(state.stale, "{line:?}"),
        }
        assert!(state.stale || !before.stale, "forgot that it is stale");
        match &event {
            Event::Exists(..) | Event::Create(..) | Event::Change(..) | Event::Destroy(_) => {
                // Saying it again changes nothing.
                let once = state.clone();
                state.apply(&event);
                assert_eq!(state, once, "{line:?} twice");
            }
            Event::Skipped(_) => assert!(state.stale),
            Event::Rename { .. }
            | Event::Call { .. }
            | Event::Response { .. }
            | Event::InitialStateDone
            | Event::Unrecognised(_) => {}
        }
    }
    well_formed(&state);
    if let Ok(state) = parse_events2(&text) {
        well_formed(&state);
        // Half of it is no state: without the line that says that it is whole there is none.
        let end = |line: &&str| Event::parse(line) != Ok(Event::InitialStateDone);
        let half: Vec<&str> = text.lines().take_while(end).collect();
        assert!(parse_events2(&half.join("\n")).is_err());
    }
}

pub fn proc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let proc = parse_proc_drbd(&text);
    assert!(proc.minors.len() <= text.lines().count());
    let json = serde_json::to_string(&proc).unwrap();
    assert_eq!(serde_json::from_str(&json).ok().as_ref(), Some(&proc));
    // It adds how far a resync is to what events2 says, and changes nothing else.
    let known = include_str!("../fixtures/8.4.11/resync.events2");
    let known = parse_events2(known).unwrap();
    let mut merged = known.clone();
    merged.merge_proc(&proc);
    well_formed(&merged);
    let bare = |mut state: State| {
        for volume in volumes(&mut state) {
            volume.resync_done = None;
            volume.out_of_sync_kib = None;
        }
        state
    };
    assert_eq!(bare(merged), bare(known));
}

pub fn json(bytes: &[u8]) {
    if let Ok(state) = parse_status_json(bytes) {
        assert!(!state.stale);
        well_formed(&state);
    }
}

pub fn status(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(state) = parse_status(&text) {
        assert!(!state.stale);
        well_formed(&state);
        for resource in &state.resources {
            assert!(text.contains(&resource.name));
        }
    }
}

fn volumes(state: &mut State) -> impl Iterator<Item = &mut PeerVolume> {
    let peers = state.resources.iter_mut().flat_map(|r| &mut r.peers);
    peers.flat_map(|peer| &mut peer.volumes)
}

/// What holds of every state.
pub fn well_formed(state: &State) {
    let json = serde_json::to_string(state).unwrap();
    assert_eq!(serde_json::from_str(&json).ok().as_ref(), Some(state));
    for resource in &state.resources {
        consistent(resource);
        for minor in resource.minors() {
            assert!(state.resource_of_minor(minor).is_some());
        }
        assert!(state.resource(&resource.name).is_some());
    }
}

fn consistent(resource: &Resource) {
    assert!(resource.suspended || !resource.suspended_by.any());
    assert!(!resource.is_primary_uptodate() || (resource.is_primary() && resource.is_uptodate()));
    assert!(!resource.all_uptodate() || (resource.peer_connected() && resource.peer_uptodate()));
    assert!(!resource.is_resync_target() || resource.resyncing());
    assert!(resource.resync_done().is_none() || resource.resyncing());
    for volume in resource.peers.iter().flat_map(|peer| &peer.volumes) {
        // A percentage is one, and an amount is not what "unknown" looks like.
        assert!(
            volume
                .resync_done
                .is_none_or(|done| (0.0..=100.0).contains(&done)),
            "{volume:?}"
        );
        assert!(
            volume.out_of_sync_kib.is_none_or(|kib| kib < u64::MAX / 2),
            "{volume:?}"
        );
    }
}
