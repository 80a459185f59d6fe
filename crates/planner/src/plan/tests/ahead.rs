//! What is done before Pacemaker starts the failover unit.

use crate::observation::*;
use crate::record::{Epoch, Phase};
use crate::world::*;
use crate::{Database, Decision, State, Step, Target};

/// haone, the spare of hatwo's epoch 2, which runs.
fn spare() -> Observation {
    let mut o = booted();
    (o.services, o.token) = (Services::Running, true);
    o
}

/// The same with hatwo's volume mounted, and hatwo dead.
fn mounted() -> Observation {
    let mut o = spare();
    given_the_volume(&mut o, Known::Present(Epoch::first("hatwo")));
    o.journal.highest_epoch = 1;
    o.request = Request::None;
    (o.failover_unit, o.just_mounted) = (false, true);
    o.peer_node = Asked::Answer(PeerNode::Down);
    o
}

fn waits(decision: &Decision) {
    assert_eq!(decision.state, State::PrimaryPrep, "{decision:?}");
    assert!(
        decision.steps.is_empty() && !decision.settled,
        "{decision:?}"
    );
}

#[test]
fn a_spare_stops_its_databases_when_drbd_is_made_primary_and_not_while_it_is_secondary() {
    let mut o = spare();
    assert!(!decide(&o).steps.contains(&Step::StopServices));
    o.drbd.role = Role::Primary;
    let decision = decide(&o);
    assert_eq!(decision.steps, [Step::StopServices], "{decision:?}");
    assert_eq!(decision.state, State::PrimaryPrep);
    (o.services, o.token) = (Services::Stopped, false);
    // A planned move: the other node lives, and is asked once it is needed.
    o.drbd.connected = true;
    waits(&decide(&o));
    o.drbd.connected = false;
    let decision = decide(&o);
    assert_eq!(decision.steps, [Step::AskPacemaker], "{decision:?}");
    for known in [
        Asked::Answer(PeerNode::Down),
        Asked::Answer(PeerNode::Online),
        Asked::Silent("no answer".into()),
    ] {
        o.peer_node = known;
        waits(&decide(&o));
    }
}

#[test]
fn with_the_peer_dead_the_databases_are_this_nodes_before_pacemaker_asks_and_nothing_is_started() {
    let mut o = mounted();
    let peer = report(State::SecondaryWait, 1);
    let decision = decide(&o);
    assert_eq!(
        decision.steps,
        [
            Step::StopServices,
            Step::BeginEpoch,
            Step::Flip(Database::K8sDqlite, Target::Volume),
            Step::Flip(Database::K8sd, Target::Volume),
            Step::Recover(Database::K8sd),
            Step::Recover(Database::K8sDqlite),
        ],
        "{decision:?}"
    );
    assert_eq!(decision.state, State::Recovering);
    for step in &decision.steps {
        take(&mut o, step, &peer);
    }
    waits(&decide(&o));
    let Known::Present(epoch) = &o.epoch else {
        panic!("{:?}", o.epoch);
    };
    assert!(epoch.complete() && epoch.owner == o.node);
    // The failover unit finds it done.
    o.request = Request::Hold;
    o.failover_unit = true;
    let decision = decide(&o);
    assert_eq!(decision.steps, [Step::StartServices, Step::ConfirmVoter]);
}

#[test]
fn half_of_it_goes_on_whether_or_not_pacemaker_has_come_to_ask() {
    let mut o = mounted();
    let mut epoch = Epoch::first("hatwo").taken_over_by("haone");
    epoch.done(Database::K8sd);
    assert_eq!(epoch.phase(Database::K8sDqlite), Phase::Pending);
    o.journal.highest_epoch = epoch.epoch;
    o.epoch = Known::Present(epoch);
    (o.services, o.token) = (Services::Stopped, false);
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    assert_eq!(decide(&o).steps, [Step::Recover(Database::K8sDqlite)]);
}

#[test]
fn where_the_peer_lives_or_is_not_known_to_be_dead_the_volume_is_not_touched_before_pacemaker_asks()
{
    for node in [PeerNode::Online, PeerNode::Lost, PeerNode::Unknown] {
        for answers in [true, false] {
            let mut o = mounted();
            o.peer_node = Asked::Answer(node);
            o.peer_report = if answers {
                let mut report = report(State::SecondaryWait, 1);
                report.datastore_running = false;
                Asked::Answer(report)
            } else {
                Asked::Silent("no route to host".into())
            };
            let decision = decide(&o);
            let harmless = |step: &Step| *step == Step::StopServices;
            assert!(decision.steps.iter().all(harmless), "{decision:?}");
            assert_eq!(decision.state, State::PrimaryPrep);
        }
    }
    let mut o = mounted();
    o.peer_node = Asked::NotYet;
    assert_eq!(decide(&o).steps, [Step::AskPacemaker, Step::AskPeer]);
}

#[test]
fn nothing_is_done_ahead_on_a_volume_that_stands_still_is_read_only_older_or_new() {
    let changes: [fn(&mut Observation); 8] = [
        |o| o.just_mounted = false,
        |o| o.drbd.suspended = Some(Suspended::Fencing),
        |o| o.volume_silent = true,
        |o| (o.drbd.alone, o.drbd.seeking, o.own_disconnect) = (true, false, true),
        |o| o.mount = Mount::ReadOnly,
        |o| o.drbd.role = Role::Secondary,
        |o| o.journal.highest_epoch = 9,
        |o| o.epoch = Known::Absent,
    ];
    for change in changes {
        let mut o = mounted();
        change(&mut o);
        waits(&decide(&o));
    }
}
