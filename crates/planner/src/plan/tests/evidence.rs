//! What raft's own files say, against the number of an epoch.

use std::collections::BTreeMap;

use two_node_ha_dqlite::Position;

use crate::Database;
use crate::observation::*;
use crate::record::{Epoch, Phase};
use crate::report::{Report, SpareLog};
use crate::world::*;
use crate::{State, Step};

fn end(index: u64, here: bool, elsewhere: bool) -> End {
    End {
        last: Position { term: 1, index },
        voters: Voters { here, elsewhere },
    }
}

/// haone runs the voter of epoch 1, confirmed, with logs of 50 entries on the volume.
fn voter() -> Observation {
    let mut o = booted();
    o.journal.highest_epoch = 1;
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    (o.services, o.token, o.confirmed) = (Services::Running, true, true);
    each(&mut o, |d| {
        d.leads = LinkTarget::ToVolume;
        d.volume_log = Log::Ends(end(50, true, false));
    });
    o
}

/// The volume's log of the datastore.
fn datastore(o: &mut Observation) -> &mut Directories {
    o.databases.get_mut(&Database::K8sDqlite).unwrap()
}

/// hatwo as the spare of an epoch, with this log of the datastore.
fn spare(epoch: u64, end: End) -> Report {
    Report {
        logs: BTreeMap::from([(Database::K8sDqlite, SpareLog { epoch, end })]),
        ..report(State::SecondaryRunning, epoch)
    }
}

#[test]
fn a_voter_that_raft_names_alone_has_arrived() {
    assert_eq!(decide(&voter()).state, State::PrimaryRunning);
    let mut o = voter();
    // What a spare has of its bundle is behind, and names the voter.
    o.peer_report = Asked::Answer(spare(1, end(40, false, true)));
    assert!(decide(&o).settled);
}

#[test]
fn when_raft_says_that_the_voter_is_elsewhere_its_log_is_fetched_and_becomes_the_base() {
    for elsewhere_only in [false, true] {
        let mut o = voter();
        datastore(&mut o).volume_log = Log::Ends(end(51, !elsewhere_only, true));
        let peer = spare(1, end(90, true, false));
        let mut taken = Vec::new();
        let end = loop {
            let decision = decide(&o);
            let Some(step) = decision.steps.first().cloned() else {
                break decision;
            };
            take(&mut o, &step, &peer);
            if step == Step::FetchLogs {
                datastore(&mut o).fetched = Some(Standing::Ahead {
                    first: 52,
                    last: 90,
                });
            }
            taken.push(step);
            assert!(taken.len() < 30, "{taken:?}");
        };
        let at = |step: &Step| taken.iter().position(|s| s == step);
        let order: Vec<_> = [
            Step::StopPeer,
            Step::FetchLogs,
            Step::StopServices,
            Step::RenewEpoch(2),
            Step::Recover(Database::K8sDqlite),
            Step::StartServices,
            Step::ConfirmVoter,
        ]
        .iter()
        .map(|step| at(step).unwrap_or_else(|| panic!("no {step:?} in {taken:?}")))
        .collect();
        assert!(order.is_sorted(), "{taken:?}");
        assert_eq!(end.state, State::PrimaryRunning);
    }
}

#[test]
fn a_peer_that_reports_more_than_the_volume_has_is_asked_for_it() {
    for log in [end(51, false, true), end(50, true, false)] {
        let mut o = voter();
        o.peer_report = Asked::Answer(spare(1, log.clone()));
        assert_eq!(decide(&o).steps[0], Step::StopPeer, "{log:?}");
        // A log of an epoch that is over has been taken into account when the next one began.
        o.peer_report = Asked::Answer(spare(0, log));
        assert!(decide(&o).settled);
    }
}

#[test]
fn a_voter_does_not_start_while_a_dead_peer_may_hold_what_was_written_last() {
    let mut o = voter();
    (o.services, o.token, o.confirmed) = (Services::Stopped, false, false);
    datastore(&mut o).volume_log = Log::Ends(end(51, true, true));
    o.peer_report = Asked::Silent("no route to host".into());
    o.peer_node = Asked::Answer(PeerNode::Down);
    let decision = decide(&o);
    assert_eq!(decision.state, State::Blocked);
    assert!(decision.reasons.join(" ").contains("handed over"));
    assert!(decision.remedy.unwrap().contains("start hatwo"));
    // What was fetched before it died is all that it had.
    each(&mut o, |d| d.fetched = Some(Standing::Within));
    assert!(!matches!(decide(&o).state, State::Blocked));
}

