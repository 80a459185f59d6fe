//! File systems that are full, or read-only, from any change of the way up on: `/`, `/var`, `/run`, the
//! volume, and all of them. Nothing acknowledged is lost, there are never two voters; a node that is
//! stuck says where and what to do, can be left without anything being written, and goes on by itself
//! once there is space again.

use std::cell::RefCell;
use std::rc::Rc;

use two_node_ha_disk::effects::Change;
use two_node_ha_disk::power::{self, Loss};
use two_node_ha_planner::Database;
use two_node_ha_planner::State;

use super::bench::Bench;
use super::handover::handed_over;
use super::refuse::{self, Fault, Place, Refusing};
use super::{
    BOTH_ON_FIRST, BOTH_ON_SECOND, Goal, SECOND_ALONE, Tell, after, disk, invariants, log, plug_in,
    snap, some,
};
use crate::store::Record;

const PLACES: [&[Place]; 7] = [
    &[Place::Root],
    &[Place::Var],
    &[Place::Root, Place::Var],
    &[Place::Run],
    &[Place::Root, Place::Var, Place::Run],
    &[Place::Volume],
    &[Place::Root, Place::Var, Place::Run, Place::Volume],
];

/// What follows once it is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// There is space again.
    Space,
    /// Pacemaker takes the role away, and gives it back when there is space again.
    Leave,
    /// Pacemaker takes the role away, and gives it to the other node at once.
    Other,
}

const ALL: [Then; 3] = [Then::Space, Then::Leave, Then::Other];

/// One of the ways in which a disk can be.
#[derive(Debug, Clone)]
struct Case {
    node: usize,
    fault: Fault,
    places: &'static [Place],
    /// The changes that it would refuse, by their number.
    refused: Vec<u64>,
}

fn cases(act: Goal) -> Vec<Case> {
    let mut cases = Vec::new();
    for places in PLACES {
        for fault in [Fault::Full, Fault::ReadOnly] {
            for node in [0, 1] {
                // A dead node's disk does not matter, and the volume is of both.
                if act.up[node] && (places != [Place::Volume] || node == act.holder) {
                    cases.push(Case {
                        node,
                        fault,
                        places,
                        refused: Vec::new(),
                    });
                }
            }
        }
    }
    cases
}

/// Plays the act as it should go, to see which changes each of the cases is about.
fn look_for_changes(bench: &Rc<Bench>, act: Goal) -> Vec<Case> {
    let found = Rc::new(RefCell::new((0, cases(act))));
    let (weak, noted) = (Rc::downgrade(bench), Rc::clone(&found));
    power::before_each(Some(Rc::new(move |index, change: &Change<'_>| {
        let bench = weak.upgrade().unwrap();
        let (seen, cases) = &mut *noted.borrow_mut();
        *seen += 1;
        for case in cases {
            let would = Refusing::new(case.node, case.fault, case.places, 1);
            if would.would_refuse(&bench, index, change) {
                case.refused.push(*seen);
            }
        }
        Ok(())
    })));
    bench.reach(act).unwrap();
    power::before_each(None);
    found.take().1
}

fn begin(bench: &Rc<Bench>, before: &disk::Saved) {
    disk::restore(bench, before);
    plug_in(bench, Loss::Nothing, before.flags.clone());
}

/// Plays an act with each of the cases from each of the changes on that it refuses.
fn refuse_everywhere(bench: &Rc<Bench>, act: Goal) {
    log();
    let before = disk::save(bench);
    begin(bench, &before);
    let (mut tried, mut stuck) = (0, 0);
    let cases = look_for_changes(bench, act);
    let all: usize = cases.iter().map(|case| case.refused.len()).sum();
    for (number, case) in cases.into_iter().enumerate() {
        let nth = some(40);
        // Not the same ones in each of them.
        let first = number % nth.min(case.refused.len().max(1));
        for (point, from) in case.refused.iter().skip(first).step_by(nth).enumerate() {
            // Neighbours differ little, so that each is tried with another.
            let then = ALL[(point + number) % ALL.len()];
            begin(bench, &before);
            let Case {
                node,
                fault,
                places,
                ..
            } = &case;
            let tell = Tell(format!(
                "{act:?}: {places:?} of node {node} {fault:?} from change {from} on, then {then:?}"
            ));
            stuck += usize::from(refuse(bench, act, &case, *from, then));
            tried += 1;
            drop(tell);
        }
    }
    assert!(tried > 15 && stuck > 5, "{tried} tried, {stuck} stuck");
    eprintln!(
        "{act:?} on disks that are full or read-only: {tried} of {all} tried, {stuck} of them stuck"
    );
}

