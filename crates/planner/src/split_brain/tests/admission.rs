//! Which steps a node takes, by what it sees of itself. What a machine does with the answer is tested
//! there.

use crate::observation::{Known, Observation};
use crate::record::{Epoch, Resolution};
use crate::split_brain::admission::{Here, Standing, may_take};
use crate::split_brain::plan::Step;
use crate::world::{booted, given_the_volume};

/// haone, which DRBD has cut from hatwo.
fn alone() -> Observation {
    let mut o = booted();
    (o.drbd.connected, o.drbd.equal, o.drbd.alone) = (false, false, true);
    o
}

#[test]
fn a_resolution_begins_between_the_two_nodes_whichever_is_kept_and_between_no_others() {
    let seen = &alone();
    let begin = |winner: &str, loser: &str| {
        let noted = &Known::Absent;
        let asked = Resolution::new(winner, loser, false).marked("one");
        may_take(Here { seen, noted }, &Step::Begin, &asked)
    };
    assert_eq!(begin("haone", "hatwo"), Ok(Standing::Due));
    assert_eq!(begin("hatwo", "haone"), Ok(Standing::Due));
    for (winner, loser) in [
        ("haone", "haone"),
        ("haone", "hathree"),
        ("hathree", "haone"),
        ("hathree", "hafour"),
    ] {
        let why = begin(winner, loser).unwrap_err();
        assert!(why.contains("are not the two nodes"), "{why}");
    }
}

#[test]
fn epochs_above_that_of_the_volume_mounted_here_are_forgotten_and_its_own_never_is() {
    let mut o = alone();
    given_the_volume(
        &mut o,
        Known::Present(Epoch::first("hatwo").taken_over_by("haone")),
    );
    o.journal.highest_epoch = 3;
    let asked = Resolution::new("haone", "hatwo", false).marked("one");
    let noted = &Known::Present(asked.clone());
    let forget = |seen: &Observation, epoch| {
        let step = Step::Forget(epoch);
        may_take(Here { seen, noted }, &step, &asked)
    };
    let why = forget(&o, 1).unwrap_err();
    assert!(why.contains("epoch 2, which is not given up"), "{why}");
    assert_eq!(forget(&o, 2), Ok(Standing::Due));
    assert_eq!(forget(&o, 3), Ok(Standing::Taken));
    o.journal.highest_epoch = 2;
    assert_eq!(forget(&o, 2), Ok(Standing::Taken));
}
