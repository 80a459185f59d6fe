//! When connections to the databases' ports on the peer are refused, and when they go through again.

use super::*;

/// haone holds the role and waits for the mount, its peer is not there, and nothing is refused yet.
fn taking_over() -> (Machine, Observation) {
    let mut machine = machine();
    let mut o = alone();
    o.mount = Mount::None;
    let asked = looks(&mut machine, &o, NOW);
    assert_eq!(ports(&asked), []);
    (machine, o)
}

/// The volume was hatwo's, which DRBD does not see any more.
fn alone() -> Observation {
    let mut o = booted();
    let mut epoch = Epoch::first("haone").taken_over_by("hatwo");
    for phase in epoch.databases.values_mut() {
        *phase = Phase::Done;
    }
    given_the_volume(&mut o, Known::Present(epoch));
    (o.drbd.connected, o.drbd.equal) = (false, false);
    o
}

/// How the ports were set, in that order.
fn ports(actions: &[Action]) -> Vec<PeerPorts> {
    let set = |action: &Action| match action {
        Action::PeerPorts(ports) => Some(*ports),
        _ => None,
    };
    actions.iter().filter_map(set).collect()
}

/// What becomes of the ports when that happens, and at the look after it.
fn happens(machine: &mut Machine, event: Event, o: &Observation) -> Vec<PeerPorts> {
    machine.handle(event, NOW);
    let mut all = actions(machine, NOW);
    if all.last() == Some(&Action::Look) {
        machine.seen(sight(o), &config(), NOW);
        all.extend(actions(machine, NOW));
    }
    ports(&all)
}

fn pacemaker(node: PeerNode) -> Event {
    Event::PacemakerAnswered(Ok(node))
}

fn says(state: State) -> Event {
    Event::PeerAnswered(Ok(Box::new(report(state, 2))))
}

/// haone, which holds the role and refuses.
fn refusing() -> (Machine, Observation) {
    let (mut machine, o) = taking_over();
    let then = happens(&mut machine, pacemaker(PeerNode::Down), &o);
    assert_eq!(then, [PeerPorts::Refused]);
    (machine, o)
}

#[test]
fn the_ports_of_a_peer_are_refused_once_pacemaker_knows_that_it_is_down_and_for_no_other_answer() {
    for answer in [
        Ok(PeerNode::Online),
        Ok(PeerNode::Lost),
        Ok(PeerNode::Unknown),
        Err("no answer".to_owned()),
    ] {
        let (mut machine, o) = taking_over();
        let event = Event::PacemakerAnswered(answer);
        assert_eq!(happens(&mut machine, event.clone(), &o), [], "{event:?}");
    }
    let (mut machine, o) = refusing();
    // Said once, however often it is known.
    let again = happens(&mut machine, pacemaker(PeerNode::Down), &o);
    assert_eq!(again, []);
}

#[test]
fn they_are_refused_before_the_hands_begin_anything_that_would_dial_the_peer() {
    let mut machine = machine();
    let o = alone();
    looks(&mut machine, &o, NOW);
    machine.handle(pacemaker(PeerNode::Down), NOW);
    let then = looks(&mut machine, &o, NOW);
    let refused = then
        .iter()
        .position(|action| *action == Action::PeerPorts(PeerPorts::Refused));
    let begins = then
        .iter()
        .position(|action| matches!(action, Action::Do(_)));
    assert!(refused.is_some() && refused < begins, "{then:?}");
}

#[test]
fn a_peer_that_was_fenced_for_its_silence_is_refused_at_once() {
    let (mut machine, _) = taking_over();
    machine.turn = Turn::Working(Work::Step {
        step: Step::FencePeer,
        request: Request::Hold,
        reasons: Vec::new(),
    });
    machine.done(Ok(Outcome::PeerFenced), NOW);
    assert_eq!(ports(&actions(&mut machine, NOW)), [PeerPorts::Refused]);
}

#[test]
fn whatever_the_peer_says_opens_its_ports_again() {
    for event in [
        Event::PeerHeard,
        Event::PeerWoke,
        Event::PeerConfiguration(facts(&config())),
        says(State::SecondaryWait),
        stop_for("hatwo", 2),
    ] {
        let (mut machine, o) = refusing();
        let then = happens(&mut machine, event.clone(), &o);
        assert_eq!(then, [PeerPorts::Open], "{event:?}");
    }
    let (mut machine, _) = refusing();
    machine.turn = Turn::Working(Work::Step {
        step: Step::StopPeer,
        request: Request::Hold,
        reasons: Vec::new(),
    });
    machine.done(Ok(Outcome::PeerStopped), NOW);
    assert_eq!(ports(&actions(&mut machine, NOW)), [PeerPorts::Open]);
}

