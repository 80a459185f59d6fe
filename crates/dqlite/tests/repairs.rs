//! What is repaired how, on files of real dqlite: with what is in the directory, and with what other
//! directories have. That each damage of `verdicts.rs` is repaired as its plan says is shown there.
#![allow(clippy::unwrap_used)]

mod real;

use real::{Fixture, GENERATIONS, State};
use two_node_ha_dqlite::repair::{Kinship, Plan, PlanError};
use two_node_ha_dqlite::{Relation, Step, Verdict, compare};

/// A directory of both generations, and a copy of it that is damaged.
fn each(place: &str, damage: impl Fn(&State), mut check: impl FnMut(&State, &State)) {
    let (name, dir) = place.split_once('/').unwrap();
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, name);
        let state = fixture.dir(dir);
        let (_beside, damaged) = state.copy();
        damage(&damaged);
        check(&state, &damaged);
    }
}

/// What is lost without another directory is not with a whole one, and the log is the same again.
fn lossless_with_source(place: &str, damage: impl Fn(&State)) -> Vec<Step> {
    let mut steps = Vec::new();
    each(place, damage, |state, damaged| {
        let alone = Plan::of(&damaged.0, &[]);
        assert!(
            matches!(&alone, Ok(plan) if plan.lost.is_some())
                || matches!(
                    alone,
                    Err(PlanError::NoRemedy(_) | PlanError::NothingLeft(_))
                ),
            "{alone:#?}"
        );
        let (plan, _beside, repaired) = damaged.repaired(&[state]).unwrap();
        assert_eq!(plan.lost, None, "{:#?}", plan.steps);
        assert_eq!(repaired.report(), plan.after);
        let comparison = compare(&state.0, &repaired.0).unwrap();
        assert_eq!(comparison.relation, Relation::Same, "{comparison:#?}");
        steps = plan.steps.into_iter().map(|planned| planned.step).collect();
    });
    steps
}

fn has_entries(steps: &[Step]) -> bool {
    steps
        .iter()
        .any(|step| matches!(step, Step::Entries { .. }))
}

#[test]
fn a_damaged_closed_segment_is_made_up_from_another_directory() {
    let steps = lossless_with_source("healthy/state", |s| {
        let file = s.closed();
        s.flip(&file, s.batches(&file)[3] + 99);
    });
    assert!(has_entries(&steps), "{steps:#?}");
}

#[test]
fn a_closed_segment_of_which_nothing_is_left_is_made_up_from_another_directory() {
    lossless_with_source("healthy/state", |s| s.cut(&s.closed(), 0));
}

#[test]
fn a_damaged_batch_of_an_open_segment_is_made_up_and_what_follows_it_too() {
    for at in [99, 8, 17] {
        lossless_with_source("killed/state", |s| {
            let open = s.open();
            s.flip(&open, s.batches(&open)[2] + at);
        });
    }
}

#[test]
fn a_missing_first_segment_is_made_up_from_another_directory() {
    lossless_with_source("healthy/state", |s| {
        s.remove("0000000000000001-0000000000000001");
    });
}

#[test]
fn entries_missing_behind_the_snapshot_are_made_up_and_those_behind_them_stay() {
    // The newest snapshot goes with the segment that it needs the older one for.
    let steps = lossless_with_source("recovered/state", |s| {
        let scan = s.scan();
        let covered = scan.snapshots.last().unwrap().name.index;
        let first = scan.closed.iter().find(|c| c.last > covered).unwrap();
        s.remove(&first.file);
    });
    assert!(
        has_entries(&steps) && !steps.iter().any(|s| matches!(s, Step::LeaveOut { .. })),
        "{steps:#?}"
    );
}

#[test]
fn snapshots_that_are_all_damaged_are_replaced_by_one_that_fits() {
    let steps = lossless_with_source("snapshots/state", |s| {
        for n in [0, 1] {
            s.flip(&s.snapshot(n), 400);
        }
    });
    assert!(
        steps.iter().any(|s| matches!(s, Step::Snapshot { .. })),
        "{steps:#?}"
    );
}

#[test]
fn snapshots_that_are_all_gone_are_replaced_by_one_that_fits() {
    lossless_with_source("snapshots/state", |s| {
        for n in [1, 0] {
            s.remove(&s.snapshot(n));
        }
    });
}

#[test]
fn a_directory_of_another_log_gives_nothing() {
    each(
        "healthy/state",
        |s| {
            let file = s.closed();
            s.flip(&file, s.batches(&file)[3] + 99);
        },
        |state, damaged| {
            // As long, and of the same terms, but one of its first entries is another one.
            let (_beside, other) = state.copy();
            other.rewrite(&other.closed(), 1);
            assert_eq!(other.report().verdict, Verdict::Sound);
            let (plan, _also, _) = damaged.repaired(&[&other]).unwrap();
            assert!(
                matches!(plan.sources[0].kinship, Kinship::Other { .. }),
                "{:#?}",
                plan.sources
            );
            assert!(plan.lost.is_some());
            // The second one that is given is taken.
            let (plan, _also, _) = damaged.repaired(&[&other, state]).unwrap();
            assert_eq!(plan.lost, None);
        },
    );
}

