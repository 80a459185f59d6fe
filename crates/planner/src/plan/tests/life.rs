//! The four ways: first start, voter after the peer's power loss, spare after return, planned
//! move. Each runs to its end, and from every point on the way after a crash.

use crate::Database::{K8sDqlite, K8sd};
use crate::Target::{Spare, Volume};
use crate::observation::*;
use crate::record::Epoch;
use crate::world::*;
use crate::{State, Step};

#[test]
fn on_the_first_day_the_voter_moves_onto_the_volume_after_its_peer_has_stopped() {
    let mut o = first_day(true);
    given_the_volume(&mut o, Known::Absent);
    let mut peer = report(State::SecondaryWait, 0);
    peer.original_voter = Some(false);
    peer.datastore_running = true;
    let (taken, end) = live(&mut o, &peer);
    assert_eq!(
        taken,
        [
            Step::AskPeer,
            Step::StopPeer,
            Step::StopServices,
            Step::MoveOntoVolume,
            Step::KeepIdentity(K8sDqlite),
            Step::Flip(K8sDqlite, Volume),
            Step::KeepIdentity(K8sd),
            Step::Flip(K8sd, Volume),
            Step::StartServices,
            Step::ConfirmVoter,
        ]
    );
    assert_eq!(end.state, State::PrimaryRunning);
}

#[test]
fn on_the_first_day_the_spare_keeps_its_directories_and_leads_to_them() {
    let mut o = first_day(false);
    each(&mut o, |d| d.original = Holds::Waiting);
    let (taken, end) = live(&mut o, &report(State::PrimaryRunning, 1));
    assert_eq!(
        taken,
        [
            Step::AskPeer,
            Step::RememberEpoch(1),
            Step::StopServices,
            Step::KeepOriginal(K8sDqlite),
            Step::Flip(K8sDqlite, Spare),
            Step::KeepOriginal(K8sd),
            Step::Flip(K8sd, Spare),
            Step::StartServices,
        ]
    );
    assert_eq!(end.state, State::SecondaryRunning);
    assert!(end.settled);
}

#[test]
fn a_first_days_copy_whose_epoch_was_not_noted_before_a_crash_is_noted_then() {
    let mut o = first_day(false);
    o.services = Services::Stopped;
    each(&mut o, |d| d.spare = Holds::Waiting);
    let (taken, end) = live(&mut o, &report(State::PrimaryRunning, 1));
    assert!(taken.contains(&Step::KeepOriginal(K8sDqlite)), "{taken:?}");
    assert!(!taken.contains(&Step::Rejoin(1)), "{taken:?}");
    assert!(end.settled);
}

#[test]
fn after_the_peers_power_loss_the_spare_becomes_the_voter_of_the_next_epoch() {
    let mut o = booted();
    o.services = Services::Running;
    o.token = true;
    given_the_volume(
        &mut o,
        Known::Present(Epoch::first("hatwo").taken_over_by("hatwo")),
    );
    o.epoch = match o.epoch {
        Known::Present(mut epoch) => {
            epoch
                .databases
                .values_mut()
                .for_each(|p| *p = crate::record::Phase::Done);
            Known::Present(epoch)
        }
        other => other,
    };
    o.peer_node = Asked::Answer(PeerNode::Down);
    let (taken, end) = live(&mut o, &report(State::Probing, 0));
    assert_eq!(
        taken,
        [
            Step::StopServices,
            Step::BeginEpoch,
            Step::Flip(K8sDqlite, Volume),
            Step::Flip(K8sd, Volume),
            Step::Recover(K8sd),
            Step::Recover(K8sDqlite),
            Step::StartServices,
            Step::ConfirmVoter,
        ]
    );
    assert_eq!(end.state, State::PrimaryRunning);
    assert_eq!(o.journal.highest_epoch, 3);
}

#[test]
fn a_voter_that_returns_from_the_dead_leaves_the_mount_point_and_rejoins_as_spare() {
    let mut o = booted();
    each(&mut o, |d| d.leads = Leads::ToVolume);
    let (taken, end) = live(&mut o, &report(State::PrimaryRunning, 3));
    assert_eq!(
        taken,
        [
            Step::Flip(K8sDqlite, Spare),
            Step::Flip(K8sd, Spare),
            Step::AskPeer,
            Step::RememberEpoch(3),
            Step::Rejoin(3),
            Step::StartServices,
        ]
    );
    assert_eq!(end.state, State::SecondaryRunning);
}

