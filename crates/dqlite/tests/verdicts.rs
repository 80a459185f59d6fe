//! What is said of state directories that real dqlite has written, as they are and damaged.
//!
//! Each test runs on the files of both generations.
#![allow(clippy::unwrap_used)]

mod checks;
mod real;

use ProblemKind::{
    Behind, Configuration, CutOff, Damaged, Gap, Identity, Metadata, Misnamed, Order, Snapshot,
};
use real::{Fixture, GENERATIONS, State};
use std::io::Cursor;
use two_node_ha_dqlite::repair::PlanError;

use two_node_ha_dqlite::{
    End, EntryType, Nature, ProblemKind, Report, ScanError, Verdict, assess, encode_batch,
    read_segment, scan,
};

/// A verdict, without its numbers.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Sound,
    Repairable,
    Lossy,
    NotDqlite,
}
use Expected::{Lossy, NotDqlite, Repairable, Sound};

fn check(place: &str, damage: impl Fn(&State), expected: Expected, kinds: &[ProblemKind]) {
    let (name, dir) = place.split_once('/').unwrap();
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, name);
        let state = fixture.dir(dir);
        damage(&state);
        let report = state.report();
        let verdict = match report.verdict {
            Verdict::Sound => Sound,
            Verdict::Repairable => Repairable,
            Verdict::Lossy(_) => Lossy,
            Verdict::NotDqlite => NotDqlite,
        };
        let found: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(
            (verdict, &found[..]),
            (expected_copy(&expected), kinds),
            "{generation}: {report:#?}"
        );
        checks::well_formed(&report);
        check_repair(&state, &report);
    }
}

/// The repair leads to where its plan says, loses no more than the verdict said, and not a byte of
/// the original.
fn check_repair(state: &State, report: &Report) {
    let original = state.files();
    match state.repaired(&[]) {
        Ok((plan, _beside, copy)) => {
            let after = copy.report();
            assert_eq!(after, plan.after, "{:#?}", plan.steps);
            assert_eq!(after.verdict, Verdict::Sound);
            assert_eq!(
                plan.lost.is_some(),
                matches!(report.verdict, Verdict::Lossy(_)),
                "{plan:#?}"
            );
            match report.verdict {
                Verdict::Sound => assert!(plan.steps.is_empty()),
                Verdict::Repairable => assert!(after.last_index >= report.last_index, "{plan:#?}"),
                // Nothing of it is known to be lost and kept at once.
                Verdict::Lossy(lost) => assert!(
                    after.last_index >= lost.first - 1
                        && plan.lost.unwrap().first > after.last_index,
                    "{plan:#?}"
                ),
                Verdict::NotDqlite => panic!("{plan:#?}"),
            }
        }
        Err(PlanError::NotDqlite) => assert_eq!(report.verdict, Verdict::NotDqlite),
        // What is left is said; which those are is in the tests of their own.
        Err(error @ (PlanError::NoRemedy(_) | PlanError::NothingLeft(_))) => {
            println!("no remedy: {error}")
        }
        Err(error) => panic!("{error}: {report:#?}"),
    }
    assert!(state.files() == original);
}

fn expected_copy(expected: &Expected) -> Expected {
    match expected {
        Sound => Sound,
        Repairable => Repairable,
        Lossy => Lossy,
        NotDqlite => NotDqlite,
    }
}

