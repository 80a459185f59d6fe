//! A voter that runs and does not answer.

use super::observations::every_observation;
use crate::observation::*;
use crate::record::Epoch;
use crate::world::*;
use crate::{Decision, State, Step, plan};

fn voter() -> Observation {
    let mut o = booted();
    given_the_volume(
        &mut o,
        Known::Present(Epoch::first("hatwo").taken_over_by("haone")),
    );
    for database in crate::Database::ALL {
        if let Known::Present(epoch) = &mut o.epoch {
            epoch.databases.insert(database, crate::record::Phase::Done);
        }
    }
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    (o.services, o.token, o.confirmed) = (Services::Running, true, true);
    o
}

fn missed(misses: u32) -> Health {
    Health {
        misses,
        last: Some("nothing within 5.0 s".into()),
    }
}

fn fails(decision: &Decision) -> bool {
    decision.state == State::Blocked && decision.only_here
}

#[test]
fn a_voter_whose_datastore_does_not_answer_fails_after_three_misses_in_a_row_and_not_before() {
    let mut o = voter();
    let well = decide(&o);
    assert_eq!(well.state, State::PrimaryRunning);
    assert_eq!(well.warnings, [""; 0]);
    for misses in [1, 2] {
        o.health = missed(misses);
        let decision = decide(&o);
        assert_eq!(decision.state, State::PrimaryRunning);
        assert_eq!(decision.steps, well.steps);
        let [warning] = &decision.warnings[..] else {
            panic!("{decision:#?}");
        };
        assert!(warning.contains(&format!("{misses} of 3")), "{warning}");
        assert!(warning.contains("nothing within 5.0 s"), "{warning}");
    }
    for misses in [3, 4] {
        o.health = missed(misses);
        let decision = decide(&o);
        assert!(fails(&decision), "{decision:#?}");
        // What the holder is told, and with it the journal.
        assert!(decision.reasons[0].contains(&format!("last {misses} reads")));
        assert!(decision.reasons[0].contains("nothing within 5.0 s"));
        // Once is enough.
        assert_eq!(decision.warnings, [""; 0]);
        assert!(decision.steps.is_empty());
    }
}

#[test]
fn misses_do_not_count_while_writes_are_suspended() {
    let mut o = voter();
    for (misses, suspended, silent) in [
        (7, Some(Suspended::Fencing), true),
        (7, Some(Suspended::Other("quorum is lost".into())), true),
        (7, None, true),
        (2, None, true),
    ] {
        o.health = missed(misses);
        (o.drbd.suspended, o.volume_silent) = (suspended, silent);
        let decision = decide(&o);
        assert!(!fails(&decision), "{decision:#?}");
        let told = |warning: &String| warning.contains("datastore did not answer");
        assert!(!decision.warnings.iter().any(told), "{decision:#?}");
    }
}

#[test]
fn an_agent_that_was_restarted_on_a_running_voter_confirms_it_whatever_is_known_of_its_peer() {
    let mut o = voter();
    o.confirmed = false;
    for report in [
        Asked::NotYet,
        Asked::Silent("no route to host".into()),
        Asked::Answer(report(State::SecondaryRunning, 2)),
    ] {
        for node in [PeerNode::Online, PeerNode::Down, PeerNode::Lost] {
            (o.peer_report, o.peer_node) = (report.clone(), Asked::Answer(node));
            assert_eq!(
                decide(&o).steps,
                [Step::ConfirmVoter],
                "{report:?} {node:?}"
            );
        }
    }
    // What does not run is started, and that depends on the peer.
    o.services = Services::Partly;
    o.peer_report = Asked::NotYet;
    assert_eq!(decide(&o).steps, [Step::AskPeer]);
}

#[test]
fn misses_change_no_decision_but_that_of_a_confirmed_voter() {
    let config = config();
    let mut failed = 0;
    every_observation(|o| {
        let before = plan(o, &config);
        let mut o = o.clone();
        o.health = missed(3);
        let after = plan(&o, &config);
        let voter = before.state == State::PrimaryRunning;
        if after != before {
            assert!(voter && fails(&after), "{o:#?}\n{after:#?}");
            failed += 1;
        } else {
            assert!(!voter, "{o:#?}");
        }
    });
    // A check that never saw one would prove nothing about it.
    assert!(failed > 0);
}

#[test]
fn nobody_settles_as_a_voter_without_a_replica_and_keeps_quiet_about_it() {
    let config = config();
    let mut settled = 0;
    every_observation(|o| {
        for (equal, connected, up_to_date, alone) in [
            (true, true, true, false),
            (false, true, true, false),
            (false, true, false, false),
            (false, false, true, false),
            (false, false, true, true),
        ] {
            let mut o = o.clone();
            (o.drbd.equal, o.drbd.connected) = (equal, connected);
            (o.drbd.up_to_date, o.drbd.alone) = (up_to_date, alone);
            let decision = plan(&o, &config);
            let told = decision.warnings.iter().any(|w| w.contains("disk alone"));
            if decision.settled && decision.state == State::PrimaryRunning {
                assert_eq!(told, !equal, "{o:#?}\n{decision:#?}");
                settled += 1;
            }
        }
    });
    assert!(settled > 0);
}

#[test]
fn a_voter_without_a_replica_says_on_whose_disk_the_writes_are_and_what_to_type() {
    let mut o = voter();
    for (connected, up_to_date, alone, words) in [
        (
            true,
            true,
            false,
            "hatwo's copy of the volume is not current yet",
        ),
        (true, false, false, "on hatwo's disk alone"),
        (false, true, false, "does not reach hatwo"),
        (false, true, true, "`drbdadm connect`"),
    ] {
        (o.drbd.equal, o.drbd.connected) = (false, connected);
        (o.drbd.up_to_date, o.drbd.alone) = (up_to_date, alone);
        let decision = decide(&o);
        let [warning] = &decision.warnings[..] else {
            panic!("{decision:#?}");
        };
        assert!(warning.contains(words), "{warning}");
    }
}

#[test]
fn misses_of_a_voter_that_does_not_run_any_more_are_no_warning() {
    let mut o = voter();
    (o.services, o.token, o.confirmed) = (Services::Stopped, false, false);
    o.health = missed(1);
    assert_eq!(decide(&o).warnings, [""; 0]);
}
