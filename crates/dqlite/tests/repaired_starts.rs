//! After a repair real dqlite starts: with every row where nothing was lost, and without exactly
//! the announced ones where something was.
//!
//! `tests/against-dqlite` runs these.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod real;

use std::collections::BTreeSet;

use real::{Fixture, State, generation, scenario, start};
use two_node_ha_dqlite::repair::Plan;
use two_node_ha_dqlite::{Relation, Verdict, compare};

/// Rows by their number.
fn numbered(rows: &BTreeSet<String>) -> Vec<(u64, String)> {
    let mut all: Vec<_> = rows
        .iter()
        .map(|row| (row.split(' ').next().unwrap().parse().unwrap(), row.clone()))
        .collect();
    all.sort();
    all
}

/// A directory of a fixture is damaged and repaired; the plan, and the rows before and after.
fn repaired(
    place: &str,
    damage: impl Fn(&State),
    with_source: bool,
) -> (Plan, BTreeSet<String>, BTreeSet<String>) {
    let (name, dir) = place.split_once('/').unwrap();
    let fixture = Fixture::unpack(&generation(), name);
    let state = fixture.dir(dir);
    let all = start(&state).expect("the fixture starts").rows;
    let (_beside, damaged) = state.copy();
    damage(&damaged);
    assert_ne!(damaged.report().verdict, Verdict::Sound);
    let sources: &[&State] = if with_source { &[&state] } else { &[] };
    let (plan, _also, result) = damaged.repaired(sources).unwrap();
    let started = start(&result).expect("the repaired directory starts");
    assert!(!started.moved, "dqlite has found something corrupt");
    (plan, all, started.rows)
}

fn lossless(place: &str, damage: impl Fn(&State), with_source: bool) {
    let (plan, before, after) = repaired(place, damage, with_source);
    assert_eq!(plan.lost, None);
    assert!(!before.is_empty());
    assert_eq!(after, before);
}

/// At the end of the log each entry is a row: whoever writes does nothing else.
fn lossy(place: &str, damage: impl Fn(&State)) {
    let (plan, before, after) = repaired(place, damage, false);
    let lost = usize::try_from(plan.lost.unwrap().entries()).unwrap();
    let before = numbered(&before);
    assert!(lost < before.len());
    assert_eq!(numbered(&after), before[..before.len() - lost]);
}

