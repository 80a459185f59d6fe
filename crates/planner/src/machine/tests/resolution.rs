//! A step of a split brain's resolution is asked for.

use super::*;
use crate::split_brain::plan::Step as Asked;

/// haone, whose data is given up for hatwo's: alone, with nothing of it in use.
fn loser() -> Observation {
    let mut o = booted();
    (o.drbd.connected, o.drbd.equal, o.drbd.seeking) = (false, false, false);
    o.drbd.alone = true;
    o
}

fn resolution() -> Resolution {
    Resolution::new("hatwo", "haone", false).marked("one")
}

fn asks(step: Asked) -> Event {
    Event::Resolve {
        ticket: 7,
        step,
        resolution: Box::new(resolution()),
    }
}

/// What a node that has noted this resolution makes of it.
fn asked(o: &Observation, noted: Known<Resolution>, step: Asked) -> (Machine, Vec<Action>) {
    let mut machine = machine();
    machine.handle(asks(step), NOW);
    let mut seen = sight(o);
    seen.resolution = noted;
    assert_eq!(actions(&mut machine, NOW), [Action::Look]);
    machine.seen(seen, &config(), NOW);
    let then = actions(&mut machine, NOW);
    (machine, then)
}

fn noted() -> Known<Resolution> {
    Known::Present(resolution())
}

fn copied() -> Known<Resolution> {
    let mut noted = resolution();
    noted.copy = Some(crate::record::CopyMade {
        name: "r0-1".into(),
        generation: 1,
        writes: None,
    });
    Known::Present(noted)
}

fn discarding() -> Known<Resolution> {
    let mut noted = resolution();
    noted.discarding = Some(1);
    Known::Present(noted)
}

fn is_taken(o: &Observation, noted: Known<Resolution>, step: Asked) -> bool {
    let task = Task::Resolve(step.clone(), Box::new(resolution()));
    let (_, then) = asked(o, noted, step);
    let taken = did(&then) == Some(&task);
    assert_eq!(taken, answers(&then).is_empty(), "{then:?}");
    taken
}

fn refusal(o: &Observation, noted: Known<Resolution>, step: Asked) -> String {
    let (_, then) = asked(o, noted, step);
    match &answers(&then)[..] {
        [(7, Err(why))] => why.clone(),
        other => panic!("{other:?} {then:?}"),
    }
}

#[test]
fn each_step_is_taken_where_the_plan_could_ask_for_it() {
    let mut o = loser();
    let begin = Resolution::new("hatwo", "haone", false)
        .marked("one")
        .over("");
    let mut machine = machine();
    machine.handle(
        Event::Resolve {
            ticket: 7,
            step: Asked::Begin,
            resolution: Box::new(begin),
        },
        NOW,
    );
    let then = looks(&mut machine, &o, NOW);
    assert!(matches!(did(&then), Some(Task::Resolve(Asked::Begin, _))));
    assert!(is_taken(&o, noted(), Asked::Ban));
    assert!(is_taken(&o, noted(), Asked::Copy));
    assert!(is_taken(&o, noted(), Asked::Forget(1)));
    assert!(is_taken(&o, copied(), Asked::Discard));
    // By the operator's leave, or where that was begun.
    let mut without = resolution();
    without.without_copy = true;
    assert!(is_taken(&o, Known::Present(without), Asked::Discard));
    assert!(is_taken(&o, discarding(), Asked::Discard));
    o.drbd.role = Role::Primary;
    assert!(is_taken(&o, noted(), Asked::Demote));
    let mut o = loser();
    o.drbd.alone = false;
    assert!(is_taken(&o, noted(), Asked::Disconnect));
    let o = booted();
    assert!(o.drbd.equal);
    assert!(is_taken(&o, noted(), Asked::Finish));
    assert!(is_taken(&o, noted(), Asked::Unban));
}

#[test]
fn a_serving_primary_that_is_connected_is_neither_made_part_of_a_resolution_nor_disconnected() {
    let o = voter();
    assert!(o.drbd.connected);
    let why = refusal(&o, Known::Absent, Asked::Ban);
    assert!(why.contains("noted since"), "{why}");
    let begin = Resolution::new("hatwo", "haone", false).marked("one");
    let mut machine = machine();
    machine.handle(
        Event::Resolve {
            ticket: 7,
            step: Asked::Begin,
            resolution: Box::new(begin),
        },
        NOW,
    );
    let then = looks(&mut machine, &o, NOW);
    let [(7, Err(why))] = &answers(&then)[..] else {
        panic!("{then:?}");
    };
    assert!(why.contains("there is no split brain on haone"), "{why}");
    for (mount, role, connected) in [
        (Mount::ReadWrite, Role::Primary, true),
        (Mount::ReadWrite, Role::Secondary, false),
        (Mount::None, Role::Primary, false),
        (Mount::None, Role::Secondary, true),
    ] {
        let mut o = loser();
        o.drbd.alone = false;
        (o.mount, o.drbd.role, o.drbd.connected) = (mount, role, connected);
        for step in [Asked::Disconnect, Asked::Copy, Asked::Discard] {
            refusal(&o, copied(), step);
        }
    }
}

