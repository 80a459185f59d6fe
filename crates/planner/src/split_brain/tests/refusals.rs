//! What is refused, and with which words.

use super::cases::{side, voter};
use crate::observation::{Known, Mount, Role};
use crate::record::{CopyMade, Resolution};
use crate::split_brain::Cluster;
use crate::split_brain::plan::{Next, On, Order, Step, asked, next};
use crate::split_brain::side::{Disk, Link, Side};

const ORDER: Order = Order {
    without_copy: false,
};

fn pair() -> (Side, Side) {
    (side("haone", 5), side("hatwo", 6))
}

fn refused(winner: &Side, loser: &Side) -> String {
    match next(winner, loser, &ORDER) {
        Next::Refuse { reason, remedy } => format!("{reason}; {remedy}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nodes_that_are_only_disconnected_are_told_so_and_nothing_is_given_up() {
    let (winner, mut loser) = pair();
    loser.generation.clone_from(&winner.generation);
    assert!(refused(&winner, &loser).contains("this is no split brain"));
}

#[test]
fn without_identifiers_the_handler_s_word_is_needed() {
    let (winner, mut loser) = pair();
    loser.generation = Err("no such resource".into());
    let (mut silent_winner, mut silent_loser) = (winner.clone(), loser.clone());
    silent_winner.evidence.clear();
    silent_loser.evidence.clear();
    // That of either node is enough.
    for (winner, loser) in [
        (&winner, &loser),
        (&silent_winner, &loser),
        (&winner, &silent_loser),
    ] {
        let begin = Next::Take(On::Loser, Step::Begin);
        assert_eq!(next(winner, loser, &ORDER), begin);
    }
    let (winner, loser) = (silent_winner, silent_loser);
    assert!(refused(&winner, &loser).contains("hatwo: no such resource"));
}

#[test]
fn a_copy_that_is_not_whole_cannot_be_the_one_that_is_kept() {
    let (mut winner, loser) = pair();
    for disk in [Disk::Inconsistent, Disk::None] {
        winner.disk = disk;
        assert!(refused(&winner, &loser).contains("the copy of haone, which is to be kept"));
    }
}

#[test]
fn connected_nodes_have_nothing_to_resolve() {
    let (mut winner, mut loser) = pair();
    winner.link = Link::Connected;
    loser.link = Link::Connected;
    loser.generation.clone_from(&winner.generation);
    winner.evidence.clear();
    loser.evidence.clear();
    assert_eq!(next(&winner, &loser, &ORDER), Next::Done);
}

#[test]
fn a_volume_in_use_without_pacemaker_is_left_to_the_operator() {
    let (mut winner, mut loser) = pair();
    for side in [&mut winner, &mut loser] {
        side.cluster = Cluster::Absent;
        side.resolution = Known::Present(Resolution::new("haone", "hatwo", false));
    }
    loser = voter(loser);
    assert!(refused(&winner, &loser).contains("Pacemaker does not run there"));
    loser.mount = Mount::None;
    for role in [Role::Secondary, Role::Primary] {
        loser.role = role;
        assert!(refused(&winner, &loser).contains("Pacemaker does not run there"));
    }
    loser.held = false;
    assert_eq!(
        next(&winner, &loser, &ORDER),
        Next::Take(On::Loser, Step::Demote)
    );
}

#[test]
fn the_other_way_round_is_possible_until_data_was_given_up_and_not_after() {
    let (mut winner, mut loser) = pair();
    let other = Resolution::new("hatwo", "haone", false);
    loser.resolution = Known::Present(other.clone());
    winner.resolution = Known::Present(other.clone());
    assert_eq!(
        next(&winner, &loser, &ORDER),
        Next::Take(On::Loser, Step::Begin)
    );
    winner.resolution = Known::Present(Resolution {
        discarding: Some(winner.generation.as_ref().unwrap().current),
        ..other
    });
    let words = refused(&winner, &loser);
    assert!(words.contains("resolve --keep hatwo"), "{words}");
}

#[test]
fn a_copy_of_older_data_is_no_copy_and_an_old_word_no_word() {
    let (mut winner, mut loser) = pair();
    let noted = Resolution {
        copy: Some(CopyMade {
            name: "old".into(),
            generation: 0x77,
            writes: None,
        }),
        discarding: Some(0x77),
        ..Resolution::new("haone", "hatwo", false)
    };
    winner.resolution = Known::Present(Resolution::new("haone", "hatwo", false));
    loser.resolution = Known::Present(noted);
    assert_eq!(
        next(&winner, &loser, &ORDER),
        Next::Take(On::Loser, Step::Begin)
    );
}

#[test]
fn a_record_that_cannot_be_read_stops_everything() {
    let (mut winner, loser) = pair();
    winner.resolution = Known::Unreadable("format 2".into());
    assert!(refused(&winner, &loser).contains("format 2"));
}

#[test]
fn both_nodes_note_the_same_resolution_and_the_one_of_before_goes_from_the_winner_too() {
    let (mut winner, mut loser) = pair();
    let old = Resolution::new("haone", "hatwo", false).marked("old");
    winner.resolution = Known::Present(old.clone());
    let fresh = || "new".to_owned();
    let begin = |winner: &Side, loser: &Side| match next(winner, loser, &ORDER) {
        Next::Take(on, Step::Begin) => {
            let asked = asked(winner, loser, (on, &Step::Begin), &ORDER, fresh);
            (on, asked.mark, asked.over)
        }
        other => panic!("{other:?}"),
    };
    let strings = |on, mark: &str, over: &str| (on, mark.to_owned(), over.to_owned());
    assert_eq!(begin(&winner, &loser), strings(On::Loser, "new", ""));
    // The loser's was begun by another command, whose mark it has.
    loser.resolution = Known::Present(Resolution::new("haone", "hatwo", false).marked("begun"));
    assert_eq!(begin(&winner, &loser), strings(On::Winner, "begun", "old"));
    // One of an older version stays, which would go on without a mark for ever.
    for mark in ["begun", ""] {
        winner.resolution = Known::Present(old.clone().marked(mark));
        let Next::Take(on, step) = next(&winner, &loser, &ORDER) else {
            panic!("it does not go on");
        };
        assert_ne!(step, Step::Begin);
        let seen = if on == On::Winner { mark } else { "begun" };
        let asked = asked(&winner, &loser, (on, &step), &ORDER, fresh);
        assert_eq!(asked.mark, seen);
    }
    // Turned round: the winner's own is the first that goes.
    let turned = Resolution::new("hatwo", "haone", false).marked("turned");
    winner.resolution = Known::Present(turned.clone());
    loser.resolution = Known::Absent;
    assert_eq!(begin(&winner, &loser), strings(On::Winner, "new", "turned"));
    loser.resolution = Known::Present(turned);
    assert_eq!(begin(&winner, &loser), strings(On::Loser, "new", "turned"));
}