macro_rules! verdicts {
    ($($name:ident: $place:literal, $damage:expr, $verdict:expr, $kinds:expr;)*) => {
        $(#[test] fn $name() { check($place, $damage, $verdict, &$kinds) })*
    };
}

/// The second batch of the open segment, and the last one.
fn middle_and_last(state: &State) -> (String, u64, u64) {
    let open = state.open();
    let starts = state.batches(&open);
    (open, starts[1], starts[starts.len() - 2])
}

verdicts! {
    a_voter_closed_in_good_order_is_sound: "healthy/state", |_| {}, Sound, [];
    a_voter_killed_while_it_writes_is_sound: "killed/state", |_| {}, Sound, [];
    a_voter_with_a_spare_is_sound: "pair/voter", |_| {}, Sound, [];
    a_spare_without_any_log_is_sound: "pair/spare", |_| {}, Sound, [];
    a_voter_that_has_handed_over_is_sound: "handover/old", |_| {}, Sound, [];
    a_spare_that_has_taken_over_is_sound: "handover/new", |_| {}, Sound, [];
    a_log_behind_snapshots_is_sound: "snapshots/state", |_| {}, Sound, [];
    a_recovered_node_is_sound: "recovered/state", |_| {}, Sound, [];

    a_volume_mounted_over_a_running_node_has_a_gap: "mount-over/state", |_| {}, Lossy, [Gap];
    a_segment_closed_under_a_wrong_name_can_be_opened_again:
        "clobbered-rename/state", |_| {}, Repairable, [Misnamed];
    a_snapshot_of_a_recovery_that_was_deleted_leaves_a_gap:
        "term-1-snapshot/state", |_| {}, Lossy, [Gap];

    // Snapshots.
    the_older_snapshot_and_the_log_replace_a_newest_one_with_a_wrong_meta_checksum:
        "snapshots/state", |s| s.flip(&format!("{}.meta", s.snapshot(0)), 20), Repairable, [Snapshot];
    the_older_snapshot_and_the_log_replace_a_newest_one_with_damaged_data:
        "snapshots/state", |s| s.flip(&s.snapshot(0), 400), Repairable, [Snapshot];
    a_wrong_content_checksum_is_found:
        "snapshots/state", |s| { let f = s.snapshot(0); s.flip(&f, s.read(&f).len() as u64 - 2) },
        Repairable, [Snapshot];
    a_snapshot_whose_frame_has_lost_its_magic_is_none:
        "snapshots/state", |s| s.flip(&s.snapshot(0), 0), Repairable, [Snapshot];
    a_snapshot_that_ends_too_early_is_found:
        "snapshots/state", |s| { let f = s.snapshot(0); s.cut(&f, s.read(&f).len() as u64 - 8) },
        Repairable, [Snapshot];
    an_empty_meta_half_makes_dqlite_refuse:
        "snapshots/state", |s| s.cut(&format!("{}.meta", s.snapshot(0)), 0), Repairable, [Snapshot];
    an_empty_data_half_is_passed_over: "snapshots/state", |s| s.cut(&s.snapshot(0), 0), Sound, [];
    a_data_half_alone_is_passed_over:
        "snapshots/state", |s| s.remove(&format!("{}.meta", s.snapshot(0))), Sound, [];
    a_meta_half_alone_is_passed_over: "snapshots/state", |s| s.remove(&s.snapshot(0)), Sound, [];
    damage_in_the_older_snapshot_matters_only_when_it_is_needed:
        "snapshots/state", |s| s.flip(&s.snapshot(1), 400), Sound, [];
    without_any_snapshot_the_log_has_no_beginning:
        "snapshots/state", |s| for n in [1, 0] { s.remove(&s.snapshot(n)) }, Lossy, [Gap];
    two_damaged_snapshots_lose_what_is_in_them:
        "snapshots/state", |s| for n in [0, 1] { s.flip(&s.snapshot(n), 400) },
        Lossy, [Snapshot, Snapshot, Gap];
    the_upper_half_of_the_meta_checksum_is_not_looked_at:
        "snapshots/state", |s| s.flip(&format!("{}.meta", s.snapshot(0)), 13), Sound, [];

    // Closed segments.
    a_flipped_bit_in_the_header_of_a_batch_loses_it_and_what_follows:
        "healthy/state", |s| { let f = s.closed(); let at = s.batches(&f)[3]; s.flip(&f, at + 17) },
        Lossy, [Damaged];
    a_flipped_bit_in_the_data_of_a_batch_loses_it_and_what_follows:
        "healthy/state", |s| { let f = s.closed(); let at = s.batches(&f)[3]; s.flip(&f, at + 99) },
        Lossy, [Damaged];
    a_flipped_bit_in_a_checksum_loses_the_batch:
        "healthy/state", |s| { let f = s.closed(); let at = s.batches(&f)[3]; s.flip(&f, at + 4) },
        Lossy, [Damaged];
    a_flipped_bit_in_the_format_loses_the_segment:
        "healthy/state", |s| s.flip(&s.closed(), 1), Lossy, [Damaged];
    damage_in_a_segment_that_the_snapshot_covers_loses_nothing:
        "snapshots/state", |s| s.flip(&s.closed(), 99), Repairable, [Damaged];
    a_closed_segment_cut_off_within_a_batch_loses_its_end:
        "healthy/state", |s| { let f = s.closed(); let at = s.batches(&f)[3]; s.cut(&f, at + 99) },
        Lossy, [Damaged];
    a_closed_segment_cut_off_between_batches_loses_its_end:
        "healthy/state", |s| { let f = s.closed(); let at = s.batches(&f)[3]; s.cut(&f, at) },
        Lossy, [Damaged];
    a_closed_segment_with_zeros_behind_its_entries_is_cut_off_there:
        "healthy/state", |s| { let f = s.closed(); s.cut(&f, s.read(&f).len() as u64 + 4096) },
        Repairable, [Damaged];
    an_empty_closed_segment_has_lost_its_entries:
        "healthy/state", |s| s.cut(&s.closed(), 0), Lossy, [Damaged];
    a_closed_segment_of_seven_bytes_has_lost_its_entries:
        "healthy/state", |s| s.cut(&s.closed(), 7), Lossy, [Damaged];
    a_closed_segment_under_an_earlier_name_is_of_no_use:
        "healthy/state", |s| s.rename(&s.closed(), "0000000000000002-0000000000000003"),
        Lossy, [Damaged];
    a_missing_first_segment_leaves_a_gap:
        "healthy/state", |s| s.remove("0000000000000001-0000000000000001"), Lossy, [Gap];
    a_name_that_is_no_range_makes_dqlite_abort:
        "healthy/state", |s| s.write("0000000000000009-0000000000000003", b""),
        Repairable, [Misnamed];
    junk_under_the_name_of_a_newer_segment_makes_a_gap:
        "healthy/state", |s| s.write("0000000000000090-0000000000000091", b"junk"), Lossy, [Gap];
    a_copy_of_an_older_segment_under_a_wrong_name_is_not_taken_for_new_entries:
        "snapshots/state", |s| {
            let old = s.read(&s.closed());
            s.write("0000000000000900-0000000000000901", &old);
        }, Lossy, [Gap];

    two_segments_that_claim_the_same_indexes_make_dqlite_s_start_a_matter_of_luck:
        "recovered/state", |s| {
            let oldest = &s.scan().closed[0];
            s.rename(&oldest.file, &format!("{:016}-{:016}", oldest.first + 1, oldest.last + 1));
        }, Repairable, [Order];

    // Open segments.
    an_empty_open_segment_is_unused: "killed/state", |s| s.write("open-9", b""), Sound, [];
    zeros_are_an_unused_open_segment: "killed/state", |s| s.write("open-9", &[0; 4096]), Sound, [];
    an_open_segment_of_seven_bytes_makes_dqlite_refuse:
        "healthy/state", |s| s.write("open-1", b"\x01\0\0\0\0\0\0"), Repairable, [CutOff];
    an_open_segment_of_the_format_alone_makes_dqlite_refuse:
        "healthy/state", |s| s.write("open-1", b"\x01\0\0\0\0\0\0\0"), Repairable, [CutOff];
    an_open_segment_cut_off_within_its_zeros_is_sound:
        "killed/state", |s| { let f = s.open(); let end = *s.batches(&f).last().unwrap(); s.cut(&f, end + 16) },
        Sound, [];
    an_open_segment_cut_off_right_behind_its_entries_is_sound:
        "killed/state", |s| { let f = s.open(); let end = *s.batches(&f).last().unwrap(); s.cut(&f, end) },
        Sound, [];
    an_open_segment_with_a_few_zeros_behind_its_entries_makes_dqlite_refuse:
        "killed/state", |s| { let f = s.open(); let end = *s.batches(&f).last().unwrap(); s.cut(&f, end + 15) },
        Repairable, [CutOff];
    an_open_segment_cut_off_within_a_batch_loses_it:
        "killed/state", |s| { let (f, _, last) = middle_and_last(s); s.cut(&f, last + 200) },
        Lossy, [Damaged];
    a_flipped_bit_in_the_middle_of_an_open_segment_loses_what_dqlite_drops_in_silence:
        "killed/state", |s| { let (f, middle, _) = middle_and_last(s); s.flip(&f, middle + 99) },
        Lossy, [Damaged];
    a_flipped_bit_in_the_last_batch_is_not_taken_for_a_torn_write:
        "killed/state", |s| { let (f, _, last) = middle_and_last(s); s.flip(&f, last + 99) },
        Lossy, [Damaged];
    a_flipped_bit_in_the_count_of_entries_is_found:
        "killed/state", |s| { let (f, middle, _) = middle_and_last(s); s.flip(&f, middle + 8) },
        Lossy, [Damaged];
    a_torn_last_write_was_never_acknowledged:
        "killed/state", |s| {
            let (f, _, last) = middle_and_last(s);
            let end = *s.batches(&f).last().unwrap();
            let sector = (last + 512) / 512 * 512;
            s.patch(&f, sector, &vec![0; usize::try_from(end - sector).unwrap()]);
        }, Sound, [];
    a_torn_write_with_sound_entries_behind_it_is_none:
        "killed/state", |s| {
            let (f, _, _) = middle_and_last(s);
            let starts = s.batches(&f);
            let content = s.read(&f);
            let sector = (starts[1]..starts[2]).step_by(512).map(|at| at.next_multiple_of(512))
                .find(|at| content[*at as usize..][..512].iter().any(|byte| *byte != 0))
                .unwrap();
            s.patch(&f, sector, &[0; 512]);
        }, Lossy, [Damaged];
    a_format_of_zero_before_entries_hides_them:
        "killed/state", |s| { let f = s.open(); s.patch(&f, 0, &[0]) }, Lossy, [Damaged];
    a_missing_open_segment_between_others_is_found:
        "killed/state", |s| { let content = s.read(&s.open()); s.write("open-9", &content) },
        Lossy, [Order];

    // Metadata.
    metadata_of_another_format_makes_dqlite_refuse:
        "handover/new", |s| s.patch("metadata1", 0, &[9]), Repairable, [Metadata];
    metadata_of_version_zero_makes_dqlite_refuse:
        "handover/new", |s| s.patch("metadata1", 8, &[0]), Repairable, [Metadata];
    two_metadata_files_of_one_version_make_dqlite_refuse:
        "handover/new", |s| s.write("metadata2", &s.read("metadata1")), Repairable, [Metadata];
    metadata_of_33_bytes_makes_dqlite_refuse:
        "handover/new", |s| s.cut("metadata1", 33), Repairable, [Metadata];
    the_other_half_replaces_metadata_that_was_cut_off:
        "handover/new", |s| {
            // The older one: its term is that of before the last vote.
            let older = s.scan().metadata.iter().map(|m| m.as_ref().unwrap().as_ref().unwrap().version)
                .collect::<Vec<_>>();
            s.cut(if older[0] < older[1] { "metadata1" } else { "metadata2" }, 31);
        }, Sound, [];
    metadata_behind_the_log_is_an_older_copy:
        "handover/new", |s| for f in ["metadata1", "metadata2"] { s.patch(f, 16, &[1]) },
        Repairable, [Metadata];
    a_founder_without_metadata_would_found_a_new_cluster:
        "healthy/state", |s| s.remove("metadata1"), Repairable, [Identity];
    another_node_without_metadata_has_lost_its_term:
        "handover/new", |s| for f in ["metadata1", "metadata2"] { s.remove(f) },
        Repairable, [Identity];

    // Identity.
    info_without_cluster_makes_dqlite_refuse:
        "healthy/state", |s| s.remove("cluster.yaml"), Repairable, [Identity];
    cluster_without_info_makes_dqlite_refuse:
        "healthy/state", |s| s.remove("info.yaml"), Repairable, [Identity];
    neither_of_them_is_as_lxd_has_it:
        "healthy/state", |s| for f in ["info.yaml", "cluster.yaml"] { s.remove(f) }, Sound, [];
    a_leftover_join_makes_dqlite_refuse: "healthy/state", |s| s.write("join", b""), Repairable, [Identity];
    a_yaml_file_that_makes_no_sense_is_named:
        "healthy/state", |s| s.write("info.yaml", b"\xff"), Repairable, [Identity];
    a_founder_alone_has_nothing_to_repair:
        "healthy/state", |s| for f in s.scan().closed.iter().map(|c| c.file.as_str()).chain(["metadata1"]) { s.remove(f) },
        Lossy, [Identity];

    a_founder_with_a_term_and_no_log_has_lost_it:
        "healthy/state", |s| for c in s.scan().closed { s.remove(&c.file) }, Lossy, [Configuration];
    another_member_with_a_term_and_no_log_may_be_one_without_data:
        "handover/new", |s| for o in s.scan().open { s.remove(&o.file) }, Sound, [];

    // Foreign files.
    files_that_are_none_of_dqlites_are_passed_over:
        "snapshots/state", |s| for f in ["notes.txt", "tmp-snapshot-9-9-9", "corrupt-1-open-1", "dqlite-lock",
            "snapshot-9-9-9.meta.bak", "00000000000000001-00000000000000001"] { s.write(f, b"x") },
        Sound, [];
    a_folder_with_the_name_of_a_segment_is_passed_over:
        "killed/state", |s| std::fs::create_dir(s.path("open-7")).unwrap(), Sound, [];
    a_folder_of_anything_else_is_none_of_dqlites:
        "pair/spare", |s| { for f in ["info.yaml", "cluster.yaml"] { s.remove(f) } s.write("notes.txt", b"x") },
        NotDqlite, [];
    segments_behind_the_snapshot_with_unused_open_ones_make_dqlite_refuse:
        "snapshots/state", |s| {
            let cut = s.closed();
            for open in s.scan().open { s.remove(&open.file) }
            s.write("open-1", &[0; 4096]);
            // Its name ends one entry short of the snapshot, and so does its content.
            let content = s.read(&cut);
            let starts = s.batches(&cut);
            s.write(&cut, &content[..usize::try_from(starts[starts.len() - 2]).unwrap()]);
            let closed = &s.scan().closed[0];
            s.rename(&cut, &format!("{:016}-{:016}", closed.first, closed.first + closed.content.entries - 1));
        }, Repairable, [Behind];
}

#[test]
fn files_of_format_2_are_refused() {
    for generation in GENERATIONS {
        for (file, name) in [("metadata1", "metadata1"), ("open", "open-1")] {
            let fixture = Fixture::unpack(generation, "killed");
            let state = fixture.dir("state");
            let file = if file == "open" {
                state.open()
            } else {
                file.to_owned()
            };
            state.patch(&file, 0, &[2]);
            match scan(&state.0) {
                Err(ScanError::Next(path)) => assert!(path.ends_with(name), "{path:?}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let error = scan(std::path::Path::new("/nowhere/state")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/state"), "{error}");
}

#[test]
fn what_is_lost_is_said_in_numbers() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "healthy");
        let state = fixture.dir("state");
        let sound = state.report();
        let file = state.closed();
        let starts = state.batches(&file);
        state.flip(&file, starts[3] + 99);
        let report = state.report();
        let closed = &state.scan().closed[1];
        // Each batch has one entry: there is one writer.
        assert_eq!(report.last_index, closed.first + 2);
        let Verdict::Lossy(lost) = report.verdict else {
            panic!("{report:?}");
        };
        assert_eq!(
            (lost.first, lost.last),
            (closed.first + 3, sound.last_index)
        );
        assert_eq!(report.problems[0].lost, Some(lost));
        assert!(
            report.problems[0].detail.contains("one bit has flipped"),
            "{report:#?}"
        );
    }
}