#[test]
fn a_directory_without_an_entry_in_common_gives_nothing() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "term-1-snapshot");
        let other = Fixture::unpack(generation, "pair");
        let state = fixture.dir("state");
        for source in [other.dir("spare"), other.dir("voter")] {
            let plan = Plan::of(&state.0, &[&source.0]).unwrap();
            assert!(plan.lost.is_some());
            assert!(!matches!(plan.sources[0].kinship, Kinship::Kin { .. }));
        }
    }
}

#[test]
fn a_source_that_is_damaged_elsewhere_still_gives_what_it_has() {
    each(
        "healthy/state",
        |s| {
            let file = s.closed();
            s.flip(&file, s.batches(&file)[3] + 99);
        },
        |state, damaged| {
            let (_beside, source) = state.copy();
            source.remove("cluster.yaml");
            let (plan, ..) = damaged.repaired(&[&source]).unwrap();
            assert_eq!(plan.lost, None);
            // Too damaged to give all that is missing.
            let file = source.closed();
            source.flip(&file, source.batches(&file)[4] + 99);
            let (plan, ..) = damaged.repaired(&[&source]).unwrap();
            assert!(plan.lost.is_some());
        },
    );
}

#[test]
fn an_older_copy_beneath_a_gap_is_enough() {
    each(
        "recovered/state",
        |s| {
            let scan = s.scan();
            let covered = scan.snapshots.last().unwrap().name.index;
            let first = scan.closed.iter().find(|c| c.last > covered).unwrap();
            s.remove(&first.file);
        },
        |state, damaged| {
            // It ends where the gap ends.
            let (_beside, older) = state.copy();
            let closed = older.scan().closed;
            let gap = older.report().snapshot.unwrap().index + 1;
            let first = closed.iter().position(|c| c.last >= gap).unwrap();
            for later in &closed[first + 1..] {
                older.remove(&later.file);
            }
            for open in older.scan().open {
                older.remove(&open.file);
            }
            let (plan, _also, repaired) = damaged.repaired(&[&older]).unwrap();
            assert_eq!(plan.lost, None, "{plan:#?}");
            let comparison = compare(&state.0, &repaired.0).unwrap();
            assert_eq!(comparison.relation, Relation::Same, "{comparison:#?}");
        },
    );
}

#[test]
fn a_lossy_repair_gives_up_what_it_says_and_keeps_everything_before_it() {
    each(
        "killed/state",
        |s| {
            let open = s.open();
            s.flip(&open, s.batches(&open)[3] + 99);
        },
        |state, damaged| {
            let whole = state.report();
            let Verdict::Lossy(lost) = damaged.report().verdict else {
                panic!("{:#?}", damaged.report());
            };
            let (plan, _beside, repaired) = damaged.repaired(&[]).unwrap();
            assert_eq!(plan.lost, Some(lost));
            assert_eq!(lost.last, whole.last_index);
            let comparison = compare(&state.0, &repaired.0).unwrap();
            assert_eq!(comparison.relation, Relation::AAhead, "{comparison:#?}");
            assert_eq!(comparison.only_a, Some(lost));
        },
    );
}

#[test]
fn a_directory_of_which_nothing_can_be_kept_is_not_emptied() {
    each(
        "term-1-snapshot/state",
        |s| {
            for snapshot in s.scan().snapshots {
                s.remove(&snapshot.name.to_string());
            }
        },
        |_, damaged| {
            let plan = Plan::of(&damaged.0, &[]);
            assert!(matches!(plan, Err(PlanError::NothingLeft(_))), "{plan:#?}");
        },
    );
}

#[test]
fn new_metadata_is_newer_than_the_log_and_has_no_vote() {
    each(
        "handover/new",
        |s| {
            for file in ["metadata1", "metadata2"] {
                s.remove(file);
            }
        },
        |state, damaged| {
            let (plan, _beside, repaired) = damaged.repaired(&[]).unwrap();
            assert_eq!(plan.lost, None);
            let metadata = repaired.report().metadata.unwrap();
            assert!(metadata.term > state.report().last_term);
            assert_eq!((metadata.version, metadata.voted_for), (1, 0));
        },
    );
}

#[test]
fn what_takes_a_file_s_place_has_its_owner_and_is_private() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    each(
        "healthy/state",
        |s| {
            let file = s.closed();
            s.flip(&file, s.batches(&file)[3] + 99);
            s.remove("cluster.yaml");
            // As dqlite makes them; the archives do not know.
            for (name, ..) in s.files() {
                let private = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(s.0.join(name), private).unwrap();
            }
        },
        |state, damaged| {
            let (plan, _beside, repaired) = damaged.repaired(&[state]).unwrap();
            assert_eq!(plan.lost, None);
            let owner = std::fs::metadata(&damaged.0).unwrap().uid();
            for (name, ..) in repaired.files() {
                if damaged.0.join(&name).exists() {
                    continue;
                }
                let meta = std::fs::metadata(repaired.0.join(&name)).unwrap();
                assert_eq!(meta.uid(), owner, "{name:?}");
                assert_eq!(meta.permissions().mode() & 0o077, 0, "{name:?}");
            }
        },
    );
}