#[test]
fn a_node_whose_own_disk_takes_no_change_is_off_the_volume_once_nothing_runs_there() {
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    o.services = Services::Running;
    o.token = true;
    each(&mut o, |d| d.leads = Leads::ToVolume);
    o.request = Request::Release;
    o.own_disk = Some("could not lead it: the disk is full".into());
    assert_eq!(decide(&o).steps[0], Step::StopServices);
    o.services = Services::Stopped;
    // Neither a token that stays nor a link that cannot be changed.
    let decision = decide(&o);
    assert_eq!(decision.steps, [Step::ReportReleased]);
    assert!(decision.warnings[0].contains("the disk is full"));
    o.request = Request::None;
    o.services = Services::Partly;
    assert_eq!(decide(&o).steps[0], Step::StopServices);
}

#[test]
fn a_release_stops_the_voter_and_leaves_the_volume_before_pacemaker_hears_of_it() {
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    o.journal.highest_epoch = 1;
    o.services = Services::Running;
    o.token = true;
    o.confirmed = true;
    each(&mut o, |d| d.leads = Leads::ToVolume);
    assert_eq!(decide(&o).state, State::PrimaryRunning);
    o.request = Request::Release;
    let mut taken = Vec::new();
    while o.request == Request::Release {
        let step = decide(&o).steps[0].clone();
        take(&mut o, &step, &report(State::SecondaryRunning, 1));
        taken.push(step);
        assert!(taken.len() < 20, "no end: {taken:?}");
    }
    assert_eq!(
        taken,
        [
            Step::StopServices,
            Step::Leave(K8sDqlite),
            Step::Leave(K8sd),
            Step::ReportReleased,
        ]
    );
}

#[test]
fn a_voter_whose_failover_unit_died_leaves_the_volume_at_once() {
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    o.services = Services::Running;
    o.token = true;
    each(&mut o, |d| d.leads = Leads::ToVolume);
    o.request = Request::None;
    let decision = decide(&o);
    assert_eq!(decision.state, State::Draining);
    assert_eq!(decision.steps[0], Step::StopServices);
}

#[test]
fn a_spare_has_not_arrived_while_a_handlers_constraint_keeps_it_from_being_promoted() {
    let mut o = booted();
    o.promotion = Asked::NotYet;
    let (taken, _) = live(&mut o, &report(State::PrimaryRunning, 2));
    assert_eq!(taken.last(), Some(&Step::AskPromotion));
    for promotion in [
        Asked::Answer(Promotion::Forbidden("drbd-fence-by-handler-r0-x".into())),
        Asked::Silent("Pacemaker is not running here".into()),
    ] {
        o.promotion = promotion;
        let decision = decide(&o);
        assert!(!decision.settled && decision.steps.is_empty());
        assert_eq!(decision.state, State::Syncing);
    }
    o.promotion = Asked::Answer(Promotion::Allowed);
    assert!(decide(&o).settled);
}

#[test]
fn a_voter_takes_its_handlers_constraint_away_once_both_copies_are_the_same() {
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    o.journal.highest_epoch = 1;
    (o.services, o.token, o.confirmed) = (Services::Running, true, true);
    each(&mut o, |d| d.leads = Leads::ToVolume);
    let peer = report(State::SecondaryRunning, 1);
    // The link is cut: the constraint stands, and nobody asks.
    let constraint = Promotion::PeerForbidden("drbd-fence-by-handler-r0-x".into());
    (o.drbd.equal, o.drbd.connected) = (false, false);
    o.promotion = Asked::NotYet;
    assert!(decide(&o).settled);
    // It is back, and there was nothing to sync.
    (o.drbd.equal, o.drbd.connected) = (true, true);
    assert_eq!(decide(&o).steps, [Step::AskPromotion]);
    assert_eq!(decide(&o).state, State::PrimaryRunning);
    o.promotion = Asked::Answer(constraint);
    let (taken, decision) = live(&mut o, &peer);
    assert!(
        matches!(taken[..], [Step::RemoveConstraint(_), Step::AskPromotion]),
        "{taken:?}"
    );
    assert!(decision.settled);
    // Pacemaker that does not answer is asked again.
    o.promotion = Asked::Silent("Pacemaker is not running here".into());
    let decision = decide(&o);
    assert!(!decision.settled && decision.steps.is_empty());
    assert_eq!(decision.state, State::PrimaryRunning);
}

