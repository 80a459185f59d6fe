//! One condition each: the least that differs between two nodes that a step is for and two that it is
//! not for.

use super::cases::side;
use crate::observation::{Known, Mount, Role};
use crate::record::{CopyMade, Resolution};
use crate::split_brain::plan::{Next, On, Order, Step, healed, next};
use crate::split_brain::side::{Disk, Link};
use crate::split_brain::{Cluster, Side, predict};

const ORDER: Order = Order {
    without_copy: false,
};

/// haone, whose data is kept, and hatwo.
fn pair() -> (Side, Side) {
    (side("haone", 5), side("hatwo", 6))
}

/// The same once DRBD has brought hatwo's copy up to date, with nothing left of a resolution.
fn equal() -> (Side, Side) {
    let (mut winner, mut loser) = pair();
    loser.generation.clone_from(&winner.generation);
    for side in [&mut winner, &mut loser] {
        side.link = Link::Connected;
        side.evidence.clear();
    }
    (winner, loser)
}

fn noted() -> Known<Resolution> {
    Known::Present(Resolution::new("haone", "hatwo", false).marked("one"))
}

fn banned() -> Cluster {
    Cluster::Here {
        banned: Some("hatwo".into()),
    }
}

/// A copy of data that the node does not have any more.
fn outdated() -> Known<Resolution> {
    Known::Present(Resolution {
        copy: Some(CopyMade {
            name: "old".into(),
            generation: 0x77,
            writes: None,
        }),
        ..Resolution::new("haone", "hatwo", false)
    })
}

#[test]
fn each_step_says_what_it_does_on_which_node_and_only_what_may_take_long_gives_way() {
    for (step, words, gives_way) in [
        (
            Step::Begin,
            "note on haone that the data of hatwo is given up",
            false,
        ),
        (Step::Ban, "keep Pacemaker from promoting hatwo", true),
        (Step::Demote, "make DRBD secondary on haone", false),
        (Step::Disconnect, "disconnect DRBD on haone", false),
        (Step::Copy, "copy the data of haone", true),
        (
            Step::Forget(5),
            "forget on haone the epochs above 5, which are given up",
            false,
        ),
        (
            Step::Discard,
            "connect DRBD on haone, discarding its data",
            false,
        ),
        (Step::Connect, "connect DRBD on haone", false),
        (Step::Unban, "let Pacemaker promote hatwo again", true),
        (Step::Finish, "end the resolution on haone", true),
    ] {
        assert_eq!(step.describe("haone", "hatwo"), words);
        assert_eq!(step.gives_way(), gives_way, "{words}");
    }
}

#[test]
fn a_node_is_busy_as_long_as_its_unit_its_mount_or_drbds_role_is_there() {
    let (quiet, _) = pair();
    assert!(!quiet.busy());
    for (held, mount, role) in [
        (true, Mount::None, Role::Secondary),
        (false, Mount::ReadOnly, Role::Secondary),
        (false, Mount::None, Role::Primary),
    ] {
        let mut side = quiet.clone();
        (side.held, side.mount, side.role) = (held, mount, role);
        assert!(side.busy(), "{side:?}");
    }
}

#[test]
fn nothing_is_cleared_away_before_both_nodes_see_that_their_copies_are_equal() {
    let (winner, loser) = equal();
    assert!(healed(&winner, &loser));
    for (link, disk) in [
        (Link::Resyncing, Disk::Inconsistent),
        (Link::Connecting, Disk::UpToDate),
        (Link::Connected, Disk::Inconsistent),
    ] {
        let (mut winner, mut loser) = (winner.clone(), loser.clone());
        for side in [&mut winner, &mut loser] {
            (side.resolution, side.cluster) = (noted(), banned());
        }
        (loser.link, loser.disk) = (link, disk);
        assert!(!healed(&winner, &loser) && !healed(&loser, &winner));
        let next = next(&winner, &loser, &ORDER);
        assert!(
            !matches!(next, Next::Take(_, Step::Unban | Step::Finish)),
            "{next:?}"
        );
    }
}

