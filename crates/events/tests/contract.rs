//! The event files: today's form, and what an agent makes of those of other versions.
#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use two_node_ha_drbd::{Decision, Handler};
use two_node_ha_events::{Event, Taken, VERSION, take_all, write};
use two_node_ha_sample::contract::{Fixtures, fixtures};

fn here() -> Fixtures {
    fixtures(env!("CARGO_MANIFEST_DIR"))
}

/// With every field.
fn event() -> Event {
    Event {
        resource: Some("r0".into()),
        time: 1_795_552_215_000_000,
        peer: Some("hatwo".into()),
        minors: vec![0],
        volumes: vec![0],
        decision: Decision::Excluded,
        exit_code: 4,
        reason: "hatwo is kept from being promoted".into(),
        duration_us: 1_500_000,
        env: [("DRBD_RESOURCE".into(), "r0".into())].into(),
        ..Event::new(Handler::FencePeer)
    }
}

/// What the agent finds where these files are.
fn found(files: &[&str]) -> Taken {
    let dir = tempfile::tempdir().unwrap();
    for (number, text) in files.iter().enumerate() {
        let name = format!("{number:020}-1-000000-x.json");
        fs::write(dir.path().join(name), text).unwrap();
    }
    take_all(dir.path()).unwrap()
}

#[test]
fn an_event_has_the_form_of_its_version() {
    here().is_todays(
        VERSION,
        "event.json",
        &serde_json::to_string(&event()).unwrap(),
    );
}

#[test]
fn the_events_that_were_ever_written_are_read() {
    let (all, first) = (
        here().read(1, "event.json"),
        here().read(1, "event-first.json"),
    );
    let taken = found(&[&all, &first]);
    assert!(taken.unreadable.is_empty(), "{:?}", taken.unreadable);
    assert_eq!(taken.events[0].event, event());
    let bare = Event {
        time: 7,
        ..Event::new(Handler::SplitBrain)
    };
    assert_eq!(taken.events[1].event, bare);
}

/// A newer hook has written them, or the agent is an older one.
#[test]
fn a_handler_and_a_decision_that_are_not_known_are_read_as_they_are_and_stop_nobody() {
    let known = here().read(1, "event.json");
    let handler = known.replace("fence-peer", "fence-both");
    let decision = known.replace("excluded", "demote-both");
    let taken = found(&[&handler, &decision, &known]);
    assert!(taken.unreadable.is_empty(), "{:?}", taken.unreadable);
    let events: Vec<_> = taken.events.iter().map(|pending| &pending.event).collect();
    assert_eq!(
        events[0].handler,
        Handler::Unrecognised("fence-both".into())
    );
    assert_eq!(
        events[1].decision,
        Decision::Unrecognised("demote-both".into())
    );
    assert_eq!(events[2], &event());
    assert_eq!(
        serde_json::to_string(events[1]).unwrap(),
        decision.trim_end()
    );
}

#[test]
fn a_newer_event_is_set_aside_with_its_version_and_what_to_do_and_stops_nobody() {
    let newer = format!(r#"{{"format": {}, "handlers": []}}"#, VERSION + 1);
    let taken = found(&[&newer, &here().read(1, "event.json")]);
    assert_eq!(taken.events.len(), 1);
    let (path, why) = &taken.unreadable[0];
    assert!(path.ends_with("unreadable/00000000000000000000-1-000000-x.json"));
    assert_eq!(
        why,
        &format!(
            "it has format {}, and this version knows {VERSION}: upgrade two-node-ha here",
            VERSION + 1
        )
    );
}

prop_compose! {
    fn any_event()(
        handler in prop_oneof![
            select(Handler::KNOWN),
            "[a-z-]{0,20}".prop_map(|word| Handler::parse(&word)),
        ],
        decision in prop_oneof![
            select(Decision::KNOWN),
            ".{0,20}".prop_map(|word| Decision::parse(&word)),
        ],
        (time, duration_us, exit_code) in any::<(u64, u64, i32)>(),
        (resource, peer, reason) in (option::of(".*"), option::of(".*"), ".*"),
        (minors, volumes) in (vec(any::<u32>(), 0..3), vec(any::<u32>(), 0..3)),
        env in btree_map("DRBD_[A-Z]{1,8}", ".*", 0..4),
    ) -> Event {
        Event {
            time, resource, peer, minors, volumes, decision, exit_code, reason, duration_us, env,
            ..Event::new(handler)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_hook_writes_the_agent_reads(event in any_event()) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &event).unwrap();
        let taken = take_all(dir.path()).unwrap();
        prop_assert_eq!(taken.events.len(), 1);
        prop_assert_eq!(&taken.events[0].event, &event);
    }
}