/// Whether it was stuck.
fn refuse(bench: &Rc<Bench>, act: Goal, case: &Case, from: u64, then: Then) -> bool {
    let refusing = refuse::begin(bench, case.node, case.fault, case.places, from);
    let arrived = bench.come_to(act, 4).unwrap();
    assert!(refusing.has_begun(), "it never came to that change");
    one_voter_at_most(bench);
    if arrived {
        invariants::at_rest(bench, act.holder);
    } else {
        says_why(bench, &refusing);
    }
    let on = bench.volume_on.get().unwrap();
    let other = Bench::other(on);
    let mut holder = act.holder;
    if then != Then::Space {
        bench.release(on).unwrap();
        nothing_runs(bench, on, &refusing);
        bench.unmount(on);
        let begun = two_node_ha_planner::record::Epoch::read(&bench.volume().join("epoch.json"));
        // An empty volume belongs to the first day's voter alone.
        if then == Then::Other && act.up[other] && begun.unwrap().is_some() {
            holder = other;
            bench.mount(other);
            for _ in 0..5 {
                if bench.nodes[other].held.borrow().is_none() {
                    bench.hold(other, false);
                }
                bench.turn_all(true).unwrap();
            }
            one_voter_at_most(bench);
        }
    }
    refuse::end(bench);
    bench.reach(Goal { up: act.up, holder }).unwrap();
    invariants::at_rest(bench, holder);
    !arrived
}

fn one_voter_at_most(bench: &Bench) {
    for database in Database::ALL {
        let runs = |index: &usize| {
            let running = bench.nodes[*index].running.borrow();
            bench.alive(*index) && running.get(database.name()).is_some_and(|r| r.voter)
        };
        let voters = [0, 1].iter().filter(|index| runs(index)).count();
        assert!(voters <= 1, "I8: {voters} voters of {database}");
    }
}

/// After a release, whatever could not be written.
fn nothing_runs(bench: &Bench, index: usize, refusing: &Refusing) {
    let node = &bench.nodes[index];
    let stays = refusing.node == index
        && refusing.fault == Fault::ReadOnly
        && refusing.places.contains(&Place::Run);
    assert!(stays || !node.paths.token().exists(), "the token is there");
    for database in Database::ALL {
        let running = || node.running.borrow().contains_key(database.name());
        assert!(!running(), "{database} runs");
        // Whoever asks, k8sd or a person: also where the token could not be taken away.
        let _ = snap::start(bench, index, database.name());
        assert!(!running(), "{database} could be started again");
    }
}

/// A node that has not arrived says which file system it is, and what to do about it.
fn says_why(bench: &Bench, refusing: &Refusing) {
    let statuses = bench.statuses();
    let words = match refusing.fault {
        Fault::Full => ["is full", "df -h"],
        Fault::ReadOnly => ["is read-only", "journalctl -k"],
    };
    let says = |place: &Place| {
        let index = match place {
            Place::Volume => bench.volume_on.get().unwrap(),
            Place::Root | Place::Var | Place::Run => refusing.node,
        };
        let Some(status) = &statuses[index] else {
            // An agent that could not even start has said so in the log of its unit.
            return true;
        };
        let node = &bench.nodes[index];
        let path = match place {
            Place::Root => node.paths.root().join("mnt"),
            Place::Var => node.paths.root().join("var"),
            Place::Run => node.paths.root().join("run"),
            Place::Volume => node.paths.mount_point(&node.config),
        };
        let mut said = status.reasons.iter().chain(&status.warnings);
        said.any(|said| {
            said.contains(path.to_str().unwrap()) && words.iter().all(|words| said.contains(words))
        })
    };
    assert!(
        refusing.places.iter().any(says),
        "nobody says why it is stuck, and what to do: {statuses:#?}"
    );
    for status in statuses.iter().flatten() {
        assert!(status.state != State::Blocked || status.remedy.is_some());
    }
}

#[test]
fn a_full_or_read_only_disk_in_a_first_start_loses_nothing() {
    refuse_everywhere(&after(&[]), BOTH_ON_FIRST);
}

#[test]
fn a_full_or_read_only_disk_in_a_takeover_loses_nothing() {
    refuse_everywhere(&after(&[BOTH_ON_FIRST]), SECOND_ALONE);
}

#[test]
fn a_full_or_read_only_disk_in_a_return_as_the_spare_loses_nothing() {
    refuse_everywhere(&after(&[BOTH_ON_FIRST, SECOND_ALONE]), BOTH_ON_SECOND);
}

#[test]
fn a_full_or_read_only_disk_in_a_planned_move_loses_nothing() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND]);
    refuse_everywhere(&bench, BOTH_ON_FIRST);
}

#[test]
fn a_full_or_read_only_disk_while_a_handed_over_log_comes_back_loses_nothing() {
    refuse_everywhere(&handed_over(), BOTH_ON_FIRST);
}

#[test]
fn a_full_or_read_only_disk_where_a_role_was_handed_to_loses_nothing_in_its_takeover() {
    refuse_everywhere(&handed_over(), SECOND_ALONE);
}
