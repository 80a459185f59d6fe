//! How the reads of the datastore are counted.

use super::*;

/// A voter that was confirmed, with the round of its reads.
fn read() -> (Machine, Observation, u64) {
    let mut machine = machine();
    let o = voter();
    looks(&mut machine, &o, NOW);
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    let then = looks(&mut machine, &o, NOW);
    let (round, news) = watches(&then).unwrap();
    assert_eq!(news, News::Misses, "an answer is no news");
    let round_of_promotion = machine.knowledge.round;
    let allowed = Event::PromotionAnswered {
        round: round_of_promotion,
        answer: Ok(Promotion::Allowed),
    };
    machine.handle(allowed, NOW);
    looks(&mut machine, &o, NOW);
    assert_eq!(machine.poll(NOW), None);
    (machine, o, round)
}

fn answered(round: u64, answer: Result<(), &str>) -> Event {
    Event::DatastoreAnswered {
        round,
        answer: answer.map_err(str::to_owned),
        elsewhere: false,
    }
}

#[test]
fn each_miss_is_looked_at_and_counted_and_the_answer_after_them_ends_the_count() {
    let (mut machine, o, round) = read();
    for misses in 1..=3 {
        machine.handle(answered(round, Err("nothing within 5.0 s")), NOW);
        let then = looks(&mut machine, &o, NOW);
        let seen = &standings(&then).pop().unwrap().observation.health;
        assert_eq!(seen.misses, misses);
        assert_eq!(seen.last.as_deref(), Some("nothing within 5.0 s"));
        // From the first miss on an answer is news.
        let news = watches(&then);
        assert_eq!(news, (misses == 1).then_some((round, News::Any)));
    }
    assert_eq!(machine.state, Some(State::Blocked));
    machine.handle(answered(round, Ok(())), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(watches(&then), Some((round, News::Misses)));
    assert_eq!(machine.reads.health, Health::default());
}

#[test]
fn an_answer_that_changes_nothing_or_no_longer_counts_is_not_looked_at() {
    let (mut machine, mut o, round) = read();
    for of in [round, round + 1] {
        machine.handle(answered(of, Ok(())), NOW);
        assert_eq!(machine.poll(NOW), None);
    }
    machine.handle(answered(round - 1, Err("late")), NOW);
    assert_eq!(machine.poll(NOW), None);
    // Writes stand still: what is under way says nothing about k8s-dqlite, and what was counted stands.
    machine.handle(answered(round, Err("silent")), NOW);
    o.drbd.suspended = Some(Suspended::Other("by hand".into()));
    let then = looks(&mut machine, &o, NOW);
    assert!(then.contains(&Action::Watch(Watch::Excused)), "{then:?}");
    machine.handle(answered(round, Err("stands still")), NOW);
    assert_eq!(machine.poll(NOW), None);
    machine.handle(Event::Changed, NOW);
    o.drbd.suspended = None;
    let then = looks(&mut machine, &o, NOW);
    let (later, news) = watches(&then).unwrap();
    assert!(later > round);
    assert_eq!((news, machine.reads.health.misses), (News::Any, 1));
}

#[test]
fn a_datastore_that_answers_while_raft_names_another_voter_is_looked_at() {
    let (mut machine, _, round) = read();
    let elsewhere = Event::DatastoreAnswered {
        round,
        answer: Ok(()),
        elsewhere: true,
    };
    machine.handle(elsewhere, NOW);
    assert_eq!(machine.poll(NOW), Some(Action::Look));
}
