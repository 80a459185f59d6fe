//! A disk of the node's own that is full, or read-only, from any change of a release on: the services
//! end up stopped, the holder hears that the volume is free, and nothing is lost.

use std::collections::BTreeSet;

use two_node_ha_planner::Database;
use two_node_ha_planner::Step;
use two_node_ha_planner::machine::{Kind, Task};

use super::handover::handed_over;
use super::refuse::{self, Fault, Place};
use super::{
    BOTH_ON_FIRST, BOTH_ON_SECOND, Tell, after, disk, invariants, log, plug_in, snap, some,
};
use crate::act::Outcome;
use crate::files::effects::power::{self, Loss};

/// `/` with `/var`, and `/run` as well.
const PLACES: [&[Place]; 2] = [
    &[Place::Root, Place::Var],
    &[Place::Root, Place::Var, Place::Run],
];

#[test]
fn a_full_or_read_only_disk_does_not_keep_a_voter_running() {
    log();
    let bench = after(&[BOTH_ON_FIRST]);
    let before = disk::save(&bench);
    let mut tried = 0;
    for fault in [Fault::Full, Fault::ReadOnly] {
        for places in PLACES {
            for nth in (1..).step_by(some(11)) {
                disk::restore(&bench, &before);
                plug_in(&bench, Loss::Nothing, before.flags.clone());
                // The agents and their services are as they were.
                bench.reach(BOTH_ON_FIRST).unwrap();
                let tell = Tell(format!(
                    "{fault:?} {places:?} from change {nth} of the release on"
                ));
                let refusing = refuse::begin(&bench, 0, fault, places, nth);
                bench.release(0).unwrap();
                let last = !refusing.has_begun();
                for database in Database::ALL {
                    let running = || {
                        bench.nodes[0]
                            .running
                            .borrow()
                            .contains_key(database.name())
                    };
                    assert!(!running(), "{database} runs");
                    // Whoever asks, k8sd or a person: also where the token could not be taken away.
                    snap::start(&bench, 0, database.name()).unwrap().unwrap();
                    assert!(!running(), "{database} could be started again");
                }
                bench.unmount(0);
                // The other takes over while the disk is as it is.
                bench.mount(1);
                for _ in 0..5 {
                    if bench.nodes[1].held.borrow().is_none() {
                        bench.hold(1, false);
                    }
                    bench.turn_all(true).unwrap();
                }
                refuse::end(&bench);
                bench.reach(BOTH_ON_SECOND).unwrap();
                invariants::at_rest(&bench, 1);
                drop(tell);
                tried += 1;
                if last {
                    break;
                }
            }
        }
    }
    assert!(tried > 8, "{tried}");
    eprintln!("a release on a disk that is full or read-only from any change on: {tried} tried");
}

#[test]
fn a_full_disk_makes_no_working_voter_unhealthy_and_begins_no_epoch() {
    let bench = after(&[BOTH_ON_FIRST]);
    plug_in(&bench, Loss::Nothing, BTreeSet::new());
    refuse::begin(&bench, 0, Fault::Full, PLACES[1], 1);
    let mut worker = bench.nodes[0].worker.borrow_mut();
    let actor = &mut worker.as_mut().unwrap().actor;
    power::of_node(0, || {
        let confirmed = actor.take(&Step::ConfirmVoter, &mut |_| {});
        assert_eq!(confirmed.unwrap(), Outcome::VoterConfirmed);
        assert!(actor.take(&Step::RememberEpoch(7), &mut |_| {}).is_err());
    });
    refuse::end(&bench);
}

#[test]
fn a_full_disk_of_this_node_is_not_taken_for_a_silent_peer_which_would_be_fenced() {
    let bench = handed_over();
    plug_in(&bench, Loss::Nothing, BTreeSet::new());
    refuse::begin(&bench, 0, Fault::Full, PLACES[0], 1);
    let mut worker = bench.nodes[0].worker.borrow_mut();
    let worker = worker.as_mut().unwrap();
    let fetch = Task::Take(Step::FetchLogs);
    let fetched = power::of_node(0, || worker.task(&fetch, &mut |_| {}));
    let failure = fetched.unwrap_err();
    // What is made of the one and of the other kind is the machine's test.
    assert_ne!(failure.kind, Kind::Peer, "{failure:?}");
    assert!(failure.why.contains("is full"), "{failure:?}");
    refuse::end(&bench);
}

#[test]
fn a_hold_that_follows_at_once_on_one_that_failed_is_not_refused_for_the_same_failure() {
    let bench = after(&[BOTH_ON_FIRST]);
    plug_in(&bench, Loss::Nothing, BTreeSet::new());
    bench.release(0).unwrap();
    refuse::begin(&bench, 0, Fault::Full, PLACES[0], 1);
    bench.hold(0, false);
    bench.turn_all(false).unwrap();
    assert!(
        bench.nodes[0].held.borrow().is_none(),
        "the holder was told of the full disk"
    );
    refuse::end(&bench);
    // The agent has not looked in between.
    bench.hold(0, false);
    bench.turn_all(false).unwrap();
    assert!(bench.arrived(), "{:#?}", bench.statuses());
    invariants::at_rest(&bench, 0);
}
