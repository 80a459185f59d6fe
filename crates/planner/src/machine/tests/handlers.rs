//! What the handlers of DRBD's want.

use super::*;

fn called(ticket: Ticket, wants: Wants, age: u64) -> Event {
    Event::Handler {
        ticket,
        handler: "local-io-error".into(),
        wants,
        age: Duration::from_secs(age),
    }
}

fn demote() -> Task {
    Task::Demote("local-io-error".into())
}

fn heard(actions: &[Action]) -> Vec<Ticket> {
    let ticket = |action: &Action| match action {
        Action::Heard(ticket) => Some(*ticket),
        _ => None,
    };
    actions.iter().filter_map(ticket).collect()
}

#[test]
fn a_primary_that_has_lost_something_is_demoted_and_only_then_that_is_done_with() {
    let mut machine = machine();
    let o = voter();
    machine.handle(called(3, Wants::Demotion, 0), NOW);
    machine.handle(called(4, Wants::Demotion, 0), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), Some(&demote()));
    assert_eq!(heard(&then), [0; 0], "before it is done");
    machine.done(Ok(Outcome::Done), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(heard(&then), [3, 4], "one is enough for both");
    assert_ne!(did(&then), Some(&demote()));
}

#[test]
fn a_demotion_that_fails_comes_again_after_a_while_and_keeps_nothing_else_waiting() {
    let mut machine = machine();
    let o = voter();
    machine.handle(called(3, Wants::Demotion, 0), NOW);
    looks(&mut machine, &o, NOW);
    machine.done(Err(failure(Kind::Other)), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(
        did(&then),
        Some(&Task::Take(Step::ConfirmVoter)),
        "{then:?}"
    );
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!((did(&then), heard(&then)), (None, Vec::new()));
    let round = machine.knowledge.round;
    let answer = Ok(Promotion::Allowed);
    machine.handle(Event::PromotionAnswered { round, answer }, NOW);
    let then = looks(&mut machine, &o, NOW);
    assert!(standings(&then).pop().unwrap().decision.settled);
    // It has arrived, and looks again all the same.
    let at = machine.wakes_at().unwrap();
    let then = looks(&mut machine, &o, at);
    assert_eq!(did(&then), Some(&demote()));
    machine.done(Ok(Outcome::Done), at);
    assert_eq!(heard(&looks(&mut machine, &o, at)), [3]);
}

#[test]
fn what_is_too_long_ago_takes_no_primary_away_neither_at_once_nor_later() {
    let long = FRESH.as_secs() + 1;
    let mut machine = machine();
    let o = voter();
    machine.handle(called(3, Wants::Demotion, long), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(heard(&then), [3]);
    let late = Action::Say(Remark::TooLate("local-io-error".into()));
    assert!(then.contains(&late), "{then:?}");
    assert_eq!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
    // The last moment is not too long ago.
    let mut just = machine.clone();
    just.handle(called(4, Wants::Demotion, long - 1), NOW);
    just.done(Ok(Outcome::VoterConfirmed), NOW);
    assert_eq!(did(&looks(&mut just, &o, NOW)), Some(&demote()));
    // While the hands are at something else.
    machine.handle(called(4, Wants::Demotion, long - 2), NOW);
    let now = Duration::from_secs(2);
    machine.done(Ok(Outcome::VoterConfirmed), now);
    let then = looks(&mut machine, &o, now);
    assert_eq!(heard(&then), [4]);
    assert_ne!(did(&then), Some(&demote()));
}

#[test]
fn a_node_that_is_not_primary_has_nothing_to_be_taken_away_and_one_that_is_not_known_waits() {
    for (role, done_with) in [(Role::Secondary, true), (Role::Unknown, false)] {
        let mut machine = machine();
        let mut o = voter();
        o.drbd.role = role;
        machine.handle(called(3, Wants::Demotion, 0), NOW);
        let then = looks(&mut machine, &o, NOW);
        assert_eq!(did(&then), None);
        assert_eq!(heard(&then).len(), usize::from(done_with), "{role:?}");
    }
}

#[test]
fn a_volume_that_is_being_left_is_left_first() {
    let mut machine = machine();
    let mut o = voter();
    o.request = Request::Release;
    machine.handle(called(3, Wants::Demotion, 0), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), Some(&Task::Take(Step::StopServices)));
    assert_eq!(heard(&then), [0; 0]);
}

#[test]
fn evidence_is_completed_once_for_each_split_brain_and_what_wants_nothing_is_only_heard() {
    let mut machine = machine();
    machine.handle(called(3, Wants::Evidence, 0), NOW);
    machine.handle(called(4, Wants::Nothing, 0), NOW);
    let then = actions(&mut machine, NOW);
    let evidence = |action: &&Action| **action == Action::CompleteEvidence;
    assert_eq!(then.iter().filter(evidence).count(), 1);
    assert_eq!(heard(&then), [3, 4]);
}
