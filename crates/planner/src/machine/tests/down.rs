//! The services beside the datastore, by the time.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn with(o: &Observation, down: &[&str]) -> Observation {
    let mut o = o.clone();
    o.rest.down = down.iter().map(|&name| name.to_owned()).collect();
    o
}

/// haone's voter, confirmed.
fn confirmed() -> (Machine, Observation) {
    let (mut machine, o) = (machine(), voter());
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    let asked = looks(&mut machine, &o, NOW);
    let round = asked.iter().find_map(|action| match action {
        Action::AskPromotion { round } => Some(*round),
        _ => None,
    });
    let (round, answer) = (round.unwrap(), Ok(Promotion::Allowed));
    machine.handle(Event::PromotionAnswered { round, answer }, NOW);
    looks(&mut machine, &o, NOW);
    assert_eq!(machine.wakes_at(), None, "it has arrived");
    (machine, o)
}

/// Until it is said what is down, and the first try is made; when that is.
fn said(machine: &mut Machine, broken: &Observation) -> Moment {
    machine.handle(Event::Changed, NOW);
    looks(machine, broken, NOW);
    let now = machine.wakes_at().unwrap();
    looks(machine, broken, now);
    now
}

#[test]
fn a_service_is_called_down_after_some_seconds_and_started_then_and_after_ever_longer_times() {
    let (mut machine, o) = confirmed();
    let broken = with(&o, &["k8sd"]);
    machine.handle(Event::Changed, NOW);
    let then = looks(&mut machine, &broken, NOW);
    assert_eq!(did(&then), None, "it may be about to start");
    let (mut now, mut waits) = (NOW, Vec::new());
    while waits.len() < 6 {
        let at = machine.wakes_at().unwrap();
        waits.push((at - now).as_secs());
        now = at;
        assert_eq!(machine.poll(now - SECOND), None);
        let then = looks(&mut machine, &broken, now);
        assert_eq!(did(&then), Some(&Task::Take(Step::StartRest)), "{waits:?}");
        machine.done(Ok(Outcome::Done), now);
        // It ends at once, which wakes somebody, and is no reason for a try.
        let then = looks(&mut machine, &o, now);
        assert_eq!(did(&then), None);
        machine.handle(Event::Changed, now);
        let then = looks(&mut machine, &broken, now);
        assert_eq!(did(&then), None);
        assert!(
            machine.promised,
            "the peer may rely on the voter all the time"
        );
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn a_service_that_runs_again_is_called_up_after_some_seconds_and_nothing_wakes_the_agent_any_more()
{
    let (mut machine, o) = confirmed();
    let broken = with(&o, &["k8sd"]);
    let now = said(&mut machine, &broken);
    machine.done(Ok(Outcome::Done), now);
    looks(&mut machine, &o, now);
    assert_eq!(machine.wakes_at(), Some(now + 5 * SECOND));
    let now = now + 5 * SECOND;
    let then = looks(&mut machine, &o, now);
    let published = then.iter().rev().find_map(|action| match action {
        Action::Publish(standing) => Some(standing),
        _ => None,
    });
    assert!(published.unwrap().observation.rest.is_up());
    assert_eq!(machine.wakes_at(), None);
}

#[test]
fn a_start_of_the_rest_that_fails_fails_no_voter() {
    let (mut machine, o) = confirmed();
    let broken = with(&o, &["k8sd"]);
    let now = said(&mut machine, &broken);
    machine.done(Err(failure(Kind::Other)), now);
    let then = looks(&mut machine, &broken, now);
    let unhealthy = |action: &Action| matches!(action, Action::Tell(ToHolder::Unhealthy(_)));
    assert!(!then.iter().any(unhealthy), "{then:?}");
    assert_eq!(machine.state, Some(State::PrimaryRunning));
}

#[test]
fn where_the_datastore_does_not_run_no_other_service_is_said_to_be_down() {
    let (mut machine, o) = confirmed();
    let mut broken = with(&o, &["k8sd"]);
    machine.handle(Event::Changed, NOW);
    looks(&mut machine, &broken, NOW);
    broken.services = Services::Partly;
    let now = machine.wakes_at().unwrap();
    looks(&mut machine, &broken, now);
    assert_eq!(machine.down, Down::default());
}
