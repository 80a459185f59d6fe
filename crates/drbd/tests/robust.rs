//! Nothing that is read makes a parser panic, and nothing that is lost makes it believe.
#![allow(clippy::unwrap_used)]

mod checks;

use std::fs;
use std::path::Path;

use checks::PARSERS;
use proptest::prelude::*;
use proptest::sample::Index;
use two_node_ha_drbd::{Event, State, Version};

const LIVE: &str = include_str!("fixtures/8.4.11/live");

/// The text with a piece of it replaced.
fn damage(text: &str, at: usize, len: usize, by: &[u8]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % (bytes.len() + 1);
    let end = (at + len).min(bytes.len());
    bytes.splice(at..end, by.iter().copied());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The seeds of a parser, by their names.
fn seeds(parser: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut files: Vec<_> = fs::read_dir(dir.join(parser))
        .unwrap()
        .map(|seed| seed.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

#[test]
fn every_seed_of_the_fuzz_targets_is_read_without_a_contradiction() {
    for (name, check) in PARSERS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "no seed for {name}");
        for seed in seeds {
            check(seed.as_bytes());
        }
    }
}

proptest! {
    #[test]
    fn any_text_at_all_is_read_without_a_contradiction(text in "\\PC{0,200}") {
        for (_, check) in PARSERS {
            check(text.as_bytes());
        }
        let _ = Version::parse(&text);
    }

    #[test]
    fn damaged_output_of_the_real_programs_is_read_without_a_contradiction(
        which in any::<Index>(), at in any::<usize>(), len in 0usize..30,
        by in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        for (name, check) in PARSERS {
            let seeds = seeds(name);
            check(damage(&seeds[which.index(seeds.len())], at, len, &by).as_bytes());
        }
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
