//! What the machine tells the peer, the failover unit and the journal.

use super::*;
use crate::report::SpareLog;
use two_node_ha_dqlite::Position;

fn told(machine: &mut Machine, o: &Observation) -> crate::machine::Standing {
    machine.handle(Event::Changed, NOW);
    let then = looks(machine, o, NOW);
    standings(&then).pop().unwrap_or_else(|| panic!("{then:?}"))
}

fn work(step: Step) -> Work {
    Work::Step {
        step,
        request: Request::Hold,
        reasons: Vec::new(),
    }
}

/// As [`machine`], at that.
fn at(work: Work) -> Machine {
    let mut machine = machine();
    machine.turn = Turn::Working(work);
    machine
}

#[test]
fn the_peer_may_rely_on_a_voter_that_was_confirmed_and_hears_of_it_once() {
    let mut machine = machine();
    let o = voter();
    let then = looks(&mut machine, &o, NOW);
    assert!(
        !standings(&then)
            .iter()
            .any(|standing| standing.report.voter)
    );
    assert!(!then.contains(&Action::WakePeer));
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    let then = looks(&mut machine, &o, NOW);
    let report = &standings(&then)[0].report;
    assert!(report.voter && report.wants_voter && report.datastore_running);
    assert!(then.contains(&Action::WakePeer), "{then:?}");
    assert!(then.contains(&Action::Tell(ToHolder::Working)), "{then:?}");
    machine.handle(Event::Changed, NOW);
    let then = looks(&mut machine, &o, NOW);
    assert!(!then.contains(&Action::WakePeer), "{then:?}");
}

#[test]
fn a_datastore_runs_for_the_peer_while_a_service_does_or_while_one_could_start_by_itself() {
    for (services, token, running) in [
        (Services::Stopped, false, false),
        (Services::Stopped, true, true),
        (Services::Partly, false, true),
        (Services::Running, false, true),
    ] {
        let mut o = booted();
        (o.services, o.token) = (services, token);
        let report = told(&mut machine(), &o).report;
        assert_eq!(report.datastore_running, running, "{services:?} {token}");
        assert!(!report.wants_voter && !report.voter);
    }
}

#[test]
fn a_node_was_the_first_voter_where_both_databases_say_the_same() {
    let (yes, no) = (Some(true), Some(false));
    for (k8sd, datastore, said) in [
        (yes, yes, yes),
        (no, no, no),
        (yes, no, None),
        (no, yes, None),
        (None, yes, None),
        (no, None, None),
        (None, None, None),
    ] {
        let mut o = booted();
        let answers = [k8sd, datastore];
        assert_eq!(o.databases.len(), answers.len());
        for (directories, answer) in o.databases.values_mut().zip(answers) {
            directories.original_voter = answer;
        }
        let report = told(&mut machine(), &o).report;
        assert_eq!(report.original_voter, said, "{answers:?}");
    }
}

#[test]
fn the_peer_hears_where_the_logs_of_the_spare_end_and_of_which_epoch_they_are() {
    let mut o = booted();
    let end = End {
        last: Position { term: 3, index: 40 },
        voters: Voters {
            here: false,
            elsewhere: true,
        },
    };
    let databases: Vec<_> = o.databases.keys().copied().collect();
    let (first, second) = (databases[0], databases[1]);
    each(&mut o, |d| d.spare_log = Log::Ends(end.clone()));
    // The epoch of the other was given up.
    o.journal.spare_epoch.remove(&second);
    let report = told(&mut machine(), &o).report;
    let log = SpareLog { epoch: 2, end };
    assert_eq!(report.logs.into_iter().collect::<Vec<_>>(), [(first, log)]);
}

#[test]
fn pacemaker_is_told_to_try_the_other_node_only_where_that_may_help_and_a_hold_is_to_be_answered() {
    let newer_elsewhere = || {
        let mut o = voter();
        o.journal.highest_epoch = 3;
        o
    };
    let unhealthy = |o: &Observation| {
        looks(&mut machine(), o, NOW)
            .iter()
            .any(|action| matches!(action, Action::Tell(ToHolder::Unhealthy(_))))
    };
    assert!(unhealthy(&newer_elsewhere()));
    let mut unasked = newer_elsewhere();
    unasked.request = Request::None;
    assert!(!unhealthy(&unasked));
    assert!(!unhealthy(&voter()));
}

#[test]
fn a_node_hears_once_why_it_was_fenced_and_again_when_it_was_for_something_else() {
    let mut machine = machine();
    let hears = |machine: &mut Machine, why: Option<&str>| {
        let mut report = report(State::PrimaryRunning, 2);
        report.fenced = why.map(str::to_owned);
        machine.handle(Event::PeerAnswered(Ok(Box::new(report))), NOW);
        let said = |action: Action| match action {
            Action::Say(Remark::WasFenced(why)) => Some(why),
            _ => None,
        };
        let all = actions(machine, NOW);
        all.into_iter().filter_map(said).collect::<Vec<_>>()
    };
    assert!(hears(&mut machine, None).is_empty());
    assert_eq!(
        hears(&mut machine, Some("its agent was silent")),
        ["its agent was silent"]
    );
    assert!(hears(&mut machine, Some("its agent was silent")).is_empty());
    assert_eq!(hears(&mut machine, Some("another time")), ["another time"]);
}