#[test]
fn a_peer_that_joins_the_cluster_or_that_drbd_sees_is_refused_no_longer() {
    for node in [PeerNode::Online, PeerNode::Lost, PeerNode::Unknown] {
        let (mut machine, o) = refusing();
        let then = happens(&mut machine, pacemaker(node), &o);
        assert_eq!(then, [PeerPorts::Open], "{node:?}");
    }
    let (mut machine, mut o) = refusing();
    o.drbd.connected = true;
    assert_eq!(
        happens(&mut machine, Event::LinkChanged, &o),
        [PeerPorts::Open]
    );
    // What was known of it is old as well.
    assert_eq!(machine.knowledge.node, Asked::NotYet);
}

#[test]
fn silence_and_a_pacemaker_that_does_not_answer_leave_the_ports_as_they_are() {
    for event in [
        Event::PeerAnswered(Err("no route to host".into())),
        Event::PacemakerAnswered(Err("no answer".into())),
        Event::Changed,
        Event::LinkChanged,
    ] {
        let (mut machine, o) = refusing();
        assert_eq!(happens(&mut machine, event.clone(), &o), [], "{event:?}");
    }
    // Somebody else at the peer's address is not the peer.
    let (mut machine, o) = refusing();
    let mut other = report(State::SecondaryWait, 2);
    other.node = "hathree".into();
    let event = Event::PeerAnswered(Ok(Box::new(other)));
    assert_eq!(happens(&mut machine, event, &o), []);
}

#[test]
fn a_node_that_leaves_the_volume_or_is_not_asked_to_be_the_voter_refuses_nothing() {
    for request in [Request::Release, Request::None] {
        let (mut machine, mut o) = refusing();
        o.request = request;
        let then = happens(&mut machine, Event::Asks(request), &o);
        assert_eq!(then, [PeerPorts::Open], "{request:?}");
        let down = pacemaker(PeerNode::Down);
        assert_eq!(happens(&mut machine, down, &o), [], "{request:?}");
        // At once, although the hands are at something that takes long.
        let (mut machine, _) = refusing();
        machine.turn = Turn::Working(Work::Step {
            step: Step::Recover(Database::K8sd),
            request: Request::Hold,
            reasons: Vec::new(),
        });
        machine.handle(Event::Asks(request), NOW);
        let then = actions(&mut machine, NOW);
        assert_eq!(ports(&then), [PeerPorts::Open], "{request:?}");
    }
}

#[test]
fn a_peer_that_boots_is_heard_before_it_joins_and_is_not_refused_again_while_pacemaker_calls_it_down()
 {
    let (mut machine, o) = refusing();
    let heard = happens(&mut machine, Event::PeerHeard, &o);
    assert_eq!(heard, [PeerPorts::Open]);
    let down = || pacemaker(PeerNode::Down);
    assert_eq!(happens(&mut machine, down(), &o), []);
    // It has joined, and is gone again.
    assert_eq!(happens(&mut machine, pacemaker(PeerNode::Online), &o), []);
    assert_eq!(
        happens(&mut machine, down(), &o),
        [PeerPorts::Refused],
        "another death"
    );
}

#[test]
fn what_a_spare_has_heard_of_its_voter_does_not_keep_the_ports_of_the_dead_one_open() {
    let (mut machine, mut o) = spare();
    assert_eq!(happens(&mut machine, Event::PeerHeard, &o), []);
    let services = o.services;
    o = Observation {
        services,
        mount: Mount::None,
        ..alone()
    };
    machine.handle(Event::Asks(Request::Hold), NOW);
    looks(&mut machine, &o, NOW);
    let then = happens(&mut machine, pacemaker(PeerNode::Down), &o);
    assert_eq!(then, [PeerPorts::Refused]);
}

#[test]
fn while_drbd_sees_the_peer_its_ports_are_open_whatever_pacemaker_says() {
    let mut machine = machine();
    let mut o = alone();
    (o.drbd.connected, o.mount) = (true, Mount::None);
    looks(&mut machine, &o, NOW);
    let down = || pacemaker(PeerNode::Down);
    assert_eq!(happens(&mut machine, down(), &o), []);
    // Heard before the link was lost, which is looked after: it may be its last word.
    assert_eq!(happens(&mut machine, Event::PeerHeard, &o), []);
    o.drbd.connected = false;
    assert_eq!(happens(&mut machine, Event::LinkChanged, &o), []);
    assert_eq!(happens(&mut machine, down(), &o), [PeerPorts::Refused]);
}