#[test]
fn the_configuration_is_rafts_and_not_that_of_the_yaml_files() {
    use two_node_ha_dqlite::Role;
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "handover");
        let report = fixture.dir("new").report();
        let roles: Vec<_> = report
            .configuration
            .iter()
            .map(|server| server.role)
            .collect();
        assert_eq!(roles, [Role::Spare, Role::Voter]);
        assert!(report.last_term > 1);
        // The one that handed over missed the last change.
        let old = fixture.dir("old").report();
        assert!(old.last_index < report.last_index);
        assert!(old.configuration_index < report.configuration_index);
    }
}

#[test]
fn a_snapshot_tells_which_databases_are_in_it() {
    for generation in GENERATIONS {
        let report = Fixture::unpack(generation, "snapshots")
            .dir("state")
            .report();
        let [older, newest] = &report.snapshots[..] else {
            panic!("{report:#?}");
        };
        assert!(older.index < newest.index && older.sound && newest.sound);
        assert_eq!(
            report.snapshot.map(|position| position.index),
            Some(newest.index)
        );
        assert_eq!(newest.databases.len(), 1);
        assert_eq!(newest.databases[0].name, "k8s");
        assert!(
            newest.databases[0].main + newest.databases[0].wal >= 8192,
            "{newest:?}"
        );
        assert!(newest.content > newest.size);
    }
}

