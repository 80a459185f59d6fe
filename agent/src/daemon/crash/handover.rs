//! k8s-dqlite was asked to stop: the role went to the spare's own disk, and with it the writes.

use std::cell::Cell;
use std::rc::Rc;

use two_node_ha_config::Recovery;
use two_node_ha_disk::effects::Change;
use two_node_ha_disk::power;
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;
use two_node_ha_planner::State;
use two_node_ha_protocol::control::Status;

use super::bench::{Bench, Cleared, members};
use super::refuse::{self, Fault, Place};
use super::{
    ALL, BOTH_ON_FIRST, BOTH_ON_SECOND, Goal, SECOND_ALONE, Then, after, after_by, cut_everywhere,
    invariants, raft,
};

const FIRST_ALONE: Goal = Goal {
    up: [true, false],
    holder: 0,
};

/// haone was the voter; hatwo has accepted writes since.
pub fn handed_over() -> Cleared {
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

fn some_turns(bench: &Rc<Bench>) {
    // Each look of its own accord forgets what was learnt; the answers come after it.
    for round in 0..9 {
        bench.turn_all(round % 3 == 1).unwrap();
    }
}

/// Pacemaker asks once more; how the node stands to it before Pacemaker hears that it cannot.
fn asked_again(bench: &Rc<Bench>, index: usize) -> Status {
    if bench.nodes[index].held.borrow().is_none() {
        bench.hold(index, false);
    }
    bench.turn_all(false).unwrap();
    status(bench, index)
}

/// Why a node that Pacemaker asks is Blocked, which it must be.
fn why_blocked(bench: &std::rc::Rc<Bench>, index: usize) -> String {
    some_turns(bench);
    let blocked = asked_again(bench, index);
    assert_eq!(blocked.state, State::Blocked, "{blocked:#?}");
    blocked.reasons.join(" ")
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
    let alone = asked_again(&bench, 0);
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
    bench.power_off(0);
    goes_on_regardless(&bench, 20);
    bench.mount(1);
    bench.hold(1, false);
    let why = why_blocked(&bench, 1);
    assert!(why.contains("parted") && why.contains("index"), "{why}");
}

/// The volume's log goes on without what the other node has, as an agent would do it that goes by the
/// number of the epoch.
fn goes_on_regardless(bench: &Bench, writes: u64) {
    let database = Database::K8sDqlite;
    let raft = raft_directory(database, &bench.volume().join(database.name()));
    let members = members(database);
    raft::recover(&raft, &members, members[0].id)
        .unwrap()
        .unwrap();
    raft::start(&raft);
    for number in 900..900 + writes {
        raft::append(&raft, number);
    }
}

#[test]
fn a_peers_log_that_has_parted_is_not_passed_over_because_it_is_the_shorter_one() {
    let bench = handed_over();
    bench.power_off(0);
    goes_on_regardless(&bench, 20);
    some_turns(&bench);
    bench.boot(0);
    bench.mount(0);
    bench.hold(0, false);
    let why = why_blocked(&bench, 0);
    assert!(why.contains("parted") && why.contains("hatwo"), "{why}");
}

/// One byte in the middle of each segment of a node's own log is another one.
fn damage_own_log(bench: &Bench, index: usize) {
    let raft = raft_directory(
        Database::K8sDqlite,
        &bench.nodes[index].paths.spare(Database::K8sDqlite),
    );
    let mut damaged = 0;
    for entry in std::fs::read_dir(&raft).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut content = std::fs::read(&path).unwrap();
        if name.starts_with(|c: char| c.is_ascii_digit()) && content.len() > 40 {
            let last = content.len() - 1;
            content[last] ^= 0xff;
            std::fs::write(&path, content).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "nothing to damage in {}", raft.display());
}

#[test]
fn a_node_that_raft_made_a_voter_does_not_take_over_past_its_own_log_that_cannot_be_read() {
    let bench = handed_over();
    for node in [0, 1] {
        bench.power_off(node);
    }
    bench.boot(1);
    damage_own_log(&bench, 1);
    bench.mount(1);
    bench.hold(1, false);
    let why = why_blocked(&bench, 1);
    assert!(why.contains("cannot be told"), "{why}");
}

#[test]
fn a_spare_whose_own_files_are_damaged_takes_over_from_the_volume() {
    let bench = after(&[BOTH_ON_FIRST]);
    bench.power_off(0);
    let raft = raft_directory(
        Database::K8sDqlite,
        &bench.nodes[1].paths.spare(Database::K8sDqlite),
    );
    // The tail of the bundle that it was made from.
    std::fs::write(raft.join("0000000000000900-0000000000000901"), [1; 64]).unwrap();
    bench.reach(SECOND_ALONE).unwrap();
    invariants::at_rest(&bench, 1);
}

#[test]
fn a_recovery_that_gives_way_to_a_release_is_undone_and_is_no_failure_of_the_node() {
    let bench = after_by(Recovery::K8sd, &[BOTH_ON_FIRST]);
    bench.released_in_recovery.set(true);
    bench.power_off(0);
    bench.mount(1);
    bench.hold(1, false);
    some_turns(&bench);
    let given_up = status(&bench, 1);
    assert_eq!(given_up.state, State::Recovering, "{given_up:#?}");
    assert!(
        bench.nodes[1].held.borrow().is_some(),
        "it was called unhealthy"
    );
    bench.released_in_recovery.set(false);
    bench.reach(SECOND_ALONE).unwrap();
    invariants::at_rest(&bench, 1);
}

#[test]
fn a_log_that_the_volume_has_taken_is_known_for_that_when_nothing_is_left_to_compare_it_with() {
    let bench = handed_over();
    // Its disk is full, so that it does not rejoin and keeps what it wrote.
    refuse::begin(&bench, 1, Fault::Full, &[Place::Root, Place::Var], 1);
    assert!(!bench.come_to(BOTH_ON_FIRST, 6).unwrap());
    assert_eq!(status(&bench, 0).state, State::PrimaryRunning);
    let database = Database::K8sDqlite;
    let volume = bench.nodes[0].state(database);
    for _ in 0..6 {
        bench.write();
        raft::start(&raft_directory(database, &volume));
    }
    refuse::end(&bench);
    bench.reach(SECOND_ALONE).unwrap();
    invariants::at_rest(&bench, 1);
}

#[test]
fn half_of_a_recovery_that_could_not_be_undone_is_not_kept_as_this_nodes_identity() {
    let bench = after_by(Recovery::K8sd, &[BOTH_ON_FIRST]);
    bench.released_in_recovery.set(true);
    bench.power_off(0);
    bench.mount(1);
    // The volume is full from the recovery on, so that it cannot be put back either.
    let node = &bench.nodes[1];
    let (volume, full) = (node.paths.mount_point(&node.config), Cell::new(false));
    power::before_each(Some(Rc::new(move |_, change: &Change<'_>| {
        if matches!(change, Change::Other("k8sd cluster-recover", _)) {
            full.set(true);
        }
        let there = power::paths(change)
            .iter()
            .any(|path| path.starts_with(&volume));
        let refused = full.get() && there && Fault::Full.refuses(change);
        if refused {
            Err(Fault::Full.error())
        } else {
            Ok(())
        }
    })));
    bench.hold(1, false);
    some_turns(&bench);
    bench.release(1).unwrap();
    bench.unmount(1);
    power::before_each(None);
    let spare = raft_directory(Database::K8sd, &node.paths.spare(Database::K8sd));
    let members = two_node_ha_dqlite::read_cluster(&spare).unwrap();
    assert_eq!(members.map(|members| members.len()), Some(2));
    bench.released_in_recovery.set(false);
    bench.reach(SECOND_ALONE).unwrap();
    invariants::at_rest(&bench, 1);
}