#[test]
fn pacemaker_is_asked_once_until_it_has_answered() {
    let mut machine = machine();
    let mut o = voter();
    (o.services, o.token) = (Services::Stopped, false);
    let mut asks = |event: Event| {
        machine.handle(event, NOW);
        let all = looks(&mut machine, &o, NOW);
        let asked = |action: &&Action| **action == Action::AskPacemaker;
        all.iter().filter(asked).count()
    };
    assert_eq!(asks(Event::Changed), 1);
    assert_eq!(asks(Event::Changed), 0);
    // What it says now may be of before.
    assert_eq!(asks(Event::PeerWoke), 0);
    assert_eq!(asks(Event::PacemakerAnswered(Ok(PeerNode::Online))), 0);
    assert_eq!(asks(Event::PeerWoke), 1);
}

#[test]
fn what_failed_is_shown_until_it_is_done_and_nothing_else_ends_that() {
    let other = || Task::Take(Step::StartServices);
    for (work, task) in [
        (work(Step::ConfirmVoter), Task::Take(Step::ConfirmVoter)),
        (
            Work::Demote("pri-lost".into()),
            Task::Demote("pri-lost".into()),
        ),
    ] {
        let mut machine = at(work.clone());
        machine.stumbled = Some((task, "it failed".into()));
        machine.done(Ok(Outcome::Done), NOW);
        assert_eq!(machine.stumbled, None, "{work:?}");
        let mut machine = at(work.clone());
        machine.stumbled = Some((other(), "it failed".into()));
        machine.done(Ok(Outcome::Done), NOW);
        assert!(machine.stumbled.is_some(), "{work:?}");
    }
}

#[test]
fn a_demotion_that_gave_way_has_not_failed() {
    for (kind, failed) in [(Kind::Interruption, false), (Kind::Other, true)] {
        let mut machine = at(Work::Demote("pri-lost".into()));
        machine.done(Err(failure(kind)), NOW);
        assert_eq!(machine.stumbled.is_some(), failed, "{kind:?}");
    }
}

#[test]
fn no_voter_is_blamed_for_what_does_not_lie_with_it() {
    let shutting_down = Failure {
        shutting_down: true,
        ..failure(Kind::Other)
    };
    for (step, failure, blamed) in [
        (Step::StartServices, failure(Kind::Other), true),
        (Step::StartServices, shutting_down, false),
        (Step::AskFencePeer, failure(Kind::Other), false),
        (Step::FencePeer, failure(Kind::Other), false),
    ] {
        let mut machine = at(work(step.clone()));
        machine.done(Err(failure), NOW);
        assert_eq!(machine.failure.is_some(), blamed, "{step:?}");
        assert_eq!(machine.stumbled.is_some(), blamed, "{step:?}");
        assert!(machine.retry.is_some(), "it is tried again: {step:?}");
    }
}

#[test]
fn a_step_that_failed_is_shown_although_nothing_that_can_be_seen_is_different() {
    let mut machine = machine();
    let o = voter();
    looks(&mut machine, &o, NOW);
    machine.done(Err(failure(Kind::Guard)), NOW);
    let then = looks(&mut machine, &o, NOW);
    let said = |action: &Action| matches!(action, Action::Say(Remark::NothingChanged(_)));
    assert!(!then.iter().any(said), "{then:?}");
    assert_eq!(standings(&then).len(), 1, "and nothing is being done");
    assert_eq!(did(&then), None);
}

#[test]
fn a_step_that_is_named_again_is_taken_again_where_something_that_can_be_seen_is_different() {
    let mut machine = machine();
    let mut o = voter();
    looks(&mut machine, &o, NOW);
    machine.done(Ok(Outcome::Done), NOW);
    o.drbd.summary = "Primary UpToDate, hatwo connects".into();
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
}

#[test]
fn it_rests_where_it_waits_for_something_to_happen_and_not_while_it_is_at_something() {
    let (mut machine, o) = spare();
    assert!(machine.rests());
    machine.handle(Event::Changed, NOW);
    assert!(!machine.rests(), "a look is due");
    assert_eq!(machine.poll(NOW), Some(Action::Look));
    assert!(!machine.rests(), "it looks");
    machine.seen(sight(&o), &config(), NOW);
    actions(&mut machine, NOW);
    assert!(machine.rests());
}

#[test]
fn each_task_is_said_with_who_does_it_to_whom() {
    let resolution = || Box::new(Resolution::new("hatwo", "haone", false));
    for (task, said) in [
        (Task::Take(Step::StartServices), "start the k8s services"),
        (Task::StopForPeer, "stop the k8s services for the peer"),
        (
            Task::Resolve(resolve::Step::Ban, resolution()),
            "keep Pacemaker from promoting haone",
        ),
        (
            Task::Demote("pri-lost".into()),
            "have Pacemaker take the primary away from hatwo, as pri-lost wants",
        ),
    ] {
        assert_eq!(task.describe("hatwo"), said);
    }
}
