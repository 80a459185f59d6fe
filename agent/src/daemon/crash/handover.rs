//! k8s-dqlite was asked to stop: the role went to the spare's own disk, and with it the writes.

use super::bench::{Bench, Cleared, members};
use super::{
    ALL, BOTH_ON_FIRST, BOTH_ON_SECOND, Goal, SECOND_ALONE, Then, after, cut_everywhere,
    invariants, raft,
};
use crate::daemon::control::Status;
use crate::database::Database;
use crate::plan::State;

const FIRST_ALONE: Goal = Goal {
    up: [true, false],
    holder: 0,
};

/// haone was the voter; hatwo has accepted writes since.
fn handed_over() -> Cleared {
    let bench = after(&[BOTH_ON_FIRST]);
    bench.hand_over(0);
    for _ in 0..5 {
        bench.write();
    }
    bench
}

fn status(bench: &Bench, index: usize) -> Status {
    let shared = bench.nodes[index].shared.borrow();
    shared.as_ref().unwrap().status().unwrap()
}

fn some_turns(bench: &std::rc::Rc<Bench>) {
    for round in 0..5 {
        bench.turn_all(round > 0).unwrap();
    }
}

#[test]
fn a_role_that_was_handed_over_comes_back_with_every_write_and_survives_a_cut_anywhere() {
    cut_everywhere(&handed_over(), BOTH_ON_FIRST, Then::Boot, &ALL);
}

#[test]
fn the_node_that_a_role_was_handed_to_takes_over_with_every_write_and_survives_a_cut_anywhere() {
    cut_everywhere(&handed_over(), SECOND_ALONE, Then::Boot, &ALL);
}

#[test]
fn a_role_that_was_handed_over_may_be_moved_there_as_planned() {
    let bench = handed_over();
    bench.reach(BOTH_ON_SECOND).unwrap();
    invariants::at_rest(&bench, 1);
}

#[test]
fn without_the_node_that_wrote_last_nobody_goes_on_and_with_it_everybody_does() {
    let bench = handed_over();
    bench.power_off(1);
    some_turns(&bench);
    let alone = status(&bench, 0);
    assert_eq!(alone.state, State::Blocked, "{alone:#?}");
    let why = alone.reasons.join(" ");
    assert!(
        why.contains("handed over") && why.contains("hatwo"),
        "{why}"
    );
    bench.reach(BOTH_ON_FIRST).unwrap();
    invariants::at_rest(&bench, 0);
    // What it had is on the volume since then.
    bench.reach(FIRST_ALONE).unwrap();
    invariants::at_rest(&bench, 0);
}

#[test]
fn a_spare_that_raft_made_a_voter_is_not_started_again_before_its_log_was_fetched() {
    let bench = handed_over();
    // Both lose power; the spare comes back first, and waits.
    bench.power_off(0);
    bench.power_off(1);
    bench.boot(1);
    some_turns(&bench);
    assert!(bench.nodes[1].running.borrow().is_empty());
    bench.reach(BOTH_ON_FIRST).unwrap();
    invariants::at_rest(&bench, 0);
}

#[test]
fn two_logs_that_have_parted_are_nobodys_to_choose_from() {
    let bench = handed_over();
    let database = Database::K8sDqlite;
    let node = &bench.nodes[0];
    let raft = database.raft_directory(&node.paths.on_volume(&node.config, database));
    let members = members(database);
    // As an agent would do it that goes by the number of the epoch.
    raft::recover(&raft, &members, members[0].id)
        .unwrap()
        .unwrap();
    raft::start(&raft);
    for number in 900..920 {
        raft::append(&raft, number);
    }
    bench.power_off(0);
    bench.mount(1);
    bench.hold(1, false);
    some_turns(&bench);
    let blocked = status(&bench, 1);
    assert_eq!(blocked.state, State::Blocked, "{blocked:#?}");
    let why = blocked.reasons.join(" ");
    assert!(why.contains("parted") && why.contains("index"), "{why}");
}