#[test]
fn once_both_copies_are_equal_a_node_forgets_its_evidence_and_its_resolution_where_it_has_either() {
    let (winner, loser) = equal();
    assert_eq!(next(&winner, &loser, &ORDER), Next::Done);
    for (resolution, evidence) in [
        (noted(), vec![]),
        (Known::Absent, vec!["evidence".into()]),
        (noted(), vec!["evidence".into()]),
    ] {
        for on in [On::Winner, On::Loser] {
            let (mut winner, mut loser) = (winner.clone(), loser.clone());
            let side = match on {
                On::Winner => &mut winner,
                On::Loser => &mut loser,
            };
            (side.resolution, side.evidence) = (resolution.clone(), evidence.clone());
            let finish = Next::Take(on, Step::Finish);
            assert_eq!(next(&winner, &loser, &ORDER), finish);
        }
    }
}

#[test]
fn where_one_node_says_that_it_is_connected_nothing_begins_and_what_is_left_of_before_is_waited_for()
 {
    let left: [fn(&mut Side, &mut Side); 4] = [
        |winner, _| winner.resolution = noted(),
        |winner, _| winner.cluster = banned(),
        |_, loser| loser.resolution = outdated(),
        |_, loser| loser.cluster = banned(),
    ];
    for link in [Link::Connected, Link::Resyncing] {
        for (of_winner, of_loser) in [(link, Link::Connecting), (Link::Connecting, link)] {
            let (mut winner, mut loser) = pair();
            (winner.link, loser.link) = (of_winner, of_loser);
            assert_eq!(next(&winner, &loser, &ORDER), Next::Done);
            for leave in left {
                let (mut winner, mut loser) = (winner.clone(), loser.clone());
                leave(&mut winner, &mut loser);
                let next = next(&winner, &loser, &ORDER);
                assert!(matches!(next, Next::Wait(_)), "{next:?}");
            }
        }
    }
}

#[test]
fn another_word_about_the_copy_begins_anew_until_it_is_made_or_the_data_is_given_up() {
    let (winner, loser) = pair();
    let current = loser.generation.as_ref().unwrap().current;
    let copy = CopyMade {
        name: "copy".into(),
        generation: current,
        writes: loser.writes.clone(),
    };
    let begins = |without_copy: bool, noted: &Resolution| {
        let (mut winner, mut loser) = (winner.clone(), loser.clone());
        winner.resolution = Known::Present(noted.clone());
        loser.resolution = Known::Present(noted.clone());
        let next = next(&winner, &loser, &Order { without_copy });
        next == Next::Take(On::Loser, Step::Begin)
    };
    for without_copy in [true, false] {
        let mut noted = Resolution::new("haone", "hatwo", !without_copy);
        assert!(begins(without_copy, &noted), "{noted:?}");
        assert!(!begins(!without_copy, &noted), "the same word");
        noted.copy = Some(copy.clone());
        assert!(!begins(without_copy, &noted), "{noted:?}");
        noted.discarding = Some(current);
        assert!(!begins(without_copy, &noted), "{noted:?}");
        noted.copy = None;
        assert!(!begins(without_copy, &noted), "{noted:?}");
    }
}

#[test]
fn two_nodes_are_expected_to_connect_only_once_both_look_for_each_other() {
    for (of_winner, of_loser, connect) in [
        (Link::Connecting, Link::StandAlone, false),
        (Link::StandAlone, Link::Connecting, false),
        (Link::Connecting, Link::Connecting, true),
    ] {
        let (mut winner, mut loser) = pair();
        (winner.link, loser.link) = (of_winner, of_loser);
        assert_eq!(predict::wait(&mut winner, &mut loser), connect);
        let resyncing = (Link::Resyncing, Link::Resyncing);
        assert_eq!((winner.link, loser.link) == resyncing, connect);
    }
}
