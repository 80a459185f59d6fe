//! DRBD is made to ask its fence-peer handler again, and the agent is killed before any change that it
//! makes for it: DRBD is connected again by the next one, whatever that does before; and nobody else's
//! disconnecting is undone.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use two_node_ha_planner::Step;

use super::bench::{Bench, Cleared};
use super::{BOTH_ON_FIRST, after, log};
use crate::files::effects::Change;
use crate::files::effects::power;

/// The voter of two nodes whose peer has lost its power, with its writes held back.
fn suspended() -> Cleared {
    let bench = after(&[BOTH_ON_FIRST]);
    bench.power_off(1);
    bench.nodes[0].suspended.set(true);
    bench
}

/// The agent has time to look again, more than once.
fn go_on(bench: &Bench) {
    for _ in 0..4 {
        bench.turn_one(0, true).unwrap();
    }
}

/// The agent is killed before its `nth` change from now on, and does nothing more; how many there have
/// been is counted.
fn kill_before(nth: u64) -> Rc<Cell<u64>> {
    let counted = Rc::new(Cell::new(0));
    let seen = Rc::clone(&counted);
    power::before_each(Some(Rc::new(move |_, _: &Change<'_>| {
        seen.set(seen.get() + 1);
        if seen.get() >= nth {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    })));
    counted
}

/// systemd starts the next agent; the failover unit, which has gone on, finds it.
fn next_agent(bench: &Rc<Bench>) {
    power::before_each(None);
    bench.start_agent(0);
    bench.hold(0, false);
}

fn is_noted(bench: &Bench) -> bool {
    bench.nodes[0].paths.own_disconnect().exists()
}

#[test]
fn an_agent_that_is_killed_between_the_two_halves_is_followed_by_one_that_connects_drbd_again() {
    log();
    let mut between = 0;
    for other_steps in [false, true] {
        for nth in 1.. {
            let bench = suspended();
            let changes = kill_before(nth);
            go_on(&bench);
            let alive = changes.get() < nth;
            let alone = bench.nodes[0].alone.get();
            between += u64::from(alone);
            next_agent(&bench);
            if other_steps {
                // Each writes into the journal what it is.
                let mut worker = bench.nodes[0].worker.borrow_mut();
                let actor = &mut worker.as_mut().unwrap().actor;
                power::of_node(0, || {
                    for step in [Step::RememberEpoch(1), Step::ConfirmVoter] {
                        actor.take(&step, &mut |_| {}).unwrap();
                    }
                });
            }
            go_on(&bench);
            let node = &bench.nodes[0];
            assert!(
                !node.alone.get(),
                "killed before change {nth}, other steps {other_steps}: DRBD stays alone"
            );
            assert!(!node.suspended.get(), "killed before change {nth}");
            assert!(!is_noted(&bench), "killed before change {nth}");
            if alive {
                assert!(nth > 4, "a step of {nth} changes");
                break;
            }
        }
    }
    assert_eq!(between, 2, "killed between the halves once each way");
}

#[test]
fn what_an_administrator_has_disconnected_stays_disconnected_whatever_the_agent_did_before() {
    let bench = suspended();
    go_on(&bench);
    let node = &bench.nodes[0];
    assert!(!node.alone.get() && !node.suspended.get());
    node.alone.set(true);
    go_on(&bench);
    next_agent(&bench);
    go_on(&bench);
    assert!(node.alone.get(), "it was connected again");
}

#[test]
fn a_mark_of_a_disconnecting_that_never_came_is_taken_back_before_somebody_else_disconnects() {
    let bench = suspended();
    let node = &bench.nodes[0];
    std::fs::write(node.paths.own_disconnect(), "").unwrap();
    // Somebody has resumed the writes.
    node.suspended.set(false);
    next_agent(&bench);
    go_on(&bench);
    assert!(!is_noted(&bench));
    node.alone.set(true);
    go_on(&bench);
    assert!(node.alone.get(), "it was connected again");
}