#[test]
fn the_failover_unit_and_the_mount_of_the_node_itself_keep_its_data() {
    for (request, unit, mount) in [
        (Request::Hold, true, Mount::None),
        (Request::None, true, Mount::None),
        (Request::None, false, Mount::ReadOnly),
    ] {
        let mut o = loser();
        (o.request, o.failover_unit, o.mount) = (request, unit, mount);
        for step in [Asked::Demote, Asked::Copy, Asked::Discard] {
            let mut o = o.clone();
            if step == Asked::Demote {
                o.drbd.role = Role::Primary;
            }
            let why = refusal(&o, copied(), step);
            assert!(why.contains("in use on haone"), "{why}");
        }
    }
}

#[test]
fn nothing_is_discarded_without_a_copy_on_the_wrong_node_or_while_the_copies_differ() {
    let o = loser();
    let why = refusal(&o, noted(), Asked::Discard);
    assert!(why.contains("no copy"), "{why}");
    let mut kept = resolution();
    (kept.winner, kept.loser) = ("haone".into(), "hatwo".into());
    for step in [
        Asked::Discard,
        Asked::Copy,
        Asked::Disconnect,
        Asked::Demote,
    ] {
        let why = refusal(&o, Known::Present(kept.clone()), step);
        assert!(why.contains("keeps haone"), "{why}");
    }
    refusal(&o, noted(), Asked::Connect);
    for step in [Asked::Unban, Asked::Finish] {
        let why = refusal(&o, noted(), step);
        assert!(why.contains("not the same yet"), "{why}");
    }
    let mut mounted = voter();
    mounted.journal.highest_epoch = 3;
    let why = refusal(&mounted, noted(), Asked::Forget(1));
    assert!(why.contains("epoch 2, which is not given up"), "{why}");
}

#[test]
fn a_node_whose_data_is_kept_or_that_is_primary_or_of_which_drbd_says_nothing_gives_none_up() {
    // The other way round: haone is kept.
    let mut kept = Resolution::new("haone", "hatwo", true).marked("one");
    kept.copy = None;
    for step in [
        Asked::Discard,
        Asked::Copy,
        Asked::Disconnect,
        Asked::Demote,
    ] {
        let mut machine = machine();
        machine.handle(
            Event::Resolve {
                ticket: 7,
                step: step.clone(),
                resolution: Box::new(kept.clone()),
            },
            NOW,
        );
        let mut seen = sight(&loser());
        seen.resolution = Known::Present(kept.clone());
        assert_eq!(actions(&mut machine, NOW), [Action::Look]);
        machine.seen(seen, &config(), NOW);
        let then = actions(&mut machine, NOW);
        let [(7, Err(why))] = &answers(&then)[..] else {
            panic!("{step:?}: {then:?}");
        };
        assert_eq!(why, "the data of haone is to be kept");
    }
    for role in [Role::Primary, Role::Unknown] {
        let mut o = loser();
        o.drbd.role = role;
        for step in [Asked::Copy, Asked::Discard] {
            let why = refusal(&o, copied(), step);
            assert!(why.contains("in use on haone"), "{why}");
        }
    }
    let mut o = loser();
    (o.drbd.role, o.drbd.alone) = (Role::Primary, false);
    let why = refusal(&o, noted(), Asked::Disconnect);
    assert!(why.contains("still primary"), "{why}");
    o.drbd.role = Role::Secondary;
    let why = refusal(&o, discarding(), Asked::Disconnect);
    assert!(why.contains("being discarded already"), "{why}");
}

#[test]
fn a_step_of_another_resolution_than_the_noted_one_is_refused_and_what_is_so_already_is_answered() {
    let other = Known::Present(resolution().marked("two"));
    for step in [Asked::Ban, Asked::Copy, Asked::Forget(1), Asked::Discard] {
        let why = refusal(&loser(), other.clone(), step);
        assert!(why.contains("another resolution"), "{why}");
    }
    let unreadable = Known::Unreadable("cannot read it".into());
    assert_eq!(refusal(&loser(), unreadable, Asked::Ban), "cannot read it");
    for (o, noted, step) in [
        (loser(), copied(), Asked::Copy),
        (loser(), noted(), Asked::Demote),
        (loser(), noted(), Asked::Disconnect),
        (loser(), noted(), Asked::Begin),
        (loser(), noted(), Asked::Forget(2)),
        (booted(), Known::Absent, Asked::Finish),
    ] {
        let (_, then) = asked(&o, noted, step.clone());
        assert_eq!(answers(&then), [(7, Ok(()))], "{step:?}");
        assert!(!matches!(did(&then), Some(Task::Resolve(..))));
    }
}