#[test]
fn a_node_that_is_no_voter_takes_its_constraint_away_so_that_the_other_one_can_be_promoted() {
    let constraint = "drbd-fence-by-handler-r0-x";
    // Pacemaker has tried in vain to make it the voter.
    let mut failed = booted();
    given_the_volume(&mut failed, Known::Present(Epoch::first("haone")));
    failed.failure = Some("its disk is full".into());
    // Between two tries.
    let mut mounted = failed.clone();
    (mounted.failure, mounted.request) = (None, Request::None);
    // Pacemaker has given up, and promotes nobody.
    let mut demoted = booted();
    demoted.peer_report = Asked::Answer(report(State::SecondaryWait, 2));
    for mut o in [failed, mounted, demoted] {
        let before = decide(&o);
        assert!(!before.settled && before.steps.is_empty(), "{before:?}");
        o.promotion = Asked::NotYet;
        assert_eq!(decide(&o).steps, [Step::AskPromotion]);
        o.promotion = Asked::Answer(Promotion::PeerForbidden(constraint.into()));
        let decision = decide(&o);
        assert_eq!(decision.steps, [Step::RemoveConstraint(constraint.into())]);
        assert_eq!(
            (decision.state, &decision.remedy),
            (before.state, &before.remedy)
        );
        // It protects something, or it is the peer's.
        o.promotion = Asked::Answer(Promotion::Forbidden(constraint.into()));
        assert_eq!(decide(&o).steps, []);
        o.promotion = Asked::Answer(Promotion::PeerForbidden(constraint.into()));
        o.drbd.equal = false;
        assert_eq!(decide(&o).steps, []);
        // Nothing is to hold up the way down.
        o.drbd.equal = true;
        o.shutting_down = true;
        assert_eq!(decide(&o).steps, []);
    }
}

#[test]
fn a_machine_that_shuts_down_starts_nothing_again_and_leaves_the_volume_only_when_asked() {
    let mut voter = booted();
    given_the_volume(&mut voter, Known::Present(Epoch::first("haone")));
    voter.journal.highest_epoch = 1;
    voter.token = true;
    voter.services = Services::Partly;
    each(&mut voter, |d| d.leads = Leads::ToVolume);
    let mut spare = booted();
    spare.peer_report = Asked::Answer(report(State::PrimaryRunning, 2));
    spare.services = Services::Partly;
    spare.token = true;
    for mut o in [voter.clone(), spare] {
        assert!(!decide(&o).steps.is_empty(), "it would start them: {o:?}");
        o.shutting_down = true;
        let decision = decide(&o);
        assert_eq!(decision.steps, []);
        assert!(!decision.settled);
    }
    voter.shutting_down = true;
    voter.request = Request::Release;
    assert_eq!(decide(&voter).steps[0], Step::StopServices);
}

#[test]
fn an_agent_that_was_restarted_leaves_the_running_voter_alone_until_the_holder_has_come_back() {
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    o.journal.highest_epoch = 1;
    o.services = Services::Running;
    o.token = true;
    each(&mut o, |d| d.leads = Leads::ToVolume);
    o.request = Request::None;
    o.failover_unit = true;
    assert!(decide(&o).steps.is_empty());
}

#[test]
fn the_volumes_owner_starts_again_without_a_recovery() {
    let mut o = booted();
    o.journal.highest_epoch = 1;
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    o.peer_node = Asked::Answer(PeerNode::Down);
    let (taken, end) = live(&mut o, &report(State::Probing, 0));
    assert!(
        !taken
            .iter()
            .any(|s| matches!(s, Step::Recover(_) | Step::BeginEpoch)),
        "{taken:?}"
    );
    assert_eq!(end.state, State::PrimaryRunning);
}

