//! A voter that hangs, on the bench: from the reads that have no answer to the voter that is started
//! again.

use two_node_ha_disk::power;
use two_node_ha_planner::Database;
use two_node_ha_planner::State;
use two_node_ha_planner::machine::Event as Happened;

use super::bench::{Bench, NAMES};
use super::{BOTH_ON_FIRST, after, invariants};

/// The agent's next turn, after so many reads in a row without an answer.
fn missed(bench: &Bench, index: usize, times: u32) -> State {
    let node = &bench.nodes[index];
    power::of_node(index, || {
        bench.with_daemon(index, |daemon| {
            for _ in 0..times {
                let miss = Happened::DatastoreAnswered {
                    round: daemon.health.round().unwrap(),
                    answer: Err("nothing within 5.0 s".into()),
                    elsewhere: false,
                };
                daemon.handle(miss.into());
            }
        });
        bench.look_now(index);
    });
    bench.hear(index);
    let shared = node.shared.borrow();
    shared.as_ref().unwrap().status().unwrap().state
}

#[test]
fn a_voter_that_hangs_fails_the_holder_after_three_misses_and_is_killed_and_started_again() {
    let bench = after(&[BOTH_ON_FIRST]);
    for misses in [1, 2] {
        assert_eq!(missed(&bench, 0, 1), State::PrimaryRunning, "{misses}");
        assert!(bench.nodes[0].held.borrow().is_some());
    }
    assert_eq!(missed(&bench, 0, 1), State::Blocked);
    assert!(
        bench.nodes[0].held.borrow().is_none(),
        "the failover unit was told"
    );
    // Pacemaker stops what has failed, and starts it again; the bench fails a k8s-dqlite that is asked
    // to stop, and one that comes back without a write.
    bench.write();
    bench.release(0).unwrap();
    assert!(bench.nodes[0].running.borrow().is_empty());
    bench.reach(BOTH_ON_FIRST).unwrap();
    invariants::at_rest(&bench, 0);
    assert!(bench.acknowledged(Database::K8sDqlite) > 0, "{}", NAMES[0]);
}

#[test]
fn an_agent_that_is_restarted_beside_a_running_voter_confirms_it_without_its_peer() {
    let bench = after(&[BOTH_ON_FIRST]);
    bench.power_off(1);
    let before = bench.nodes[0].running.borrow().clone();
    bench.start_agent(0);
    bench.hold(0, false);
    // One turn: the peer is asked for its ports' sake alone, and nothing waits for that.
    let status = || {
        let shared = bench.nodes[0].shared.borrow();
        shared.as_ref().unwrap().status().unwrap()
    };
    missed(&bench, 0, 0);
    assert_eq!(status().state, State::PrimaryRunning);
    assert!(!status().peer_state.contains("epoch"), "it is off");
    assert_eq!(
        *bench.nodes[0].running.borrow(),
        before,
        "nothing was started"
    );
}

#[test]
fn a_service_that_holds_no_database_and_fails_later_does_not_fail_the_voter() {
    let bench = after(&[BOTH_ON_FIRST]);
    let node = &bench.nodes[0];
    let writes_databases = &node.config.k8s.datastore_services;
    let others: Vec<String> = node.config.k8s.services.clone();
    let others: Vec<_> = others
        .into_iter()
        .filter(|service| !writes_databases.contains(service))
        .collect();
    assert!(others.len() > 3, "{others:?}");
    for service in &others {
        assert!(
            node.running.borrow_mut().remove(service).is_some(),
            "{service} did not run"
        );
        let databases = node.running.borrow().clone();
        bench.turn_all(true).unwrap();
        let status = node.shared.borrow().as_ref().unwrap().status().unwrap();
        assert_eq!(status.state, State::PrimaryRunning, "without {service}");
        assert!(status.settled, "without {service}: {status:?}");
        assert!(
            node.held.borrow().is_some(),
            "the failover unit failed for {service}"
        );
        assert_eq!(*node.running.borrow(), databases, "{service} is systemd's");
    }
    // The datastore is another matter: it is started again, or the voter fails.
    let database = Database::K8sDqlite.name();
    node.running.borrow_mut().remove(database);
    bench.turn_all(false).unwrap();
    assert!(node.running.borrow().contains_key(database));
}

#[test]
fn a_k8sd_that_fails_later_is_started_again_beside_a_voter_that_stays_one_and_it_is_said() {
    let bench = after(&[BOTH_ON_FIRST]);
    let (node, k8sd) = (&bench.nodes[0], Database::K8sd.name());
    let status = || node.shared.borrow().as_ref().unwrap().status().unwrap();
    let said = || {
        let about = |warning: &String| warning.contains("k8sd of the snap does not run");
        status().warnings.iter().any(about)
    };
    node.running.borrow_mut().remove(k8sd);
    // Its own systemd may be about to start it.
    bench.turn_all(false).unwrap();
    assert!(!node.running.borrow().contains_key(k8sd));
    assert!(!said());
    bench.turn_all(true).unwrap();
    assert!(node.running.borrow().contains_key(k8sd));
    assert!(said(), "until it has run for some seconds");
    bench.turn_all(true).unwrap();
    assert!(!said());
    assert_eq!(status().state, State::PrimaryRunning);
    assert!(node.held.borrow().is_some());
}
