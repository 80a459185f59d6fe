//! A release in the middle of a step: before any change of the way up Pacemaker takes the role back. What
//! takes long gives way at once, whatever was begun is undone or begun anew, and a node that gave way is
//! not called unfit.

use std::cell::Cell;
use std::rc::Rc;

use two_node_ha_planner::Database;

use super::bench::Bench;
use super::{
    BOTH_ON_FIRST, BOTH_ON_SECOND, Goal, SECOND_ALONE, Tell, after, disk, invariants, log, plug_in,
    some,
};
use crate::files::effects::Change;
use crate::files::effects::power::{self, Loss};

/// What the holder has done since the role was wanted back.
#[derive(Debug, Default)]
struct Since {
    changes: Cell<u64>,
    released: Cell<bool>,
    /// Services that were started, and files that were copied.
    goes_on: Cell<u64>,
}

/// Wants the role back before the `nth` change that the holder's agent makes for it.
fn release_at(bench: &Rc<Bench>, holder: usize, nth: u64) -> Rc<Since> {
    let since = Rc::new(Since::default());
    let (weak, seen) = (Rc::downgrade(bench), Rc::clone(&since));
    power::before_each(Some(Rc::new(move |index, change: &Change<'_>| {
        let Some(bench) = weak.upgrade().filter(|_| index == holder) else {
            return Ok(());
        };
        let long = match change {
            Change::Other(what, _) => *what == "start a service",
            // The first move of the state; the copy before a recovery is of links and some small files.
            Change::Write(_) => power::paths(change).iter().any(|path| {
                let path = path.to_string_lossy();
                path.contains("/mnt/") && path.contains(".part/") && !path.contains(".two-node-ha")
            }),
            _ => false,
        };
        if seen.released.get() && long {
            seen.goes_on.set(seen.goes_on.get() + 1);
        }
        let node = &bench.nodes[holder];
        let Some(id) = node.held.borrow().as_ref().map(|held| held.0) else {
            return Ok(());
        };
        seen.changes.set(seen.changes.get() + 1);
        // The `nth` itself is under way.
        if seen.changes.get() == nth {
            seen.released.set(true);
            node.shared.borrow().as_ref().unwrap().release(id);
            bench.listen(holder);
        }
        Ok(())
    })));
    since
}

fn release_everywhere(bench: &Rc<Bench>, act: Goal) {
    log();
    let before = disk::save(bench);
    let mut tried = 0;
    for nth in (1..).step_by(some(7)) {
        disk::restore(bench, &before);
        plug_in(bench, Loss::Nothing, before.flags.clone());
        let since = release_at(bench, act.holder, nth);
        let tell = Tell(format!("{act:?}: released before change {nth}"));
        // The first round is the one in which it happens.
        let arrived = bench.come_to(act, 1).unwrap();
        if !since.released.get() {
            power::before_each(None);
            assert!(arrived || bench.come_to(act, 30).unwrap());
            drop(tell);
            break;
        }
        // It may have been asked for something in the other's turn.
        bench.turn_one(act.holder, false).unwrap();
        let node = &bench.nodes[act.holder];
        let shared = node.shared.borrow().clone().unwrap();
        let (_, decision) = shared.last().unwrap();
        assert!(
            node.held.borrow().is_none(),
            "not left in that turn: {decision:#?}"
        );
        assert!(since.goes_on.get() <= 1, "it went on: {since:?}");
        for database in Database::ALL {
            assert!(!node.running.borrow().contains_key(database.name()));
        }
        power::before_each(None);
        bench.unmount(act.holder);
        bench.reach(act).unwrap();
        invariants::at_rest(bench, act.holder);
        drop(tell);
        tried += 1;
    }
    assert!(tried > 10, "{tried}");
    eprintln!("{act:?}: {tried} releases in the middle of it");
}

#[test]
fn a_release_anywhere_in_a_first_start_is_given_way_to() {
    release_everywhere(&after(&[]), BOTH_ON_FIRST);
}

#[test]
fn a_release_anywhere_in_a_takeover_is_given_way_to() {
    release_everywhere(&after(&[BOTH_ON_FIRST]), SECOND_ALONE);
}

#[test]
fn a_release_anywhere_in_a_planned_move_is_given_way_to() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND]);
    release_everywhere(&bench, BOTH_ON_FIRST);
}
