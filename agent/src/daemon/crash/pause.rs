//! Pauses: the agent is stopped right before any change that it is about to make, between any guard and
//! its effect, and the world goes on without it: the failover unit gives up on it and goes the way down,
//! Pacemaker unmounts, the other node mounts, takes over and writes. Then the agent wakes, and makes its
//! change, and goes on as if nothing had been.
//!
//! An agent that pins the volume at that point does not wake: the way down kills whoever is on it.

use std::cell::Cell;
use std::fs;
use std::io;
use std::rc::Rc;

use two_node_ha_disk::effects::Change;
use two_node_ha_disk::power::{self, Loss};
use two_node_ha_planner::Database;
use two_node_ha_planner::State;

use super::bench::Bench;
use super::{
    BOTH_ON_FIRST, BOTH_ON_SECOND, Cut, Goal, SECOND_ALONE, Tell, after, disk, invariants, log,
    plug_in, snap, some,
};
use crate::act;

thread_local! {
    /// Whose agent is paused, while it is.
    static PAUSED: Cell<Option<usize>> = const { Cell::new(None) };
    /// Whose agent was, once the world has gone on.
    static STRUCK: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Whether a node's agent answers nobody.
pub fn is_paused(index: usize) -> bool {
    PAUSED.get() == Some(index)
}

/// Ends what was being played, once a paused agent has gone on to the end of its turn.
pub fn whole() -> Result<(), Cut> {
    match STRUCK.get() {
        Some(index) => Err(Cut(index)),
        None => Ok(()),
    }
}

/// Nothing is being played any more.
pub fn is_over() {
    power::before_each(None);
    PAUSED.set(None);
    STRUCK.set(None);
}

/// What the world does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// The volume leaves the node of the paused agent, where it has it, and the other takes over.
    TakesAway,
    /// The volume comes to the node of the paused agent, where the other has it.
    Gives,
}

impl Bench {
    /// The failover unit's own way down, and Pacemaker's unmount; whether the agent was killed for it.
    fn taken_from(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        self.way_down(index);
        if let Some((id, _)) = node.held.borrow_mut().take() {
            node.shared.borrow().as_ref().unwrap().drop_hold(id);
        }
        let killed = act::pinned() && !self.pins_fail.get();
        self.unmount(index);
        killed
    }

    /// What the failover unit does by itself.
    pub fn way_down(&self, index: usize) {
        let node = &self.nodes[index];
        let _ = fs::remove_file(node.paths.token());
        for database in Database::ALL {
            node.running.borrow_mut().remove(database.name());
        }
        let _ = fs::remove_file(snap::control_socket(node));
    }

    /// The other node's agent, as far as it comes.
    fn others_go_on(&self, paused: usize) {
        let other = Self::other(paused);
        if !self.alive(other) {
            return;
        }
        for _ in 0..12 {
            let holds = self.volume_on.get() == Some(other);
            if holds && self.nodes[other].held.borrow().is_none() {
                self.hold(other, false);
            }
            self.turn_one(other, true).unwrap();
            let shared = self.nodes[other].shared.borrow();
            let status = shared.as_ref().and_then(|shared| shared.status());
            if status.is_some_and(|s| holds && s.state == State::PrimaryRunning) {
                break;
            }
        }
        self.write();
    }

    /// The world goes on; whether the paused agent was killed.
    fn goes_on(&self, paused: usize, world: World) -> bool {
        PAUSED.set(Some(paused));
        let other = Self::other(paused);
        let on = self.volume_on.get();
        let mut killed = false;
        match world {
            World::TakesAway => {
                if on == Some(paused) {
                    killed = self.taken_from(paused);
                    if self.alive(other) {
                        self.mount(other);
                    }
                }
            }
            World::Gives => {
                if on == Some(other) {
                    // Its agent is well, and leaves.
                    let id = self.nodes[other].held.borrow().as_ref().map(|held| held.0);
                    if let Some(id) = id {
                        let shared = self.nodes[other].shared.borrow().clone();
                        shared.unwrap().release(id);
                    } else {
                        self.hold(other, true);
                    }
                    for _ in 0..10 {
                        if self.nodes[other].held.borrow().is_none() {
                            break;
                        }
                        self.turn_one(other, true).unwrap();
                    }
                    self.unmount(other);
                    self.mount(paused);
                    self.hold(paused, false);
                }
            }
        }
        self.others_go_on(paused);
        PAUSED.set(None);
        // The loop goes on as soon as the worker does.
        self.listen(paused);
        killed
    }
}

