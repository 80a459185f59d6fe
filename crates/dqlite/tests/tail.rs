//! The end of a log, read without the rest, is the end of the whole; on files of real dqlite.
#![allow(clippy::unwrap_used)]

mod real;

use std::path::Path;

use real::{Fixture, GENERATIONS, State};
use two_node_ha_dqlite::{
    EntryType, Found, Meta, Report, Role, Server, Tail, TailCache, Verdict, encode_batch,
    encode_meta, tail,
};

/// Every directory of every scenario.
fn every_directory(mut check: impl FnMut(&str, &State)) {
    for generation in GENERATIONS {
        for (name, dirs) in [
            ("handover", &["old", "new"][..]),
            ("pair", &["voter", "spare"]),
            ("healthy", &["state"]),
            ("killed", &["state"]),
            ("snapshots", &["state"]),
            ("recovered", &["state"]),
            ("term-1-snapshot", &["state"]),
        ] {
            let fixture = Fixture::unpack(generation, name);
            for dir in dirs {
                check(&format!("{generation} {name} {dir}"), &fixture.dir(dir));
            }
        }
    }
}

fn found(state: &State) -> Found {
    tail(&state.0, &mut TailCache::default()).unwrap()
}

fn tail_of(state: &State) -> Tail {
    match found(state) {
        Found::Tail(tail) => tail,
        other => panic!("{other:?}"),
    }
}

fn voters(report: &Report) -> Vec<u64> {
    let voters = report
        .configuration
        .iter()
        .filter(|s| s.role == Role::Voter);
    let mut voters: Vec<_> = voters.map(|server| server.id).collect();
    voters.sort_unstable();
    voters
}

#[test]
fn the_tail_says_of_the_log_what_the_whole_directory_says() {
    let mut with_log = 0;
    every_directory(|what, state| {
        let report = state.report();
        match found(state) {
            Found::Nothing => assert_eq!(report.last_index, 0, "{what}"),
            Found::Damaged(why) => {
                assert!(matches!(report.verdict, Verdict::Lossy(_)), "{what}: {why}")
            }
            Found::Tail(tail) => {
                with_log += 1;
                assert!(!matches!(report.verdict, Verdict::Lossy(_)), "{what}");
                let last = (report.last_term, report.last_index);
                assert_eq!((tail.last.term, tail.last.index), last, "{what}");
                assert_eq!(tail.voters, voters(&report), "{what}");
                assert!(tail.completed <= tail.last.index, "{what}");
            }
        }
    });
    assert!(with_log > 10, "{with_log}");
}

#[test]
fn what_precedes_the_newest_snapshot_is_not_read() {
    for generation in GENERATIONS {
        let state = Fixture::unpack(generation, "snapshots");
        let state = state.dir("state");
        let before = tail_of(&state);
        let report = state.report();
        let index = report.snapshot.unwrap().index;
        let mut spoilt = 0;
        for closed in state.scan().closed {
            if closed.last <= index {
                state.write(&closed.file, b"nothing that could be read");
                spoilt += 1;
            }
        }
        let data = state.snapshot(0);
        state.flip(&data, 9);
        assert!(spoilt > 0);
        assert_eq!(tail_of(&state), before, "{generation}");
    }
}

#[test]
fn a_second_look_sees_what_has_been_appended_and_what_was_taken_away() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "killed");
        let state = fixture.dir("state");
        let mut cache = TailCache::default();
        let mut look = || match tail(&state.0, &mut cache).unwrap() {
            Found::Tail(tail) => tail,
            other => panic!("{other:?}"),
        };
        let first = look();
        assert_eq!(look(), first);
        let open = state.open();
        let content = state.read(&open);
        let used = usize::try_from(*state.batches(&open).last().unwrap()).unwrap();
        // The last batch once more, behind itself.
        let starts = state.batches(&open);
        let from = usize::try_from(starts[starts.len() - 2]).unwrap();
        state.patch(&open, used as u64, &content[from..used]);
        assert!(look().last.index > first.last.index, "{generation}");
        assert_eq!(look().completed, first.completed, "it is not closed");
        state.write(&open, &content);
        assert_eq!(look(), first, "{generation}");
    }
}

#[test]
fn after_a_handover_raft_names_the_other_node_on_both_disks() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "handover");
        let (old, new) = (tail_of(&fixture.dir("old")), tail_of(&fixture.dir("new")));
        eprintln!("{generation}: {old:?} {new:?}");
        let [taker] = new.voters[..] else {
            panic!("{new:?}");
        };
        assert!(old.voters.contains(&taker), "{old:?} {new:?}");
        assert!(new.last.index > old.last.index);
    }
}

/// A snapshot with index 20, and segments of one batch each.
fn with_segments(dir: &Path, segments: &[(&str, u64)]) -> State {
    let state = State(dir.to_path_buf());
    let words = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let servers = vec![Server {
        id: 1,
        address: "10.0.0.1:9000".to_owned(),
        role: Role::Voter,
    }];
    let meta = Meta {
        configuration_index: 1,
        servers,
    };
    state.write("snapshot-2-20-77", &words(&[1, 0]));
    state.write("snapshot-2-20-77.meta", &encode_meta(&meta));
    state.write("metadata1", &words(&[1, 1, 2, 0]));
    for (file, entries) in segments {
        let entry = (2, EntryType::Command, &[7; 8][..]);
        let entries = vec![entry; usize::try_from(*entries).unwrap()];
        state.write(file, &[words(&[1]), encode_batch(&entries)].concat());
    }
    state
}

#[test]
fn entries_in_open_segments_follow_the_closed_ones_also_where_those_end_before_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let segments = [
        ("0000000000000001-0000000000000012", 12),
        ("0000000000000013-0000000000000016", 4),
        ("open-3", 7),
    ];
    let state = with_segments(dir.path(), &segments);
    assert_eq!(tail_of(&state).last.index, 23);
    assert_eq!(tail_of(&state).last.index, state.report().last_index);
}

#[test]
fn damage_behind_the_snapshot_is_no_end_of_a_log() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "healthy");
        let state = fixture.dir("state");
        state.flip(&state.closed(), 99);
        assert!(
            matches!(found(&state), Found::Damaged(_)),
            "{generation}: {:?}",
            found(&state)
        );
    }
}

#[test]
fn a_directory_without_entries_has_no_tail() {
    let dir = tempfile::tempdir().unwrap();
    let state = State(dir.path().to_path_buf());
    assert_eq!(found(&state), Found::Nothing);
    state.write("info.yaml", b"Address: 10.0.0.1:9000\nID: 1\nRole: 0\n");
    assert_eq!(found(&state), Found::Nothing);
    assert!(tail(&dir.path().join("absent"), &mut TailCache::default()).is_err());
}