macro_rules! starts {
    ($($name:ident: $body:expr;)*) => {
        $(#[test] #[ignore = "needs real dqlite: tests/against-dqlite"] fn $name() { $body })*
    };
}

fn in_closed(nth: usize, at: u64) -> impl Fn(&State) {
    move |s| {
        let file = s.closed();
        s.flip(&file, s.batches(&file)[nth] + at);
    }
}

fn in_open(nth: usize, at: u64) -> impl Fn(&State) {
    move |s| {
        let file = s.open();
        s.flip(&file, s.batches(&file)[nth] + at);
    }
}

starts! {
    // With what is in the directory.
    a_damaged_snapshot_costs_no_row:
        lossless("snapshots/state", |s| s.flip(&s.snapshot(0), 400), false);
    a_damaged_snapshot_meta_costs_no_row:
        lossless("snapshots/state", |s| s.flip(&format!("{}.meta", s.snapshot(0)), 20), false);
    damage_that_the_snapshot_covers_costs_no_row:
        lossless("snapshots/state", |s| s.flip(&s.closed(), 99), false);
    zeros_behind_a_closed_segment_cost_no_row:
        lossless("healthy/state", |s| { let f = s.closed(); s.cut(&f, s.read(&f).len() as u64 + 4096) }, false);
    a_few_zeros_behind_an_open_segment_cost_no_row:
        lossless("killed/state", |s| { let f = s.open(); let end = *s.batches(&f).last().unwrap(); s.cut(&f, end + 15) }, false);
    an_open_segment_of_seven_bytes_costs_no_row:
        lossless("healthy/state", |s| s.write("open-1", &[1, 0, 0, 0, 0, 0, 0]), false);
    a_name_that_is_no_range_costs_no_row:
        lossless("healthy/state", |s| s.write("0000000000000009-0000000000000003", b""), false);
    lost_metadata_of_a_founder_costs_no_row:
        lossless("healthy/state", |s| s.remove("metadata1"), false);
    lost_metadata_of_a_member_costs_no_row:
        lossless("recovered/state", |s| for f in ["metadata1", "metadata2"] {
            if s.path(f).exists() { s.remove(f) }
        }, false);
    metadata_of_another_format_costs_no_row:
        lossless("recovered/state", |s| s.patch("metadata1", 0, &[9]), false);
    a_lost_cluster_yaml_costs_no_row:
        lossless("healthy/state", |s| s.remove("cluster.yaml"), false);
    a_lost_info_yaml_costs_no_row:
        lossless("healthy/state", |s| s.remove("info.yaml"), false);
    a_leftover_join_costs_no_row:
        lossless("healthy/state", |s| s.write("join", b""), false);

    // With another directory.
    a_closed_segment_made_up_from_another_directory_costs_no_row:
        lossless("healthy/state", in_closed(3, 99), true);
    a_closed_segment_of_which_nothing_is_left_costs_no_row:
        lossless("healthy/state", |s| s.cut(&s.closed(), 0), true);
    an_open_segment_made_up_from_another_directory_costs_no_row:
        lossless("killed/state", in_open(2, 99), true);
    an_open_segment_with_a_broken_header_made_up_costs_no_row:
        lossless("killed/state", in_open(2, 17), true);
    a_first_segment_made_up_from_another_directory_costs_no_row:
        lossless("healthy/state", |s| s.remove("0000000000000001-0000000000000001"), true);
    snapshots_from_another_directory_cost_no_row:
        lossless("snapshots/state", |s| for n in [0, 1] { s.flip(&s.snapshot(n), 400) }, true);
    a_gap_behind_the_snapshot_filled_from_another_directory_costs_no_row:
        lossless("recovered/state", |s| {
            let scan = s.scan();
            let covered = scan.snapshots.last().unwrap().name.index;
            let first = scan.closed.iter().find(|c| c.last > covered).unwrap();
            s.remove(&first.file);
        }, true);

    // With a loss.
    a_flipped_bit_in_a_closed_segment_costs_the_announced_rows:
        lossy("healthy/state", in_closed(6, 99));
    a_closed_segment_cut_off_between_batches_costs_the_announced_rows:
        lossy("healthy/state", |s| { let f = s.closed(); let at = s.batches(&f)[7]; s.cut(&f, at) });
    a_flipped_bit_in_an_open_segment_costs_the_announced_rows:
        lossy("killed/state", in_open(5, 99));
    a_broken_header_in_an_open_segment_costs_the_announced_rows:
        lossy("killed/state", in_open(5, 17));
    an_open_segment_cut_off_within_a_batch_costs_the_announced_rows:
        lossy("killed/state", |s| {
            let f = s.open();
            let starts = s.batches(&f);
            s.cut(&f, starts[starts.len() - 2] + 200);
        });
}

/// A segment was closed under another one's name: real dqlite refuses the directory, and starts on
/// the repaired one with all that the volume had.
#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn a_segment_that_was_closed_under_a_wrong_name_costs_no_row() {
    let fixture = Fixture::unpack(&generation(), "clobbered-rename");
    let state = fixture.dir("state");
    assert!(start(&state).is_none());
    let (plan, _beside, repaired) = state.repaired(&[]).unwrap();
    assert_eq!(plan.lost, None);
    let rows = numbered(&start(&repaired).expect("it starts").rows);
    assert_eq!(plan.after.last_index, repaired.report().last_index);
    // Each entry behind the snapshot is a row, and so are those in it.
    let numbers: Vec<_> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(numbers.len() > 50, "{numbers:?}");
}

/// A volume was mounted over the directory of a running node. What is missing on the volume lies
/// beneath the mount point.
#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn what_lies_beneath_the_mount_point_brings_every_acknowledged_row_back() {
    let fixture = scenario("mount-over");
    let (state, under) = (fixture.dir("state"), fixture.dir("state.under"));
    assert!(start(&state).is_none());
    let alone = Plan::of(&state.0, &[]).unwrap();
    assert!(alone.lost.is_some());
    let (plan, _beside, repaired) = state.repaired(&[&under]).unwrap();
    assert_eq!(plan.lost, None, "{plan:#?}");
    let rows = start(&repaired).expect("it starts").rows;
    let acked: usize = String::from_utf8(fixture.dir("").read("acked"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(rows.len() >= acked, "{} of {acked} rows", rows.len());
    let comparison = compare(&under.0, &repaired.0).unwrap();
    assert!(
        matches!(comparison.relation, Relation::Same | Relation::BAhead),
        "{comparison:#?}"
    );
}

/// The other one loses what it says: nothing else has the entries.
#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn a_gap_that_nothing_fills_costs_what_is_behind_it() {
    for name in ["mount-over", "term-1-snapshot"] {
        let fixture = Fixture::unpack(&generation(), name);
        let state = fixture.dir("state");
        assert!(start(&state).is_none());
        let (plan, _beside, repaired) = state.repaired(&[]).unwrap();
        let lost = plan.lost.unwrap();
        assert_eq!(lost.first, plan.after.last_index + 1);
        let rows = numbered(&start(&repaired).expect("it starts").rows);
        let numbers: Vec<_> = rows.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
}