#[test]
fn every_acknowledged_row_is_an_entry() {
    for generation in GENERATIONS {
        for (name, dir) in [
            ("healthy", "state"),
            ("killed", "state"),
            ("snapshots", "state"),
        ] {
            let fixture = Fixture::unpack(generation, name);
            let acked: u64 = String::from_utf8(fixture.dir("").read("acked"))
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            let report = fixture.dir(dir).report();
            assert!(
                report.last_index > acked,
                "{generation} {name}: {acked} {report:#?}"
            );
        }
    }
}

#[test]
fn reading_changes_nothing() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "clobbered-rename");
        let state = fixture.dir("state");
        let before = state.files();
        let _ = assess(&state.scan());
        assert!(state.files() == before);
    }
}

/// An open segment with one whole batch of `first` words, and one of `last` behind it.
fn two_batches(first: &[u64], last: &[u64]) -> (Vec<u8>, usize) {
    let bytes = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let mut content = 1_u64.to_le_bytes().to_vec();
    content.extend(encode_batch(&[(1, EntryType::Command, &bytes(first))]));
    let at = content.len();
    content.extend(encode_batch(&[(1, EntryType::Command, &bytes(last))]));
    (content, at)
}

#[test]
fn a_last_write_that_lacks_one_sector_is_torn_wherever_it_begins_and_ends() {
    // What stands in the last words: anything, or zeros but for one bit, which is then the one that a
    // flip would have changed.
    for tail in [0x0706_0504_0302_0101, 1, 1 << 63] {
        for shift in 0..64 {
            for words in [1, 2, 70, 133] {
                let mut last = vec![0x5a5a_0101_u64; words];
                last[words - 1] = tail;
                let (whole, at) = two_batches(&vec![3; shift + 1], &last);
                let end = whole.len();
                for sector in at / 512..end.div_ceil(512) {
                    let lacks = (sector * 512).max(at)..((sector + 1) * 512).min(end);
                    let mut content = whole.clone();
                    content[lacks.clone()].fill(0);
                    content.resize(end + 8192, 0);
                    let size = content.len() as u64;
                    let read = read_segment(Cursor::new(&content), size).unwrap();
                    assert_eq!(read.entries, 1);
                    match &read.end {
                        // None of it: as if it had never been begun.
                        End::Zeros => {}
                        End::Bad(damage) => assert_eq!(
                            damage.nature,
                            Nature::Torn,
                            "{lacks:?} of {at}..{end}, {tail:#x}: {damage:?}"
                        ),
                        other => panic!("{lacks:?} of {at}..{end}: {other:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_bit_that_flips_outside_of_the_zeros_of_the_last_write_is_no_torn_one() {
    // The last words, alone in their sector, are zeros by nature.
    let mut last = vec![0x5a5a_0101_u64; 70];
    last[67..].fill(0);
    for shift in 0..64 {
        let (whole, at) = two_batches(&vec![3; shift + 1], &last);
        for byte in [at + 5, at + 40, at + 200] {
            let mut content = whole.clone();
            content[byte] ^= 1;
            content.resize(whole.len() + 8192, 0);
            let size = content.len() as u64;
            let read = read_segment(Cursor::new(&content), size).unwrap();
            let End::Bad(damage) = &read.end else {
                panic!("{:?}", read.end);
            };
            assert_eq!(damage.nature, Nature::FlippedBit, "{damage:?}");
        }
    }
}