#[test]
fn a_peer_that_has_stopped_and_gives_no_log_is_asked_in_the_next_round_and_not_at_once() {
    let mut o = voter();
    datastore(&mut o).volume_log = Log::Ends(end(51, true, true));
    o.peer_stopped = true;
    let mut starting = o.clone();
    (starting.services, starting.token, starting.confirmed) = (Services::Stopped, false, false);
    starting.peer_node = Asked::Answer(PeerNode::Online);
    for mut o in [o, starting] {
        o.peer_report = Asked::Silent("connection refused".into());
        let decision = decide(&o);
        assert!(decision.steps.is_empty(), "{:?}", decision.steps);
        assert!(!decision.settled && decision.state != State::Blocked);
        // The next round.
        o.peer_report = Asked::NotYet;
        assert_eq!(decide(&o).steps, [Step::AskPeer]);
    }
}

#[test]
fn a_takeover_after_two_that_had_only_begun_suspects_no_handover() {
    // haone's epoch 1; hatwo began epoch 2 and haone epoch 3, and neither came to a recovery. Now haone
    // is dead, and raft still names it.
    let mut o = booted();
    o.journal.highest_epoch = 3;
    let begun = Epoch::first("hatwo").taken_over_by("haone");
    given_the_volume(&mut o, Known::Present(begun.taken_over_by("hatwo")));
    o.peer_node = Asked::Answer(PeerNode::Down);
    each(&mut o, |d| d.volume_log = Log::Ends(end(50, false, true)));
    let decision = decide(&o);
    assert!(decision.steps.contains(&Step::BeginEpoch), "{decision:?}");
}

/// hatwo was the voter of epoch 1 and is dead; haone has the volume and its own spare directory.
fn survivor(own: Standing) -> Observation {
    let mut o = booted();
    o.journal.highest_epoch = 1;
    given_the_volume(&mut o, Known::Present(Epoch::first("hatwo")));
    o.peer_node = Asked::Answer(PeerNode::Down);
    each(&mut o, |d| d.volume_log = Log::Ends(end(50, false, true)));
    datastore(&mut o).volume_log = Log::Ends(end(51, true, true));
    datastore(&mut o).own = own;
    o
}

#[test]
fn a_log_of_this_node_that_goes_on_from_the_volumes_is_no_hindrance_and_is_told() {
    let decision = decide(&survivor(Standing::Ahead {
        first: 52,
        last: 90,
    }));
    assert!(decision.steps.contains(&Step::Recover(Database::K8sDqlite)));
    let why = decision.reasons.join(" ");
    assert!(why.contains("39 entries, index 52 to 90"), "{why}");
}

#[test]
fn logs_that_have_parted_or_cannot_be_read_are_blocked_with_their_numbers() {
    let position = |index| Position { term: 1, index };
    let parted = Standing::Parted {
        volume: position(51),
        other: position(90),
        at: Some(47),
    };
    let decision = decide(&survivor(parted));
    assert_eq!(decision.state, State::Blocked);
    let why = decision.reasons.join(" ");
    for number in ["51", "90", "47"] {
        assert!(why.contains(number), "{why}");
    }
    let unknown = decide(&survivor(Standing::Unknown("damaged".into())));
    assert_eq!(unknown.state, State::Blocked);
}

#[test]
fn a_damaged_database_on_the_volume_is_neither_taken_over_nor_started_and_it_is_said_what_to_type()
{
    let mut own = survivor(Standing::Within);
    own.epoch = Known::Present(Epoch::first("hatwo").taken_over_by(&own.node));
    own.journal.highest_epoch = 2;
    let mut complete = own.clone();
    let Known::Present(epoch) = &mut complete.epoch else {
        panic!()
    };
    for database in Database::ALL {
        epoch.done(database);
    }
    for sound in [survivor(Standing::Within), own, complete] {
        assert!(!decide(&sound).steps.is_empty(), "{sound:?}");
        for (database, dir) in [
            (Database::K8sd, "/mnt/drbd0/k8sd/database`"),
            (Database::K8sDqlite, "/mnt/drbd0/k8s-dqlite`"),
        ] {
            let mut o = sound.clone();
            let log = &mut o.databases.get_mut(&database).unwrap().volume_log;
            *log = Log::Unreadable("at least 3 entries, index 48 to 50 lost: open-3".into());
            let decision = decide(&o);
            assert_eq!(decision.state, State::Blocked, "{decision:?}");
            assert!(decision.steps.is_empty() && !decision.settled);
            let why = decision.reasons.join(" ");
            assert!(
                why.contains(database.name()) && why.contains("index 48 to 50"),
                "{why}"
            );
            let remedy = decision.remedy.unwrap();
            for typed in [
                "raft verify",
                "raft repair --dry-run",
                dir,
                "--source",
                "--allow-loss",
            ] {
                assert!(remedy.contains(typed), "{typed}: {remedy}");
            }
        }
    }
}

