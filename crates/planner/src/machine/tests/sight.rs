//! What the machine adds to what was seen.

use two_node_ha_config::Facts;

use super::*;
use crate::record::Owned;

/// What is published of the next look.
fn shown(machine: &mut Machine, o: &Observation, now: Moment) -> crate::machine::Standing {
    machine.handle(Event::Changed, now);
    let then = looks(machine, o, now);
    standings(&then).pop().unwrap_or_else(|| panic!("{then:?}"))
}

/// What is made of that look.
fn made_of(machine: &mut Machine, sight: Sight, now: Moment) -> Observation {
    machine.handle(Event::Changed, now);
    let due = actions(machine, now);
    assert_eq!(due.last(), Some(&Action::Look), "{due:?}");
    machine.seen(sight, &config(), now);
    let then = actions(machine, now);
    standings(&then).swap_remove(0).observation
}

#[test]
fn what_is_wrong_with_the_configuration_is_part_of_every_look() {
    let mut machine = machine();
    machine.configuration_trouble(Some("line 3".into()));
    let seen = shown(&mut machine, &booted(), NOW).observation;
    assert_eq!(seen.configuration.as_deref(), Some("line 3"));
    machine.configuration_trouble(None);
    let seen = shown(&mut machine, &booted(), NOW).observation;
    assert_eq!(seen.configuration, None);
}

#[test]
fn what_the_peer_tells_of_its_configuration_is_compared_and_an_older_agent_tells_nothing() {
    let mut theirs = facts(&config());
    for value in theirs.values_mut() {
        value.push('x');
    }
    for (told, heard, differs) in [
        (Facts::new(), false, false),
        (facts(&config()), true, false),
        (theirs, true, true),
    ] {
        let by_itself = Event::PeerConfiguration(told.clone());
        let mut with_report = report(State::SecondaryRunning, 2);
        with_report.config = told.clone();
        let with_report = Event::PeerAnswered(Ok(Box::new(with_report)));
        for event in [by_itself, with_report] {
            let mut machine = machine();
            machine.handle(event, NOW);
            let standing = shown(&mut machine, &voter(), NOW);
            assert_eq!(standing.peer_tells_configuration, heard, "{told:?}");
            assert_eq!(standing.report.heard.is_some(), heard, "{told:?}");
            let differences = standing.observation.differences;
            assert_eq!(!differences.is_empty(), differs, "{differences:?}");
        }
    }
}

#[test]
fn a_peer_that_has_stopped_runs_nothing_whatever_it_has_said_before() {
    let mut machine = machine();
    let running = report(State::SecondaryRunning, 2);
    machine.handle(Event::PeerAnswered(Ok(Box::new(running))), NOW);
    machine.knowledge.logs_fetched = true;
    machine.turn = Turn::Working(Work::Step {
        step: Step::StopPeer,
        request: Request::Hold,
        reasons: Vec::new(),
    });
    machine.done(Ok(Outcome::PeerStopped), NOW);
    assert!(machine.knowledge.stopped);
    assert!(
        !machine.knowledge.logs_fetched,
        "what it wrote since is not"
    );
    let Asked::Answer(report) = &machine.knowledge.report else {
        panic!("what else it has said holds");
    };
    assert!(!report.datastore_running);
}

#[test]
fn what_is_known_about_promotion_holds_only_while_the_copies_are_equal_and_connected() {
    for (up_to_date, connected, holds) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
        (false, false, false),
    ] {
        let mut machine = machine();
        machine.knowledge.promotion = Asked::Answer(Promotion::Allowed);
        let mut o = booted();
        (o.drbd.up_to_date, o.drbd.connected) = (up_to_date, connected);
        let seen = shown(&mut machine, &o, NOW).observation;
        let kept = seen.promotion == Asked::Answer(Promotion::Allowed);
        assert_eq!(kept, holds, "{up_to_date} {connected}");
    }
}

#[test]
fn a_split_brain_is_one_only_while_drbd_is_not_connected() {
    for (reported, connected, split) in [
        (true, false, Some(SplitBrain::Reported)),
        (true, true, None),
        (false, false, None),
    ] {
        let mut machine = machine();
        let mut o = booted();
        o.drbd.connected = connected;
        let mut seen = sight(&o);
        seen.split_brain_reported = reported;
        let o = made_of(&mut machine, seen, NOW);
        assert_eq!(o.split_brain, split, "{reported} {connected}");
    }
}

