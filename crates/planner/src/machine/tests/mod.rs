//! What the machine does with what happens, in the order in which it happens.

mod down;
mod handlers;
mod orders;
mod pacemaker;
mod ports;
mod reads;
mod resolution;
mod says;
mod sight;

use std::time::Duration;

use two_node_ha_config::facts;

use super::*;
use crate::Database;
use crate::observation::*;
use crate::record::{Epoch, Phase};
use crate::world::{booted, config, each, given_the_volume, report, sight};

const NOW: Moment = Duration::ZERO;

fn machine() -> Machine {
    Machine::new("haone", "hatwo", facts(&config()))
}

/// Everything up to the next thing that the eyes or hands have to do, which comes last, if there is one.
fn actions(machine: &mut Machine, now: Moment) -> Vec<Action> {
    let mut all = Vec::new();
    while let Some(action) = machine.poll(now) {
        let ends = matches!(action, Action::Look | Action::Do(_));
        all.push(action);
        if ends {
            break;
        }
    }
    all
}

/// Looks, and goes on until something is to be done or nothing is.
fn looks(machine: &mut Machine, o: &Observation, now: Moment) -> Vec<Action> {
    let mut all = actions(machine, now);
    assert_eq!(all.last(), Some(&Action::Look), "{all:?}");
    machine.seen(sight(o), &config(), now);
    all.pop();
    all.extend(actions(machine, now));
    // Another look of the same world, where one is wanted.
    while all.last() == Some(&Action::Look) {
        machine.seen(sight(o), &config(), now);
        all.pop();
        all.extend(actions(machine, now));
    }
    all
}

fn failure(kind: Kind) -> Failure {
    Failure {
        kind,
        shutting_down: false,
        error: "no".into(),
        why: "could not: no".into(),
    }
}

/// haone runs the voter of epoch 2.
fn voter() -> Observation {
    let mut o = booted();
    given_the_volume(
        &mut o,
        Known::Present(Epoch::first("hatwo").taken_over_by("haone")),
    );
    if let Known::Present(epoch) = &mut o.epoch {
        for database in Database::ALL {
            epoch.databases.insert(database, Phase::Done);
        }
    }
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    (o.services, o.token) = (Services::Running, true);
    o
}

/// The spare of hatwo's voter, settled.
fn spare() -> (Machine, Observation) {
    let mut o = booted();
    (o.services, o.token) = (Services::Running, true);
    let mut machine = machine();
    let asked = looks(&mut machine, &o, NOW);
    assert!(asked.contains(&Action::AskPeer), "{asked:?}");
    let answer = Box::new(report(State::PrimaryRunning, 2));
    machine.handle(Event::PeerAnswered(Ok(answer)), NOW);
    let asked = looks(&mut machine, &o, NOW);
    let round = asked.iter().find_map(|action| match action {
        Action::AskPromotion { round } => Some(*round),
        _ => None,
    });
    let answer = Ok(Promotion::Allowed);
    let round = round.unwrap_or_else(|| panic!("{asked:?}"));
    machine.handle(Event::PromotionAnswered { round, answer }, NOW);
    looks(&mut machine, &o, NOW);
    assert_eq!(machine.wakes_at(), None, "it has arrived");
    (machine, o)
}

/// The round and the news of reads that begin to count.
fn watches(actions: &[Action]) -> Option<(u64, News)> {
    actions.iter().find_map(|action| match action {
        Action::Watch(Watch::Running { round, news }) => Some((*round, *news)),
        _ => None,
    })
}

fn did(actions: &[Action]) -> Option<&Task> {
    match actions.last() {
        Some(Action::Do(task)) => Some(task),
        _ => None,
    }
}

fn standings(actions: &[Action]) -> Vec<super::Standing> {
    let standing = |action: &Action| match action {
        Action::Publish(standing) => Some(super::Standing::clone(standing)),
        _ => None,
    };
    actions.iter().filter_map(standing).collect()
}

fn answers(actions: &[Action]) -> Vec<(Ticket, Result<(), String>)> {
    let answer = |action: &Action| match action {
        Action::Answer(ticket, answer) => Some((*ticket, answer.clone())),
        _ => None,
    };
    actions.iter().filter_map(answer).collect()
}

fn stop_for(node: &str, epoch: u64) -> Event {
    Event::StopSpare {
        ticket: 7,
        node: node.into(),
        epoch,
    }
}

#[test]
fn while_the_hands_are_at_work_nothing_is_looked_at_and_what_happens_meanwhile_is_seen_next() {
    let mut machine = machine();
    let mut o = voter();
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
    machine.handle(Event::Changed, NOW);
    machine.handle(stop_for("hatwo", 2), NOW);
    let meanwhile = actions(&mut machine, NOW);
    assert_eq!(meanwhile, [Action::Retract]);
    assert_eq!(machine.wakes_at(), None);
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    o.request = Request::Release;
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), Some(&Task::StopForPeer));
}