/// I9, as far as the plan goes: what a power cut takes away is the token, the services and what
/// was learnt of the peer; from every point on the way the same end is reached.
#[test]
fn after_a_power_cut_at_any_step_of_a_takeover_the_next_start_goes_on_by_itself() {
    let mut start = booted();
    start.services = Services::Running;
    start.token = true;
    given_the_volume(&mut start, Known::Present(Epoch::first("hatwo")));
    start.journal.highest_epoch = 1;
    for cut_after in 0..12 {
        let mut o = start.clone();
        for _ in 0..cut_after {
            let Some(step) = decide(&o).steps.first().cloned() else {
                break;
            };
            take(&mut o, &step, &report(State::Probing, 1));
        }
        o.services = Services::Stopped;
        o.token = false;
        o.confirmed = false;
        o.peer_report = Asked::NotYet;
        o.peer_node = Asked::NotYet;
        o.peer_stopped = false;
        let (_, end) = live(&mut o, &report(State::Probing, 1));
        assert_eq!(
            end.state,
            State::PrimaryRunning,
            "cut after {cut_after} steps: {end:?}"
        );
        assert_eq!(
            o.journal.highest_epoch, 2,
            "one epoch, however often it is begun"
        );
    }
}

#[test]
fn a_spare_has_not_arrived_before_its_copy_of_the_volume_is_up_to_date() {
    for (up_to_date, connected) in [(false, true), (true, false)] {
        let mut o = booted();
        o.drbd.up_to_date = up_to_date;
        o.drbd.connected = connected;
        let (taken, end) = live(&mut o, &report(State::PrimaryRunning, 2));
        assert_eq!(
            taken.last(),
            Some(&Step::StartServices),
            "it serves all the same"
        );
        assert_eq!(end.state, State::Syncing);
        assert!(!end.settled);
    }
}

/// haone, the voter of epoch 1, whose peer has gone; fence-peer has not let it go on.
fn suspended_voter() -> Observation {
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    o.journal.highest_epoch = 1;
    (o.services, o.token, o.confirmed) = (Services::Running, true, true);
    each(&mut o, |d| d.leads = Leads::ToVolume);
    (o.drbd.equal, o.drbd.connected) = (false, false);
    (o.drbd.suspended, o.volume_silent) = (Some(Suspended::Fencing), true);
    o
}

#[test]
fn a_voter_whose_writes_stand_still_says_so_and_goes_on_once_its_peer_is_down() {
    let mut o = suspended_voter();
    o.fence_peer = FencePeer::AtWork;
    let decision = decide(&o);
    assert_eq!(decision.state, State::PrimaryRunning);
    assert!(!decision.settled && decision.steps.is_empty());
    // The handler does its work: no reason to wake anybody.
    assert_eq!(decision.warnings, [""; 0]);
    o.fence_peer = FencePeer::Quiet;
    assert_eq!(decide(&o).steps, [Step::AskPacemaker]);
    o.peer_node = Asked::Answer(PeerNode::Lost);
    let decision = decide(&o);
    assert!(decision.steps.is_empty());
    assert!(
        decision.warnings[0].contains("`stonith_admin --confirm hatwo`"),
        "{decision:?}"
    );
    // It was fenced, or somebody has said so.
    o.peer_node = Asked::NotYet;
    let (taken, decision) = live(&mut o, &report(State::SecondaryRunning, 1));
    assert_eq!(taken, [Step::AskPacemaker, Step::AskFencePeer]);
    o.volume_silent = false;
    assert!(decide(&o).settled, "{decision:?}");
}

#[test]
fn a_connection_that_was_to_be_made_again_when_the_agent_ended_is_made_and_no_other() {
    let mut o = suspended_voter();
    (o.drbd.suspended, o.volume_silent, o.drbd.alone) = (None, false, true);
    assert!(decide(&o).settled);
    // What the journal says may be of another boot, or be overwritten since.
    o.journal.note(Some(&Step::AskFencePeer));
    assert!(decide(&o).settled);
    o.journal.note(Some(&Step::StartServices));
    o.own_disconnect = true;
    assert_eq!(decide(&o).steps, [Step::AskFencePeer]);
    // The role may have moved on meanwhile.
    let mut spare = booted();
    (spare.drbd.connected, spare.drbd.alone) = (false, true);
    assert_ne!(decide(&spare).steps, [Step::AskFencePeer]);
    spare.own_disconnect = true;
    assert_eq!(decide(&spare).steps, [Step::AskFencePeer]);
    for mut o in [o, spare] {
        let mut connected = o.clone();
        connected.drbd.alone = false;
        assert_ne!(decide(&connected).steps, [Step::AskFencePeer]);
        o.split_brain = Some(SplitBrain::Reported);
        assert_ne!(decide(&o).steps, [Step::AskFencePeer]);
    }
}