#[test]
fn the_fence_peer_handler_is_of_account_only_while_drbd_waits_for_it() {
    let fencing = Some(Suspended::Fencing);
    let other = Some(Suspended::Other("by hand".into()));
    for (suspended, at_work, seen) in [
        (None, true, FencePeer::Quiet),
        (other, true, FencePeer::Quiet),
        (fencing.clone(), true, FencePeer::AtWork),
        // It was asked when the writes began to stand still.
        (fencing, false, FencePeer::Asked),
    ] {
        let mut machine = machine();
        let mut o = voter();
        o.drbd.suspended = suspended.clone();
        let mut sight = sight(&o);
        sight.handler_at_work = at_work;
        let o = made_of(&mut machine, sight, NOW);
        assert_eq!(o.fence_peer, seen, "{suspended:?} {at_work}");
    }
}

#[test]
fn whose_the_volume_is_is_noted_when_it_is_news() {
    let mut machine = machine();
    let mut o = voter();
    let owned = |node: &str| Owned {
        epoch: 2,
        owner: node.into(),
    };
    let notes = |machine: &mut Machine, o: &Observation| {
        machine.handle(Event::Changed, NOW);
        let then = looks(machine, o, NOW);
        let noted = Action::NoteVolume(owned("haone"));
        let seen = standings(&then).pop().unwrap().observation;
        assert_eq!(seen.journal.volume, Some(owned("haone")));
        then.contains(&noted)
    };
    assert!(notes(&mut machine.clone(), &o), "nothing was noted yet");
    o.journal.volume = Some(owned("hatwo"));
    assert!(notes(&mut machine.clone(), &o), "it was another's");
    o.journal.volume = Some(owned("haone"));
    assert!(!notes(&mut machine, &o));
}

#[test]
fn the_patience_with_a_silent_peer_is_over_after_the_configured_time_and_not_before() {
    let timeout = config().peer.silent_timeout;
    for (waited, over) in [
        (timeout - Duration::from_millis(1), false),
        (timeout, true),
        (timeout * 2, true),
    ] {
        let mut machine = machine();
        (machine.hold, machine.request) = (Some(1), Request::Hold);
        let mut held = sight(&voter());
        held.hold = Some(1);
        machine.handle(Event::PeerAnswered(Err("no route to host".into())), NOW);
        let o = made_of(&mut machine, held, NOW + waited);
        assert_eq!(o.peer_patience_over, over, "{waited:?}");
    }
}

#[test]
fn after_a_while_what_was_learnt_is_old_except_to_a_spare_what_its_voter_has_said() {
    let answered = || Asked::Answer(report(State::PrimaryRunning, 2));
    for (request, knows, keeps) in [
        (Request::None, answered(), true),
        (
            Request::None,
            Asked::Silent("no route to host".into()),
            false,
        ),
        (Request::Hold, answered(), false),
        (Request::Release, answered(), false),
    ] {
        let mut machine = machine();
        machine.turn = Turn::Over;
        machine.retry = Some(NOW);
        machine.request = request;
        machine.own_disk = Some("it was full".into());
        machine.knowledge.report = knows.clone();
        machine.knowledge.node = Asked::Answer(PeerNode::Online);
        machine.knowledge.promotion = Asked::Answer(Promotion::Allowed);
        let then = actions(&mut machine, NOW);
        assert_eq!(then.last(), Some(&Action::Look));
        // It is asked anew, and until then the answer of before holds.
        assert_eq!(then.contains(&Action::AskPeer), keeps, "{request:?}");
        assert_eq!(machine.knowledge.report == knows, keeps, "{request:?}");
        // Without its voter's word a spare asks Pacemaker anew, in the same way.
        let node = &machine.knowledge.node;
        let unasked = request == Request::None;
        assert_eq!(*node != Asked::NotYet, unasked, "{request:?}");
        let asks = then.contains(&Action::AskPacemaker);
        assert_eq!(asks, unasked && !keeps, "{request:?}");
        assert_eq!(machine.knowledge.promotion, Asked::NotYet, "{request:?}");
        assert_eq!(machine.own_disk, None, "it may take changes again");
    }
}
