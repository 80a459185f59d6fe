//! Whatever the bytes: no panic, and no answer that contradicts itself.
#![allow(clippy::unwrap_used)]

mod checks;
mod real;

use std::fs;
use std::io::Cursor;
use std::path::Path;

use checks::PARSERS;
use proptest::prelude::*;
use proptest::sample::Index;
use real::{Fixture, GENERATIONS, batches};
use two_node_ha_dqlite::{End, assess, read_segment, scan};

#[test]
fn every_seed_of_the_fuzz_targets_is_read_without_a_contradiction() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, check) in PARSERS {
        let mut found = 0;
        for seed in fs::read_dir(seeds.join(name)).unwrap() {
            check(&fs::read(seed.unwrap().path()).unwrap());
            found += 1;
        }
        assert!(found > 0, "no seed for {name}");
    }
}

#[test]
fn a_segment_cut_off_at_any_byte_keeps_the_batches_that_are_whole() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "term-1-snapshot");
        let state = fixture.dir("state");
        for closed in state.scan().closed {
            let content = state.read(&closed.file);
            let ends = batches(&content);
            for len in 0..=content.len() {
                let found = read_segment(Cursor::new(&content[..len]), len as u64).unwrap();
                // Each has one entry: there is one writer.
                let whole = ends[1..].iter().filter(|end| **end <= len as u64).count() as u64;
                assert_eq!(
                    (found.entries, found.batches),
                    (whole, whole),
                    "{len} {found:?}"
                );
                let at_an_end = ends[1..].contains(&(len as u64));
                assert_eq!(found.end == End::Whole, at_an_end, "{len} {found:?}");
            }
        }
    }
}

/// A change of a file's content.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Word(Index, u64),
    Cut(Index),
    Drop(Index, usize),
    Repeat(Index, usize),
    Zeros(Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    let word = prop_oneof![any::<u64>(), 0..4_u64, Just(1 << 18), Just(u64::MAX)];
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (index(), word).prop_map(|(at, word)| Edit::Word(at, word)),
        index().prop_map(Edit::Cut),
        (index(), 1..600_usize).prop_map(|(at, len)| Edit::Drop(at, len)),
        (index(), 1..600_usize).prop_map(|(at, len)| Edit::Repeat(at, len)),
        (index(), 1..1200_usize).prop_map(|(at, len)| Edit::Zeros(at, len)),
    ]
}

fn apply(content: &mut Vec<u8>, edit: &Edit) {
    if content.is_empty() {
        return;
    }
    let size = content.len();
    let range = |at: &Index, len: usize| {
        let at = at.index(size);
        at..(at + len).min(size)
    };
    match edit {
        Edit::Set(at, byte) => content[at.index(size)] = *byte,
        Edit::Word(at, word) => {
            let at = at.index(size) / 8 * 8;
            for (byte, new) in content[at..].iter_mut().zip(word.to_le_bytes()) {
                *byte = new;
            }
        }
        Edit::Cut(at) => content.truncate(at.index(size)),
        Edit::Drop(at, len) => drop(content.drain(range(at, *len))),
        Edit::Repeat(at, len) => {
            let range = range(at, *len);
            let piece = content[range.clone()].to_vec();
            content.splice(range.start..range.start, piece);
        }
        Edit::Zeros(at, len) => content[range(at, *len)].fill(0),
    }
}

/// The seeds of a parser: files of real dqlite.
fn seeds(parser: &str) -> Vec<Vec<u8>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(parser);
    let mut files: Vec<_> = fs::read_dir(seeds)
        .unwrap()
        .map(|seed| seed.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

proptest! {
    #[test]
    fn any_bytes_at_all_are_read_without_a_contradiction(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        for (_, check) in PARSERS {
            check(&bytes);
        }
    }

    #[test]
    fn any_made_up_directory_has_a_verdict(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        checks::log(&bytes);
    }

    #[test]
    fn edited_files_of_real_dqlite_are_read_without_a_contradiction(
        edits in proptest::collection::vec(edit(), 1..5),
        which in any::<Index>(),
    ) {
        for (name, check) in PARSERS {
            let seeds = seeds(name);
            let mut content = seeds[which.index(seeds.len())].clone();
            for edit in &edits {
                apply(&mut content, edit);
            }
            check(&content);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_directory_with_edited_files_has_a_verdict(
        edits in proptest::collection::vec((any::<Index>(), edit()), 1..6),
    ) {
        let fixture = Fixture::unpack("1.11", "clobbered-rename");
        let state = fixture.dir("state");
        let mut files: Vec<_> = fs::read_dir(&state.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        for (which, edit) in &edits {
            let file = &files[which.index(files.len())];
            let mut content = state.read(file);
            apply(&mut content, edit);
            state.write(file, &content);
        }
        // Format 2 is an error, and the only one.
        if let Ok(scan) = scan(&state.0) {
            checks::well_formed(&assess(&scan));
        }
    }
}