/// Pauses the agent that is about to make the `nth` change. The result says whether it was killed, once
/// there was such a change.
fn pause_at(bench: &Rc<Bench>, nth: u64, world: World) -> Rc<Cell<Option<bool>>> {
    let (seen, busy) = (Cell::new(0), Cell::new(false));
    let struck = Rc::new(Cell::new(None));
    let (weak, result) = (Rc::downgrade(bench), Rc::clone(&struck));
    power::before_each(Some(Rc::new(move |index, change: &Change<'_>| {
        let Some(bench) = weak.upgrade().filter(|_| !busy.get()) else {
            return Ok(());
        };
        if let Some(killed) = result.get() {
            return if killed && STRUCK.get() == Some(index) {
                Err(io::Error::other("the agent was killed"))
            } else {
                Ok(())
            };
        }
        if let Change::Sync(_) | Change::SyncDirectory(_) | Change::SyncAll(_) = change {
            return Ok(());
        }
        seen.set(seen.get() + 1);
        // A change of the power switch's, or of a node that answers the other, has nobody to pause.
        if seen.get() < nth || !bench.nodes[index].at_work() {
            return Ok(());
        }
        busy.set(true);
        let killed = bench.goes_on(index, world);
        busy.set(false);
        result.set(Some(killed));
        STRUCK.set(Some(index));
        if killed {
            return Err(io::Error::other("the agent was killed"));
        }
        Ok(())
    })));
    struck
}

/// Plays an act with a pause before each of its changes, and on from where the volume is by then.
pub fn pause_everywhere(bench: &Rc<Bench>, act: Goal, world: World) {
    log();
    let before = disk::save(bench);
    let (mut paused, mut killed) = (0, 0);
    for nth in (1..).step_by(some(11)) {
        disk::restore(bench, &before);
        plug_in(bench, Loss::Nothing, before.flags.clone());
        let struck = pause_at(bench, nth, world);
        let tell = Tell(format!("{act:?} {world:?}: pause before change {nth}"));
        let played = bench.reach(act);
        power::before_each(None);
        STRUCK.set(None);
        let Err(Cut(hit)) = played else {
            drop(tell);
            break;
        };
        paused += 1;
        if struck.get() == Some(true) {
            killed += 1;
            bench.nodes[hit].end_agent();
            // Its connection ended with it.
            *bench.nodes[hit].held.borrow_mut() = None;
            bench.start_agent(hit);
        }
        // What the agent did late was the end of its turn; nothing of it may have harmed anybody.
        let holder = bench.volume_on.get().unwrap_or(act.holder);
        let node = &bench.nodes[holder];
        // An empty volume belongs to the first day's voter alone, and Pacemaker moves it back there.
        let holder = if node.paths.epoch(&node.config).exists() {
            holder
        } else {
            act.holder
        };
        bench.reach(Goal { up: act.up, holder }).unwrap();
        invariants::at_rest(bench, holder);
        drop(tell);
    }
    assert!(paused > 4, "{paused}");
    eprintln!("{act:?} {world:?}: {paused} pauses, {killed} of them while the volume was pinned");
}

#[test]
fn a_pause_anywhere_in_a_first_start_harms_nobody() {
    pause_everywhere(&after(&[]), BOTH_ON_FIRST, World::TakesAway);
}

#[test]
fn a_pause_anywhere_in_a_takeover_harms_nobody() {
    pause_everywhere(&after(&[BOTH_ON_FIRST]), SECOND_ALONE, World::TakesAway);
}

#[test]
fn a_pause_anywhere_in_a_takeover_before_pacemaker_asks_harms_nobody() {
    let bench = after(&[BOTH_ON_FIRST]);
    bench.slow.set(true);
    pause_everywhere(&bench, SECOND_ALONE, World::TakesAway);
}

#[test]
fn a_pause_anywhere_in_a_return_as_the_spare_harms_nobody() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE]);
    pause_everywhere(&bench, BOTH_ON_SECOND, World::TakesAway);
}

#[test]
fn a_pause_anywhere_in_a_return_as_the_spare_that_is_given_the_volume_meanwhile_harms_nobody() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE]);
    pause_everywhere(&bench, BOTH_ON_SECOND, World::Gives);
}

#[test]
fn a_pause_anywhere_in_a_planned_move_harms_nobody() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND]);
    pause_everywhere(&bench, BOTH_ON_FIRST, World::TakesAway);
}

#[test]
fn a_pause_anywhere_in_a_planned_move_of_whoever_is_given_the_volume_back_harms_nobody() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND]);
    pause_everywhere(&bench, BOTH_ON_FIRST, World::Gives);
}