#[test]
fn what_happens_while_the_eyes_look_is_looked_at_again() {
    let (mut machine, o) = spare();
    machine.handle(Event::Changed, NOW);
    assert_eq!(actions(&mut machine, NOW), [Action::Look]);
    machine.handle(Event::Changed, NOW);
    machine.seen(sight(&o), &config(), NOW);
    assert_eq!(actions(&mut machine, NOW).last(), Some(&Action::Look));
    machine.seen(sight(&o), &config(), NOW);
    assert_ne!(actions(&mut machine, NOW).last(), Some(&Action::Look));
    assert_eq!(machine.wakes_at(), None);
}

#[test]
fn a_mark_of_an_own_disconnecting_goes_once_drbd_looks_for_its_peer_and_means_nothing_then() {
    for (alone, seeking, forgotten) in [
        (true, false, false),
        (false, false, false),
        (false, true, true),
    ] {
        let mut machine = machine();
        let mut o = voter();
        (o.drbd.alone, o.drbd.seeking, o.own_disconnect) = (alone, seeking, true);
        let then = looks(&mut machine, &o, NOW);
        assert_eq!(then.contains(&Action::ForgetOwnDisconnect), forgotten);
        let shown = standings(&then).pop().unwrap().observation;
        assert_eq!(shown.own_disconnect, alone);
    }
}