#[test]
fn a_step_that_waits_for_a_release_keeps_nobody_else_waiting_and_those_behind_it_in_order() {
    let mut o = loser();
    o.request = Request::Release;
    let mut machine = machine();
    for event in [asks(Asked::Ban), stop_for("hatwo", 2), asks(Asked::Demote)] {
        machine.handle(event, NOW);
    }
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), Some(&Task::StopForPeer));
    machine.done(Ok(Outcome::Done), NOW);
    let mut o = loser();
    o.drbd.role = crate::observation::Role::Primary;
    for step in [Asked::Ban, Asked::Demote] {
        actions(&mut machine, NOW);
        let mut seen = sight(&o);
        seen.resolution = noted();
        machine.seen(seen, &config(), NOW);
        let then = actions(&mut machine, NOW);
        let task = Task::Resolve(step, Box::new(resolution()));
        assert_eq!(did(&then), Some(&task), "{then:?}");
        machine.done(Ok(Outcome::Done), NOW);
    }
}

#[test]
fn a_step_waits_until_the_node_has_left_the_volume_and_then_it_is_taken() {
    let mut o = loser();
    o.request = Request::Release;
    let (mut machine, then) = asked(&o, noted(), Asked::Ban);
    assert_eq!(answers(&then), [], "the command goes on waiting");
    assert!(!matches!(did(&then), Some(Task::Resolve(..))), "{then:?}");
    machine.done(Ok(Outcome::Done), NOW);
    actions(&mut machine, NOW);
    let mut after = sight(&loser());
    after.resolution = noted();
    machine.seen(after, &config(), NOW);
    let then = actions(&mut machine, NOW);
    assert!(
        matches!(did(&then), Some(Task::Resolve(Asked::Ban, _))),
        "{then:?}"
    );
}

#[test]
fn while_a_step_of_a_resolution_is_taken_no_other_is_and_the_other_way_round() {
    let (mut machine, then) = asked(&loser(), noted(), Asked::Ban);
    assert!(did(&then).is_some());
    assert_eq!(
        standings(&then)
            .pop()
            .and_then(|shown| shown.doing)
            .as_ref(),
        did(&then),
        "it is shown"
    );
    machine.handle(asks(Asked::Copy), NOW);
    machine.handle(Event::Changed, NOW);
    assert_eq!(actions(&mut machine, NOW), []);
    machine.done(Ok(Outcome::Done), NOW);
    let then = actions(&mut machine, NOW);
    assert_eq!(answers(&then), [(7, Ok(()))]);
    assert_eq!(then.last(), Some(&Action::Look));
    let mut seen = sight(&loser());
    seen.resolution = noted();
    machine.seen(seen, &config(), NOW);
    let then = actions(&mut machine, NOW);
    assert!(matches!(did(&then), Some(Task::Resolve(Asked::Copy, _))));
}

#[test]
fn a_copy_gives_way_to_the_peer_that_is_about_to_be_the_voter_and_is_made_after_that() {
    let (mut machine, then) = asked(&loser(), noted(), Asked::Copy);
    assert!(did(&then).is_some());
    machine.handle(stop_for("hatwo", 2), NOW);
    assert_eq!(
        actions(&mut machine, NOW),
        [Action::Retract, Action::Interrupt]
    );
    machine.done(Err(failure(Kind::Interruption)), NOW);
    let mut seen = sight(&loser());
    seen.resolution = noted();
    let then = actions(&mut machine, NOW);
    assert_eq!(then, [Action::Look], "the command goes on waiting");
    machine.seen(seen.clone(), &config(), NOW);
    let then = actions(&mut machine, NOW);
    assert_eq!(did(&then), Some(&Task::StopForPeer));
    machine.done(Ok(Outcome::Done), NOW);
    let then = actions(&mut machine, NOW);
    assert_eq!(then.last(), Some(&Action::Look));
    machine.seen(seen, &config(), NOW);
    let then = actions(&mut machine, NOW);
    assert!(matches!(did(&then), Some(Task::Resolve(Asked::Copy, _))));
    // One that gave way to a release is taken after that, too.
    machine.handle(Event::Asks(Request::Release), NOW);
    machine.done(Err(failure(Kind::Interruption)), NOW);
    let then = actions(&mut machine, NOW);
    assert_eq!(answers(&then), [], "the command goes on waiting");
}
