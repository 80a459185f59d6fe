//! The peer is about to be the voter, and asks for the databases to be stopped.

use super::*;

#[test]
fn a_spare_stops_for_the_peer_answers_when_it_has_and_forgets_what_the_peer_said_before() {
    let (mut machine, mut o) = spare();
    machine.handle(stop_for("hatwo", 2), NOW);
    let first = looks(&mut machine, &o, NOW);
    assert!(first.contains(&Action::Retract), "{first:?}");
    assert_eq!(did(&first), Some(&Task::StopForPeer));
    assert!(answers(&first).is_empty(), "before it is done");
    machine.done(Ok(Outcome::Done), NOW);
    (o.services, o.token) = (Services::Stopped, false);
    let then = actions(&mut machine, NOW);
    let stopped = then.iter().position(|a| *a == Action::DatabasesStopped);
    let answered = then.iter().position(|a| *a == Action::Answer(7, Ok(())));
    assert!(stopped.is_some() && stopped < answered, "{then:?}");
    assert_eq!(then.last(), Some(&Action::Look));
    machine.seen(sight(&o), &config(), NOW);
    // Only a new report may start the spare again.
    let then = actions(&mut machine, NOW);
    assert!(then.contains(&Action::AskPeer), "{then:?}");
    assert_eq!(did(&then), None, "{then:?}");
}

#[test]
fn nobody_stops_for_a_peer_while_pacemaker_has_given_the_role_to_this_node_or_for_an_older_volume()
{
    for (held, epoch, words) in [(true, 2, "and not to hatwo"), (false, 1, "an older copy")] {
        let (mut machine, mut o) = spare();
        if held {
            o = voter();
        }
        machine.handle(stop_for("hatwo", epoch), NOW);
        let then = looks(&mut machine, &o, NOW);
        assert_ne!(did(&then), Some(&Task::StopForPeer));
        let [(7, Err(why))] = &answers(&then)[..] else {
            panic!("{then:?}");
        };
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn a_stop_for_the_peer_that_fails_is_told_to_the_peer_and_shown() {
    let (mut machine, o) = spare();
    machine.handle(stop_for("hatwo", 2), NOW);
    looks(&mut machine, &o, NOW);
    machine.done(Err(failure(Kind::Other)), NOW);
    let then = actions(&mut machine, NOW);
    assert_eq!(answers(&then), [(7, Err("could not: no".into()))]);
    assert!(!then.contains(&Action::DatabasesStopped));
    machine.seen(sight(&o), &config(), NOW);
    let shown = actions(&mut machine, NOW).into_iter().any(|action| {
        matches!(action, Action::Publish(standing)
            if standing.observation.stumbled.as_deref() == Some("could not: no"))
    });
    assert!(shown);
}

#[test]
fn each_of_two_orders_that_came_while_the_hands_were_at_work_is_answered_at_the_next_look() {
    let mut machine = machine();
    let o = voter();
    looks(&mut machine, &o, NOW);
    for ticket in [1, 2] {
        let order = Event::StopSpare {
            ticket,
            node: "hatwo".into(),
            epoch: 2,
        };
        machine.handle(order, NOW);
    }
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    let then = looks(&mut machine, &o, NOW);
    let answered: Vec<_> = answers(&then).into_iter().map(|(t, _)| t).collect();
    assert_eq!(answered, [1, 2]);
}