#[test]
fn a_volume_whose_log_ends_before_a_place_that_it_had_reached_is_not_started() {
    let mut o = survivor(Standing::Within);
    let Known::Present(epoch) = &mut o.epoch else {
        panic!()
    };
    let confirmed = |index| BTreeMap::from([(Database::K8sd, Position { term: 1, index })]);
    epoch.confirmed = confirmed(50);
    assert!(decide(&o).steps.contains(&Step::BeginEpoch));
    let Known::Present(epoch) = &mut o.epoch else {
        panic!()
    };
    epoch.confirmed = confirmed(51);
    let decision = decide(&o);
    assert_eq!(decision.state, State::Blocked);
    assert!(decision.reasons.join(" ").contains("ends at index 50"));
}

#[test]
fn a_spare_that_raft_made_a_voter_says_so_and_is_not_started_again() {
    let mut o = booted();
    o.peer_report = Asked::Answer(report(State::PrimaryRunning, 2));
    assert_eq!(decide(&o).steps, [Step::StartServices]);
    datastore(&mut o).spare_log = Log::Ends(end(90, true, false));
    let decision = decide(&o);
    assert!(decision.steps.is_empty() && !decision.settled);
    assert!(decision.warnings.join(" ").contains("not replicated"));
    (o.services, o.token) = (Services::Running, true);
    let decision = decide(&o);
    assert!(!decision.settled && !decision.warnings.is_empty());
}

#[test]
fn a_peers_log_is_fetched_once_it_has_stopped_and_judged_only_as_it_was_fetched_after_that() {
    let mut o = voter();
    o.peer_report = Asked::Answer(spare(1, end(51, false, true)));
    assert_eq!(decide(&o).steps, [Step::StopPeer, Step::FetchLogs]);
    // What it reported before it stopped says that it runs.
    o.peer_stopped = true;
    assert_eq!(decide(&o).steps, [Step::FetchLogs]);
    // One of an earlier round lies there.
    datastore(&mut o).fetched = Some(Standing::Within);
    assert_eq!(decide(&o).steps, [Step::FetchLogs]);
    o.peer_logs_fetched = true;
    assert!(!decide(&o).steps.contains(&Step::FetchLogs));
}

#[test]
fn a_peer_with_just_what_the_volume_has_is_not_asked_for_it() {
    let mut o = voter();
    o.peer_report = Asked::Answer(spare(1, end(50, false, true)));
    assert!(decide(&o).settled);
}

#[test]
fn a_log_of_the_epoch_before_counts_until_the_database_was_recovered_in_this_one() {
    let mut o = survivor(Standing::Within);
    o.journal.highest_epoch = 2;
    let mut epoch = Epoch::first("hatwo").taken_over_by("haone");
    datastore(&mut o).volume_log = Log::Ends(end(50, false, true));
    o.peer_report = Asked::Answer(spare(1, end(60, false, true)));
    o.peer_stopped = true;
    o.epoch = Known::Present(epoch.clone());
    assert_eq!(decide(&o).steps, [Step::FetchLogs]);
    epoch.databases.insert(Database::K8sDqlite, Phase::Done);
    // Recovered: raft names this node.
    datastore(&mut o).volume_log = Log::Ends(end(51, true, false));
    o.epoch = Known::Present(epoch);
    assert!(!decide(&o).steps.contains(&Step::FetchLogs));
}

#[test]
fn a_record_of_an_older_version_that_is_pending_leaves_the_voter_where_it_was_before() {
    let mut epoch = Epoch::first("hatwo").taken_over_by("haone");
    epoch.from = None;
    let mut o = survivor(Standing::Within);
    o.journal.highest_epoch = 2;
    o.epoch = Known::Present(epoch);
    datastore(&mut o).volume_log = Log::Ends(end(50, false, true));
    let decision = decide(&o);
    assert!(
        decision.steps.contains(&Step::Recover(Database::K8sDqlite)),
        "{decision:?}"
    );
}

#[test]
fn a_voter_whose_own_directory_goes_on_from_the_volume_has_not_arrived() {
    let mut o = voter();
    datastore(&mut o).own = Standing::Ahead {
        first: 51,
        last: 60,
    };
    let decision = decide(&o);
    assert_ne!(decision.state, State::PrimaryRunning);
    assert!(!decision.settled, "{decision:?}");
}

#[test]
fn a_spare_whose_log_names_the_other_node_is_started() {
    let mut o = booted();
    o.peer_report = Asked::Answer(report(State::PrimaryRunning, 2));
    datastore(&mut o).spare_log = Log::Ends(end(90, false, true));
    assert_eq!(decide(&o).steps, [Step::StartServices]);
}

#[test]
fn a_voter_whose_role_was_handed_over_is_none_to_the_peer_although_its_writes_stand_still() {
    for (elsewhere, state) in [(false, State::PrimaryRunning), (true, State::Recovering)] {
        let mut o = voter();
        datastore(&mut o).volume_log = Log::Ends(end(51, true, elsewhere));
        o.drbd.suspended = Some(Suspended::Fencing);
        (o.drbd.connected, o.drbd.equal) = (false, false);
        o.fence_peer = FencePeer::AtWork;
        assert_eq!(decide(&o).state, state);
    }
}
