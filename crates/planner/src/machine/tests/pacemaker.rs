//! Pacemaker changes its mind.

use super::*;

fn at_work(machine: &mut Machine, work: Work) {
    machine.turn = Turn::Working(work);
}

fn step(step: Step) -> Work {
    Work::Step {
        step,
        request: Request::Hold,
        reasons: Vec::new(),
    }
}

fn resolves(step: resolve::Step) -> Work {
    Work::Resolve {
        ticket: 1,
        step,
        resolution: Box::new(Resolution::new("hatwo", "haone", false)),
    }
}

/// Whether the work is interrupted by that.
fn interrupts(work: Work, event: Event) -> bool {
    let mut machine = machine();
    at_work(&mut machine, work);
    machine.handle(event, NOW);
    actions(&mut machine, NOW).contains(&Action::Interrupt)
}

#[test]
fn what_takes_long_gives_way_to_a_release_and_to_the_end_of_a_hold_and_to_nothing_else() {
    for (work, release, hold) in [
        (step(Step::StartServices), true, false),
        (step(Step::Recover(Database::K8sd)), true, false),
        // The way down itself.
        (step(Step::StopServices), false, false),
        (step(Step::AskFencePeer), false, false),
        (Work::StopForPeer(1), false, false),
        (resolves(resolve::Step::Copy), true, true),
        (resolves(resolve::Step::Ban), true, false),
        (resolves(resolve::Step::Demote), false, false),
        (Work::Demote("pri-lost".into()), true, false),
    ] {
        let asks = |request| interrupts(work.clone(), Event::Asks(request));
        assert_eq!(asks(Request::Release), release, "{work:?}");
        assert_eq!(asks(Request::Hold), hold, "{work:?}");
        let gone = release && !matches!(work, Work::Demote(_));
        assert_eq!(asks(Request::None), gone, "{work:?}");
        assert!(!interrupts(work.clone(), Event::Changed));
        let stop = interrupts(work.clone(), stop_for("hatwo", 2));
        assert_eq!(stop, work == resolves(resolve::Step::Copy), "{work:?}");
    }
}

#[test]
fn nothing_is_begun_for_a_hold_that_has_ended_while_the_eyes_looked() {
    for asks in [Request::Release, Request::None] {
        let mut machine = machine();
        let mut o = voter();
        assert_eq!(actions(&mut machine, NOW), [Action::Look]);
        machine.handle(Event::Asks(asks), NOW);
        machine.seen(sight(&o), &config(), NOW);
        assert_eq!(actions(&mut machine, NOW), [Action::Look]);
        // The next look tells.
        o.request = asks;
        machine.seen(sight(&o), &config(), NOW);
        let then = actions(&mut machine, NOW);
        assert_ne!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
        assert!(did(&then).is_some(), "{then:?}");
    }
    // What the eyes have seen already is nothing new.
    let mut machine = machine();
    let o = voter();
    assert_eq!(actions(&mut machine, NOW), [Action::Look]);
    machine.handle(Event::Asks(Request::Hold), NOW);
    machine.seen(sight(&o), &config(), NOW);
    let then = actions(&mut machine, NOW);
    assert_eq!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
}

#[test]
fn looks_and_tasks_never_overlap_whatever_happens_meanwhile() {
    let events = || {
        [
            Event::Changed,
            Event::Asks(Request::Release),
            stop_for("hatwo", 2),
            Event::PeerWoke,
        ]
    };
    let mut machine = machine();
    let o = voter();
    assert_eq!(actions(&mut machine, NOW), [Action::Look]);
    let busy = |machine: &mut Machine| {
        for event in events() {
            machine.handle(event, NOW);
            let at = NOW + LONGEST_RETRY * 2;
            let both = |action: &Action| matches!(action, Action::Look | Action::Do(_));
            assert!(!actions(machine, at).iter().any(both), "two at a time");
        }
    };
    let mut looking = machine.clone();
    busy(&mut looking);
    machine.seen(sight(&o), &config(), NOW);
    assert!(did(&actions(&mut machine, NOW)).is_some());
    busy(&mut machine);
    // Nor does a result that nobody waits for end anything.
    machine.seen(sight(&o), &config(), NOW);
    busy(&mut machine);
}

