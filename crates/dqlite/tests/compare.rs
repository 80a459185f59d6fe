//! Which of two logs has more, and where they part; on files of real dqlite.
#![allow(clippy::unwrap_used)]

mod real;

use real::{Fixture, GENERATIONS, State};
use two_node_ha_dqlite::{Comparison, Kind, Range, Relation, Verdict, compare, parting, prints};

fn compared(a: &State, b: &State) -> Comparison {
    let comparison = compare(&a.0, &b.0).unwrap();
    let json = serde_json::to_string(&comparison).unwrap();
    assert_eq!(
        serde_json::from_str::<Comparison>(&json).unwrap(),
        comparison
    );
    // Checksums that have travelled say the same, where they reach back far enough.
    let apart = parting(&prints(&a.0, 8192).unwrap(), &prints(&b.0, 8192).unwrap());
    assert_eq!(
        (apart.only_a, apart.only_b, apart.differs),
        (
            comparison.only_a,
            comparison.only_b,
            comparison.divergence.map(|d| d.index)
        ),
        "{apart:?} {comparison:?}"
    );
    comparison
}

/// A fixture's directory, and a copy in which something was done.
fn with_copy(name: &str, change: impl Fn(&State), check: impl Fn(&Comparison, &State, &State)) {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, name);
        let state = fixture.dir("state");
        let (_beside, copy) = state.copy();
        change(&copy);
        check(&compared(&state, &copy), &state, &copy);
        // The other way round it is the same, with the names exchanged.
        let (one, other) = (compared(&state, &copy), compared(&copy, &state));
        assert_eq!((one.only_a, one.only_b), (other.only_b, other.only_a));
        assert_eq!((one.same, one.a), (other.same, other.b));
    }
}

#[test]
fn a_copy_is_the_same() {
    with_copy(
        "snapshots",
        |_| {},
        |c, state, _| {
            assert_eq!(c.relation, Relation::Same);
            assert_eq!((c.divergence, c.only_a, c.only_b), (None, None, None));
            assert_eq!(c.same, c.a.log);
            assert_eq!(c.same.unwrap().last, state.report().last_index);
        },
    );
}

#[test]
fn the_one_that_took_over_is_ahead_of_the_one_that_handed_over() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "handover");
        let (old, new) = (fixture.dir("old"), fixture.dir("new"));
        let comparison = compared(&old, &new);
        assert_eq!(comparison.relation, Relation::BAhead, "{comparison:#?}");
        let last = old.report().last_index;
        assert_eq!(comparison.same.unwrap().last, last);
        assert_eq!(
            comparison.only_b,
            Some(Range {
                first: last + 1,
                last: new.report().last_index
            })
        );
    }
}

#[test]
fn a_spare_without_any_log_is_behind() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "pair");
        let comparison = compared(&fixture.dir("spare"), &fixture.dir("voter"));
        assert_eq!(comparison.relation, Relation::BAhead, "{comparison:#?}");
        assert_eq!(comparison.only_b.unwrap().first, 1);
    }
}

#[test]
fn logs_with_another_entry_under_the_same_index_and_term_have_parted_there() {
    with_copy(
        "killed",
        |copy| copy.rewrite(&copy.open(), 2),
        |c, state, copy| {
            assert_eq!(c.relation, Relation::Diverged, "{c:#?}");
            let divergence = c.divergence.unwrap();
            assert_eq!(divergence.a, divergence.b, "the data differs, nothing else");
            assert_eq!(divergence.a.kind, Kind::Command);
            assert_eq!(divergence.index, c.same.unwrap().last + 1);
            let last = state.report().last_index;
            assert_eq!(copy.report().last_index, last);
            let range = Range {
                first: divergence.index,
                last,
            };
            assert_eq!((c.only_a, c.only_b), (Some(range), Some(range)));
        },
    );
}

#[test]
fn segments_with_other_borders_hold_the_same_log() {
    // The repair writes the entries of the source in batches of its own.
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "healthy");
        let state = fixture.dir("state");
        let (_beside, damaged) = state.copy();
        damaged.flip(&damaged.closed(), 99);
        let (_plan, _also, repaired) = damaged.repaired(&[&state]).unwrap();
        let names = |state: &State| state.files().into_iter().map(|f| f.2).collect::<Vec<_>>();
        assert!(names(&repaired) != names(&state));
        assert_eq!(compared(&state, &repaired).relation, Relation::Same);
    }
}

#[test]
fn of_a_damaged_directory_what_can_be_kept_is_compared() {
    with_copy(
        "healthy",
        |copy| {
            let file = copy.closed();
            copy.flip(&file, copy.batches(&file)[3] + 99);
        },
        |c, _, _| {
            assert_eq!(c.relation, Relation::AAhead, "{c:#?}");
            assert!(matches!(c.b.verdict, Verdict::Lossy(_)));
            assert_eq!(c.only_a.unwrap().first, c.b.last_index + 1);
        },
    );
}

#[test]
fn logs_without_an_entry_in_common_are_not_said_to_be_ahead_of_each_other() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "snapshots");
        let state = fixture.dir("state");
        let other = Fixture::unpack(generation, "pair");
        // The one begins behind a snapshot, the other one ends before that.
        let (_beside, copy) = state.copy();
        for closed in copy.scan().closed {
            copy.remove(&closed.file);
        }
        let comparison = compared(&copy, &other.dir("voter"));
        assert_eq!(
            comparison.relation,
            Relation::Unconnected,
            "{comparison:#?}"
        );
        assert_eq!((comparison.only_a, comparison.only_b), (None, None));
    }
}

#[test]
fn equal_snapshots_with_nothing_behind_them_are_the_same() {
    with_copy(
        "snapshots",
        |_| {},
        |_, state, copy| {
            for dir in [state, copy] {
                for closed in dir.scan().closed {
                    dir.remove(&closed.file);
                }
                for open in dir.scan().open {
                    dir.remove(&open.file);
                }
            }
            let comparison = compared(state, copy);
            assert_eq!(comparison.relation, Relation::Same, "{comparison:#?}");
            assert_eq!(comparison.same, None);
        },
    );
}

#[test]
fn checksums_that_do_not_reach_back_to_what_is_common_do_not_guess() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "handover");
        let (old, new) = (fixture.dir("old"), fixture.dir("new"));
        let short = prints(&new.0, 1).unwrap();
        assert_eq!(short.entries.len(), 1);
        let apart = parting(&prints(&old.0, 8192).unwrap(), &short);
        assert_eq!(apart.relation, Relation::Unconnected);
        assert_eq!((apart.only_a, apart.only_b), (None, None));
    }
}
