//! Nothing that is read makes a parser panic, and nothing that is lost makes it believe.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use two_node_ha_drbd::{Event, State, Version, parse_events2, parse_proc_drbd, parse_status_json};

const LIVE: &str = include_str!("fixtures/8.4.11/live");
const PROC: &str = include_str!("fixtures/8.4.11/resync.proc");
const RESYNC: &str = include_str!("fixtures/9/resync.events2");
const JSON: &str = include_str!("fixtures/9/resync.json");

/// The text with a piece of it replaced.
fn damage(text: &str, at: usize, len: usize, by: &[u8]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % (bytes.len() + 1);
    let end = (at + len).min(bytes.len());
    bytes.splice(at..end, by.iter().copied());
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,200}") {
        let _ = Event::parse(&text);
        let _ = parse_events2(&text);
        let _ = parse_proc_drbd(&text);
        let _ = parse_status_json(text.as_bytes());
        let _ = Version::parse(&text);
    }

    #[test]
    fn no_damage_makes_a_parser_panic(
        at in any::<usize>(), len in 0usize..30, by in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let mut state = State::default();
        for line in damage(LIVE, at, len, &by).lines() {
            if let Ok(event) = Event::parse(line) {
                state.apply(&event);
            }
        }
        let _ = parse_events2(&damage(RESYNC, at, len, &by));
        let _ = parse_proc_drbd(&damage(PROC, at, len, &by));
        let _ = parse_status_json(damage(JSON, at, len, &by).as_bytes());
    }

    #[test]
    fn an_event_applied_twice_changes_nothing_the_second_time(
        index in any::<prop::sample::Index>(),
    ) {
        let events: Vec<_> = LIVE
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| Event::parse(line).unwrap())
            .collect();
        let upto = index.index(events.len());
        let mut state = State::default();
        for event in &events[..=upto] {
            state.apply(event);
        }
        let once = state.clone();
        state.apply(&events[upto]);
        prop_assert_eq!(state, once);
    }
}