#[test]
fn a_volume_is_taken_over_ahead_once_it_is_mounted_and_not_again_while_it_is_about_to_be_unmounted()
{
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(Epoch::first("hatwo")));
    o.journal.highest_epoch = 1;
    (o.request, o.failover_unit) = (Request::None, false);
    (o.drbd.connected, o.drbd.equal) = (false, false);
    let begins = |machine: &mut Machine, o: &Observation| {
        let mut all = Vec::new();
        for event in [Event::Changed, Event::PacemakerAnswered(Ok(PeerNode::Down))] {
            machine.handle(event, NOW);
            let mut then = actions(machine, NOW);
            while then.last() == Some(&Action::Look) {
                machine.seen(sight(o), &config(), NOW);
                then.extend(actions(machine, NOW));
            }
            all.extend(then);
        }
        if did(&all).is_some() {
            machine.done(Ok(Outcome::Done), NOW);
        }
        did(&all) == Some(&Task::Take(Step::BeginEpoch))
    };
    let mut unmounted = booted();
    unmounted.journal.highest_epoch = 1;
    // An agent that finds it mounted does not know what for.
    let mut machine = machine();
    assert!(!begins(&mut machine, &o));
    assert!(!begins(&mut machine, &unmounted));
    assert!(begins(&mut machine, &o));
    for request in [Request::Hold, Request::Release] {
        let mut asked = o.clone();
        asked.request = request;
        machine.handle(Event::Asks(request), NOW);
        begins(&mut machine, &asked);
    }
    machine.handle(Event::Asks(Request::None), NOW);
    assert!(!begins(&mut machine, &o));
}

/// A spare whose copy of the volume was made primary; nothing is mounted, and its databases are stopped.
fn promoted() -> Observation {
    let mut o = booted();
    (o.drbd.role, o.drbd.connected) = (Role::Primary, false);
    o
}

#[test]
fn a_peer_that_was_dead_once_drbd_was_primary_here_is_so_when_pacemaker_gives_the_role() {
    for (known, primary, kept) in [
        (PeerNode::Down, true, true),
        (PeerNode::Down, false, false),
        (PeerNode::Online, true, false),
        (PeerNode::Lost, true, false),
    ] {
        let mut machine = machine();
        let mut o = promoted();
        let asks = looks(&mut machine, &o, NOW);
        assert!(asks.contains(&Action::AskPacemaker), "{asks:?}");
        machine.handle(Event::PacemakerAnswered(Ok(known)), NOW);
        if !primary {
            o.drbd.role = Role::Secondary;
        }
        looks(&mut machine, &o, NOW);
        // While the peer is dead nothing of it is to be heard, and time passes.
        let later = machine.wakes_at().unwrap_or(NOW);
        looks(&mut machine, &o, later);
        o.request = Request::Hold;
        machine.handle(Event::Changed, later);
        let actions = looks(&mut machine, &o, later);
        assert_eq!(
            machine.knowledge.node == Asked::Answer(PeerNode::Down),
            kept,
            "{known:?}, primary {primary}"
        );
        let refused = Action::PeerPorts(PeerPorts::Refused);
        assert_eq!(actions.contains(&refused), kept, "{actions:?}");
    }
}

#[test]
fn a_peer_that_drbd_sees_again_is_not_taken_for_dead() {
    let mut machine = machine();
    let mut o = promoted();
    looks(&mut machine, &o, NOW);
    machine.handle(Event::PacemakerAnswered(Ok(PeerNode::Down)), NOW);
    looks(&mut machine, &o, NOW);
    (o.request, o.drbd.connected) = (Request::Hold, true);
    machine.handle(Event::Changed, NOW);
    looks(&mut machine, &o, NOW);
    assert_eq!(machine.knowledge.node, Asked::NotYet);
}