#[test]
fn a_step_that_its_guard_refuses_is_tried_each_time_later_although_the_state_changes_to_and_fro() {
    let mut machine = machine();
    let (mut now, mut waits) = (NOW, Vec::new());
    let mut o = voter();
    for turn in 0..8 {
        // Recovering, primary-prep, and so on.
        o.drbd.role = match turn % 2 {
            0 => Role::Primary,
            _ => Role::Unknown,
        };
        let then = looks(&mut machine, &o, now);
        if turn % 2 == 0 {
            assert_eq!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
            machine.done(Err(failure(Kind::Guard)), now);
            looks(&mut machine, &o, now);
        }
        let at = machine.wakes_at().unwrap();
        waits.push((at - now).as_secs());
        now = at;
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(waits.last(), Some(&LONGEST_RETRY.as_secs()), "{waits:?}");
    // A step that is taken, and seen to have been, is progress.
    o.drbd.role = Role::Primary;
    looks(&mut machine, &o, now);
    machine.done(Ok(Outcome::VoterConfirmed), now);
    o.drbd.up_to_date = false;
    looks(&mut machine, &o, now);
    assert_eq!(machine.patience, SHORTEST_RETRY);
}

#[test]
fn a_step_begins_with_the_reads_of_the_datastore_excused_and_the_next_look_ends_that() {
    let mut machine = machine();
    let mut o = voter();
    looks(&mut machine, &o, NOW);
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    let confirmed = looks(&mut machine, &o, NOW);
    assert!(watches(&confirmed).is_some(), "{confirmed:?}");
    // The handler's constraint is to be taken away.
    let round = machine.knowledge.round;
    let answer = Ok(Promotion::PeerForbidden("x".into()));
    machine.handle(Event::PromotionAnswered { round, answer }, NOW);
    let step = looks(&mut machine, &o, NOW);
    assert_eq!(
        did(&step),
        Some(&Task::Take(Step::RemoveConstraint("x".into())))
    );
    assert!(step.contains(&Action::Watch(Watch::Excused)), "{step:?}");
    machine.done(Ok(Outcome::ConstraintRemoved), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert!(watches(&then).is_some(), "{then:?}");
    // And without a voter nothing is read, and what was counted is of no account.
    o.services = Services::Partly;
    machine.reads.health.misses = 3;
    machine.handle(Event::Changed, NOW);
    let then = looks(&mut machine, &o, NOW);
    assert!(then.contains(&Action::Watch(Watch::None)), "{then:?}");
    assert_eq!(machine.reads.health, Health::default());
}

#[test]
fn a_peer_that_does_not_stop_is_silent_from_then_on_and_a_full_disk_of_this_node_is_not() {
    for (kind, silent) in [
        (Kind::Peer, true),
        (Kind::Disk, false),
        (Kind::Other, false),
        (Kind::Guard, false),
        (Kind::Interruption, false),
    ] {
        let mut machine = machine();
        machine.turn = Turn::Working(Work::Step {
            step: Step::FetchLogs,
            request: Request::Hold,
            reasons: Vec::new(),
        });
        machine.done(Err(failure(kind)), NOW);
        let heard = matches!(machine.knowledge.report, Asked::Silent(_));
        assert_eq!(heard, silent, "{kind:?}");
        let blamed = matches!(kind, Kind::Disk | Kind::Other);
        assert_eq!(machine.failure.is_some(), blamed, "{kind:?}");
        assert_eq!(machine.stumbled.is_some(), blamed, "{kind:?}");
        let told = actions(&mut machine, NOW)
            .iter()
            .any(|action| matches!(action, Action::Tell(ToHolder::Unhealthy(_))));
        assert_eq!(told, blamed, "{kind:?}");
    }
}

#[test]
fn on_the_way_down_a_disk_that_takes_no_change_is_noted_once_and_stops_nothing() {
    for (request, kind, step, noted) in [
        (Request::Release, Kind::Disk, Step::StopServices, true),
        (Request::None, Kind::Disk, Step::StopServices, true),
        (Request::Hold, Kind::Disk, Step::StopServices, false),
        (Request::Release, Kind::Other, Step::StopServices, false),
        (Request::Release, Kind::Disk, Step::BeginEpoch, false),
    ] {
        let mut machine = machine();
        let work = Work::Step {
            step,
            request,
            reasons: Vec::new(),
        };
        machine.turn = Turn::Working(work.clone());
        machine.done(Err(failure(kind)), NOW);
        assert_eq!(machine.own_disk.is_some(), noted, "{work:?} {kind:?}");
        assert_eq!(machine.failed, !noted, "{work:?} {kind:?}");
        // A second time it is a failure.
        machine.turn = Turn::Working(work);
        machine.done(Err(failure(kind)), NOW);
        assert!(machine.failed);
    }
}

#[test]
fn a_step_that_changes_nothing_that_can_be_seen_is_not_taken_for_ever() {
    let mut machine = machine();
    let o = voter();
    looks(&mut machine, &o, NOW);
    // Done, it says, and is not.
    machine.done(Ok(Outcome::Done), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), None);
    let steps = vec![Step::ConfirmVoter];
    assert!(then.contains(&Action::Say(Remark::NothingChanged(steps))));
    let at = machine.wakes_at().unwrap();
    assert_eq!(machine.poll(at - Duration::from_millis(1)), None);
    assert_eq!(machine.poll(at), Some(Action::Look));
}

#[test]
fn a_spare_without_its_voter_looks_again_each_time_after_a_longer_while_until_somebody_wakes_it() {
    let mut machine = machine();
    let o = booted();
    let (mut now, mut waits) = (NOW, Vec::new());
    let next = |machine: &mut Machine, now: &mut Moment| {
        looks(machine, &o, *now);
        machine.handle(Event::PeerAnswered(Err("no route to host".into())), *now);
        looks(machine, &o, *now);
        let at = machine.wakes_at().unwrap();
        let wait = (at - *now).as_secs();
        *now = at;
        wait
    };
    for _ in 0..8 {
        waits.push(next(&mut machine, &mut now));
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(waits[..3], [1, 2, 4]);
    assert_eq!(waits.last(), Some(&LONGEST_RETRY.as_secs()), "{waits:?}");
    // It is time, and then it is soon again.
    machine.handle(Event::PeerWoke, now);
    assert_eq!(next(&mut machine, &mut now), 1);
}

#[test]
fn a_failure_belongs_to_the_hold_that_it_ended() {
    let mut machine = machine();
    let mut o = voter();
    o.confirmed = false;
    looks(&mut machine, &o, NOW);
    machine.done(Err(failure(Kind::Other)), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(machine.state, Some(State::Blocked), "{then:?}");
    // Pacemaker starts the unit anew, before anybody has looked.
    machine.handle(Event::Changed, NOW);
    let mut seen = sight(&o);
    seen.hold = Some(2);
    assert_eq!(actions(&mut machine, NOW), [Action::Look]);
    machine.seen(seen, &config(), NOW);
    let then = actions(&mut machine, NOW);
    assert_eq!(
        did(&then),
        Some(&Task::Take(Step::ConfirmVoter)),
        "{then:?}"
    );
}

#[test]
fn an_answer_about_promotion_that_was_asked_before_the_link_changed_is_old() {
    let (mut machine, o) = spare();
    let round = machine.knowledge.round;
    machine.handle(Event::LinkChanged, NOW);
    let answer = Ok(Promotion::PeerForbidden("x".into()));
    machine.handle(Event::PromotionAnswered { round, answer }, NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), None, "{then:?}");
    assert_eq!(machine.knowledge.promotion, Asked::NotYet);
}

#[test]
fn a_node_of_another_name_does_not_answer_for_the_peer() {
    let (mut machine, o) = spare();
    let mut other = report(State::PrimaryRunning, 2);
    other.node = "hathree".into();
    machine.handle(Event::PeerAnswered(Ok(Box::new(other))), NOW);
    looks(&mut machine, &o, NOW);
    assert!(matches!(&machine.knowledge.report, Asked::Silent(why) if why.contains("hathree")));
}