#[test]
fn of_a_peer_that_asks_again_and_again_only_the_first_question_is_looked_after() {
    let (mut machine, o) = refusing();
    machine.handle(Event::PeerHeard, NOW);
    looks(&mut machine, &o, NOW);
    machine.handle(Event::PeerHeard, NOW);
    looks(&mut machine, &o, NOW);
    // As long as nothing else was seen.
    machine.turn = Turn::Over;
    machine.peer_is_heard();
    machine.handle(Event::PeerHeard, NOW);
    assert_eq!(actions(&mut machine, NOW), []);
    assert!(machine.rests());
}

#[test]
fn a_peer_that_is_heard_after_the_link_was_lost_and_before_the_next_look_is_not_refused() {
    let mut machine = machine();
    let mut o = alone();
    (o.drbd.connected, o.mount) = (true, Mount::None);
    looks(&mut machine, &o, NOW);
    machine.turn = Turn::Working(Work::Step {
        step: Step::StopServices,
        request: Request::Hold,
        reasons: Vec::new(),
    });
    o.drbd.connected = false;
    machine.handle(Event::PeerHeard, NOW);
    machine.done(Ok(Outcome::Done), NOW);
    looks(&mut machine, &o, NOW);
    let down = || pacemaker(PeerNode::Down);
    assert_eq!(happens(&mut machine, down(), &o), []);
    // Nor one that was heard after Pacemaker has changed its mind.
    let mut machine = self::machine();
    machine.handle(Event::PeerHeard, NOW);
    looks(&mut machine, &o, NOW);
    assert_eq!(happens(&mut machine, down(), &o), []);
}

/// haone's voter, confirmed.
fn running(o: &Observation) -> (Machine, Vec<Action>) {
    let mut machine = machine();
    let then = looks(&mut machine, o, NOW);
    assert_eq!(did(&then), Some(&Task::Take(Step::ConfirmVoter)));
    machine.done(Ok(Outcome::VoterConfirmed), NOW);
    let then = looks(&mut machine, o, NOW);
    (machine, then)
}

fn asks(actions: &[Action]) -> (bool, bool) {
    let asks = |action| actions.contains(&action);
    (asks(Action::AskPacemaker), asks(Action::AskPeer))
}

#[test]
fn a_voter_without_its_peer_asks_once_whether_it_is_down() {
    let mut o = voter();
    let (mut machine, then) = running(&o);
    assert_eq!(asks(&then), (false, false), "it sees its peer");
    // DRBD asks first: until it knows, Pacemaker knows no more.
    (o.drbd.connected, o.drbd.equal) = (false, false);
    o.drbd.suspended = Some(Suspended::Fencing);
    o.fence_peer = FencePeer::AtWork;
    machine.handle(Event::LinkChanged, NOW);
    let before = ports(&looks(&mut machine, &o, NOW));
    assert_eq!(before, []);
    (o.drbd.suspended, o.fence_peer) = (None, FencePeer::Quiet);
    machine.handle(Event::Changed, NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(asks(&then), (true, true), "{then:?}");
    let then = happens(&mut machine, pacemaker(PeerNode::Down), &o);
    assert_eq!(then, [PeerPorts::Refused]);
    machine.handle(Event::Changed, NOW);
    assert_eq!(asks(&looks(&mut machine, &o, NOW)), (false, false));
    // Back, and gone again.
    o.drbd.connected = true;
    assert_eq!(
        happens(&mut machine, Event::LinkChanged, &o),
        [PeerPorts::Open]
    );
    o.drbd.connected = false;
    machine.handle(Event::PeerAnswered(Err("no answer".into())), NOW);
    let then = looks(&mut machine, &o, NOW);
    assert_eq!(asks(&then), (true, true), "{then:?}");
}

#[test]
fn an_agent_that_is_started_anew_beside_a_lone_voter_learns_that_its_peer_is_down() {
    let mut o = voter();
    (o.drbd.connected, o.drbd.equal) = (false, false);
    let (mut machine, then) = running(&o);
    assert_eq!(asks(&then), (true, true), "{then:?}");
    let then = happens(&mut machine, pacemaker(PeerNode::Down), &o);
    assert_eq!(then, [PeerPorts::Refused]);
    // It runs, without Pacemaker.
    let then = happens(&mut machine, says(State::SecondaryRunning), &o);
    assert_eq!(then, [PeerPorts::Open]);
}

#[test]
fn a_peer_that_pacemaker_calls_down_although_drbd_sees_it_is_asked_about_once_and_not_for_ever() {
    let (mut machine, mut o) = taking_over();
    o.drbd.connected = true;
    o.mount = Mount::ReadWrite;
    let mut asked = 0;
    for _ in 0..9 {
        machine.handle(pacemaker(PeerNode::Down), NOW);
        let then = looks(&mut machine, &o, NOW);
        asked += usize::from(asks(&then).0);
        if did(&then).is_some() {
            break;
        }
    }
    assert!(asked <= 1, "{asked}");
}
