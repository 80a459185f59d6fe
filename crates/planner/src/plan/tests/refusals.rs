//! Refuses rather than destroys.

use crate::observation::*;
use crate::record::Epoch;
use crate::world::*;
use crate::{State, Step, plan};

fn blocked(o: &Observation, word: &str) {
    let decision = decide(o);
    assert_eq!(decision.state, State::Blocked, "{decision:?}");
    assert!(decision.steps.is_empty(), "{decision:?}");
    assert!(decision.remedy.is_some(), "{decision:?}");
    assert!(decision.reasons.join(" ").contains(word), "{decision:?}");
}

fn holding(epoch: Epoch) -> Observation {
    let mut o = booted();
    given_the_volume(&mut o, Known::Present(epoch));
    o.journal.highest_epoch = 1;
    o
}

#[test]
fn an_older_volume_is_not_started() {
    let mut o = holding(Epoch::first("hatwo"));
    o.journal.highest_epoch = 2;
    blocked(&o, "older copy");
    assert!(decide(&o).only_here, "the newer data is on the other node");
}

#[test]
fn a_volume_that_the_peer_has_seen_newer_is_not_started() {
    let mut o = holding(Epoch::first("hatwo"));
    o.peer_report = Asked::Answer(report(State::SecondaryWait, 2));
    blocked(&o, "knows epoch 2");
}

#[test]
fn an_unreadable_record_is_not_taken_for_an_empty_volume() {
    let mut o = first_day(true);
    given_the_volume(&mut o, Known::Unreadable("half a record".into()));
    blocked(&o, "half a record");
}

#[test]
fn a_lost_peer_that_nobody_fenced_keeps_the_voter_from_starting() {
    let mut o = holding(Epoch::first("hatwo"));
    o.peer_report = Asked::Silent("no route to host".into());
    o.peer_node = Asked::Answer(PeerNode::Lost);
    blocked(&o, "has not fenced");
}

#[test]
fn a_lost_peer_is_passed_over_only_by_the_operators_policy_and_loudly() {
    let mut o = holding(Epoch::first("hatwo"));
    o.peer_report = Asked::Silent("no route to host".into());
    o.peer_node = Asked::Answer(PeerNode::Lost);
    let mut config = config();
    // The policy is for clusters without a fence device only.
    config.fencing.promote_without_fencing = true;
    assert_eq!(plan(&o, &config).state, State::Blocked);
    config.fencing.mode = two_node_ha_config::FencingMode::None;
    config.fencing.promote_without_fencing = false;
    assert_eq!(plan(&o, &config).state, State::Blocked);
    config.fencing.promote_without_fencing = true;
    let decision = plan(&o, &config);
    assert_eq!(decision.state, State::Recovering);
    assert!(decision.reasons.join(" ").contains("NOT SAFE"));
    assert!(!decision.warnings.is_empty());
}

#[test]
fn two_voters_at_once_are_a_split_brain_and_nothing_starts() {
    let mut o = holding(Epoch::first("haone"));
    o.peer_report = Asked::Answer(report(State::PrimaryRunning, 1));
    blocked(&o, "says that it is the voter");
    // Either of the two is enough.
    for (voter, wants_voter) in [(true, false), (false, true)] {
        o.peer_report = Asked::Answer(crate::report::Report {
            voter,
            wants_voter,
            ..report(State::SecondaryRunning, 1)
        });
        blocked(&o, "says that it is the voter");
    }
}

#[test]
fn a_running_spare_is_stopped_before_the_voter_changes() {
    let mut o = holding(Epoch::first("hatwo"));
    o.peer_report = Asked::Answer(report(State::SecondaryRunning, 1));
    assert_eq!(decide(&o).steps, [Step::StopPeer]);
    // Also by one that has begun to take over, and not ended it.
    let mut o = holding(Epoch::first("hatwo").taken_over_by("haone"));
    o.journal.highest_epoch = 2;
    o.peer_report = Asked::Answer(report(State::SecondaryRunning, 1));
    assert_eq!(decide(&o).steps, [Step::StopPeer]);
    // One that has stopped may say nothing more.
    o.peer_report = Asked::Silent("connection refused".into());
    o.peer_node = Asked::Answer(PeerNode::Lost);
    assert_eq!(decide(&o).state, State::Blocked);
    o.peer_stopped = true;
    assert_ne!(decide(&o).state, State::Blocked);
}

#[test]
fn the_first_start_needs_the_peer() {
    let mut o = first_day(true);
    given_the_volume(&mut o, Known::Absent);
    o.peer_report = Asked::Silent("no key".into());
    blocked(&o, "needs both nodes");
}

#[test]
fn on_the_first_day_the_wrong_node_says_where_the_voter_is() {
    let mut o = first_day(false);
    // A member that has always been a spare has none of raft's files.
    each(&mut o, |d| d.original = Contents::Waiting);
    given_the_volume(&mut o, Known::Absent);
    blocked(&o, "the voter of");
    assert!(
        decide(&o)
            .remedy
            .unwrap()
            .contains("two-node-ha move hatwo")
    );
    assert!(
        decide(&o).only_here,
        "Pacemaker should try the voter's node"
    );
}

#[test]
fn on_the_first_day_two_nodes_that_both_claim_the_voter_are_left_alone() {
    let mut o = first_day(true);
    given_the_volume(&mut o, Known::Absent);
    let mut peer = report(State::SecondaryWait, 0);
    peer.original_voter = Some(true);
    o.peer_report = Asked::Answer(peer);
    blocked(&o, "call their own node the voter");
}

#[test]
fn an_empty_volume_is_not_begun_anew_by_a_node_that_has_seen_a_full_one() {
    let mut o = first_day(true);
    o.journal.highest_epoch = 4;
    given_the_volume(&mut o, Known::Absent);
    blocked(&o, "not the volume that held");
}

#[test]
fn nothing_is_recovered_from_an_empty_directory() {
    let mut o = holding(Epoch::first("hatwo"));
    o.peer_node = Asked::Answer(PeerNode::Down);
    each(&mut o, |d| d.volume = Contents::Missing);
    blocked(&o, "no database in it");
}

#[test]
fn a_spare_does_not_follow_a_voter_of_an_older_epoch() {
    let mut o = booted();
    o.peer_report = Asked::Answer(report(State::PrimaryRunning, 1));
    blocked(&o, "already seen 2");
}

#[test]
fn something_else_on_the_mount_point_is_not_the_volume() {
    let mut o = holding(Epoch::first("haone"));
    o.mount = Mount::Foreign("tmpfs".into());
    blocked(&o, "tmpfs");
}

#[test]
fn a_copied_disk_does_not_pass_for_its_original() {
    let mut o = booted();
    o.journal.node = "hatwo".into();
    blocked(&o, "was written by hatwo");
}

#[test]
fn files_under_the_mount_point_are_told_and_left() {
    let mut o = booted();
    o.mount_point = MountPoint::HoldsFiles;
    let decision = decide(&o);
    assert!(
        decision.warnings.join(" ").contains("/mnt/drbd0"),
        "{decision:?}"
    );
}
