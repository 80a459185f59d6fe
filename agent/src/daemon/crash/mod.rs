//! Crash points: the power is cut before every single change that a life of two nodes makes.
//!
//! The agent's own loop and steps run on both nodes, above doors that lead to a bench instead of
//! systemd, ssh, DRBD, Pacemaker and the snap. Each act of the life below is played once without
//! a cut, to count its changes, and then once for each of them: the power of the node that was
//! about to make it goes, with and without the loss of what was not synced; then the node boots,
//! Pacemaker does again what it was doing, and everything must come to rest with every
//! acknowledged write. What must hold on the way is looked at after each change.

mod bench;
mod configuration;
mod disk;
mod doors;
mod fence_peer;
mod full;
mod handover;
mod invariants;
mod pause;
mod raft;
mod refuse;
mod released;
mod rules;
mod snap;
mod upward;
mod wedged;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bench::{Bench, Cleared};
use two_node_ha_config::Recovery;
use two_node_ha_disk::effects::Change;
use two_node_ha_disk::power::{self, Loss};
use two_node_ha_planner::Database;
use two_node_ha_planner::machine::Event as Happened;
use two_node_ha_planner::{State, Step};
use two_node_ha_protocol::control::{Response, Status};

use super::Event;
use super::shared::Shared;
use crate::store::journal_or_new;

/// Where Pacemaker wants the volume, and which nodes have power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Goal {
    up: [bool; 2],
    holder: usize,
}

const BOTH_ON_FIRST: Goal = Goal {
    up: [true, true],
    holder: 0,
};
const BOTH_ON_SECOND: Goal = Goal {
    up: [true, true],
    holder: 1,
};
const SECOND_ALONE: Goal = Goal {
    up: [false, true],
    holder: 1,
};

/// How it goes on after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The node boots, and Pacemaker goes on.
    Boot,
    /// Pacemaker gives the volume to the other node; the node boots when that has arrived.
    Other,
}

/// The power went, on this node.
#[derive(Debug)]
struct Cut(usize);

impl Bench {
    /// Does what Pacemaker and the power switch do until the goal is reached and all have arrived.
    fn reach(self: &Rc<Self>, goal: Goal) -> Result<(), Cut> {
        if self.come_to(goal, 30)? {
            return Ok(());
        }
        for node in &self.nodes {
            let shared = node.shared.borrow();
            let last = shared.as_ref().and_then(|shared| shared.last());
            let seen = last.map(|(seen, _)| seen.databases);
            eprintln!("{} has seen {seen:#?}", node.name);
        }
        panic!("nobody arrives at {goal:?}: {:#?}", self.statuses());
    }

    /// The same, for so many rounds at most; whether all have arrived.
    fn come_to(self: &Rc<Self>, goal: Goal, rounds: usize) -> Result<bool, Cut> {
        for index in [0, 1] {
            match (goal.up[index], self.nodes[index].on.get()) {
                (true, false) => self.boot(index),
                (false, true) => self.power_off(index),
                _ => {}
            }
            if self.nodes[index].on.get() && self.nodes[index].daemon.borrow().is_none() {
                self.start_agent(index);
            }
            self.whole()?;
        }
        // The agents start before Pacemaker does.
        self.turn_all(false)?;
        match self.volume_on.get() {
            Some(on) if on != goal.holder => {
                self.release(on)?;
                self.unmount(on);
                self.mount(goal.holder);
            }
            Some(_) => {}
            None => self.mount(goal.holder),
        }
        let nobody = self.nodes[goal.holder].held.borrow().is_none();
        if self.slow.get() && nobody {
            for _ in 0..2 {
                self.turn_all(true)?;
            }
        }
        for round in 0..rounds {
            if self.nodes[goal.holder].held.borrow().is_none() {
                self.hold(goal.holder, false);
            }
            self.turn_all(round > 0)?;
            if self.arrived() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What each agent says of itself.
    fn statuses(&self) -> Vec<Option<Status>> {
        let status = |shared: &Arc<Shared>| shared.status();
        let of = |node: &bench::Node| node.shared.borrow().as_ref().and_then(status);
        self.nodes.iter().map(of).collect()
    }

    fn whole(&self) -> Result<(), Cut> {
        match power::off() {
            Some((index, _)) => Err(Cut(index)),
            None => pause::whole(),
        }
    }

    /// Every agent hears what happened and turns; with `later`, after its time to look again.
    fn turn_all(&self, later: bool) -> Result<(), Cut> {
        for index in [0, 1] {
            self.turn_one(index, later)?;
        }
        Ok(())
    }

    fn turn_one(&self, index: usize, later: bool) -> Result<(), Cut> {
        let node = &self.nodes[index];
        power::of_node(index, || {
            // One that is paused is in the middle of its turn.
            if node.at_work() {
                return;
            }
            // Questions are answered at once, as events.
            for _ in 0..10 {
                self.look_now(index);
                if power::off().is_some() || !self.knows_something_new(index) {
                    break;
                }
            }
            let wakes = self.with_daemon(index, |daemon| daemon.machine.wakes_at());
            if let Some(at) = wakes.flatten().filter(|_| later) {
                if power::off().is_none() {
                    node.clock.set(node.clock.get().max(at));
                    self.drive(index);
                }
            }
        });
        self.whole()?;
        self.hear(index);
        Ok(())
    }

    /// The agent's loop, where there is an agent.
    fn with_daemon<T>(&self, index: usize, of: impl FnOnce(&mut super::Daemon) -> T) -> Option<T> {
        let mut daemon = self.nodes[index].daemon.borrow_mut();
        daemon.as_mut().map(of)
    }

    /// The loop hears what has happened, and does what is to be done at once: also while the worker is at
    /// a job.
    fn listen(&self, index: usize) {
        self.with_daemon(index, super::Daemon::turn);
    }

    /// Loop and worker take turns until there is nothing to do but wait.
    fn drive(&self, index: usize) {
        let node = &self.nodes[index];
        let mut taken = 0;
        loop {
            self.listen(index);
            let Some(job) = node.jobs.borrow_mut().pop_front() else {
                return;
            };
            taken += 1;
            assert!(
                taken < 1000,
                "{} comes to no rest, and is about to {job:?}: {:#?}",
                node.name,
                self.statuses()[index]
            );
            let done = node
                .worker
                .borrow_mut()
                .as_mut()
                .and_then(|worker| worker.work(&job, &mut |_| {}));
            if let Some(done) = done {
                self.with_daemon(index, |daemon| {
                    // What happened before it ended is heard before that.
                    daemon.drain_events();
                    daemon.handle(Event::Done(done));
                });
            }
        }
    }

    /// A turn, as after something that happened.
    fn look_now(&self, index: usize) {
        self.with_daemon(index, |daemon| daemon.handle(Happened::Changed.into()));
        self.drive(index);
    }

    /// The peer is about to be the voter: goes on until it is answered.
    fn stop_for(&self, index: usize, node: &str, epoch: u64) -> Result<(), String> {
        let (reply, answer) = channel();
        let event = Event::StopSpare {
            node: node.to_owned(),
            epoch,
            reply,
        };
        self.with_daemon(index, |daemon| daemon.handle(event));
        self.drive(index);
        answer.try_recv().expect("nobody answers")
    }

    /// Whether an event waits; it is then heard.
    fn knows_something_new(&self, index: usize) -> bool {
        let heard = self.with_daemon(index, |daemon| {
            let mut any = false;
            while let Ok(event) = daemon.events.try_recv() {
                daemon.handle(event);
                any = true;
            }
            any
        });
        heard.unwrap_or_default()
    }

    fn arrived(&self) -> bool {
        (0..2).all(|index| {
            let shared = self.nodes[index].shared.borrow();
            let status = shared.as_ref().and_then(|shared| shared.status());
            let quiet = !self.knows_something_new(index);
            // One whose services have not all come up is about to try again.
            let waits = self.with_daemon(index, |daemon| daemon.machine.wakes_at());
            let waits = waits.flatten().is_some();
            quiet && status.is_none_or(|status| status.settled && !waits)
        })
    }

    /// Pacemaker starts the failover unit, which fails where there is no agent.
    fn hold(&self, index: usize, releasing: bool) {
        let node = &self.nodes[index];
        let (here, there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let shared = node.shared.borrow();
        let Some(shared) = shared.as_ref() else {
            return;
        };
        let id = shared.hold(there, releasing);
        *node.held.borrow_mut() = Some((id, here));
    }

    /// Pacemaker stops the failover unit, and waits.
    fn release(&self, index: usize) -> Result<(), Cut> {
        let node = &self.nodes[index];
        if node.held.borrow().is_none() {
            self.hold(index, true);
        }
        if node.shared.borrow().is_none() {
            self.way_down(index);
            return Ok(());
        }
        let id = node.held.borrow().as_ref().unwrap().0;
        node.shared.borrow().as_ref().unwrap().release(id);
        for _ in 0..10 {
            self.turn_all(true)?;
            if node.held.borrow().is_none() {
                return Ok(());
            }
        }
        panic!("{} does not leave the volume", node.name);
    }

    /// The failover unit hears from the agent: released, or failed and so stopped by Pacemaker.
    fn hear(&self, index: usize) {
        let node = &self.nodes[index];
        let mut held = node.held.borrow_mut();
        let Some((id, stream)) = held.as_mut() else {
            return;
        };
        let mut over = false;
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            match serde_json::from_str(&line).unwrap() {
                Response::Released => {
                    for database in Database::ALL {
                        let runs = node.running.borrow().contains_key(database.name());
                        assert!(
                            !runs,
                            "I11: {database} runs, and the volume is said to be free"
                        );
                    }
                    over = true;
                }
                Response::Unhealthy { .. } => {
                    node.shared.borrow().as_ref().unwrap().drop_hold(*id);
                    over = true;
                }
                _ => {}
            }
        }
        if over {
            *held = None;
        }
    }
}

/// With `TWO_NODE_HA_TEST_LOG` set, what the agents have to say.
fn log() {
    if std::env::var_os("TWO_NODE_HA_TEST_LOG").is_some() {
        let log = tracing_subscriber::fmt().with_test_writer().without_time();
        // Another test's thread may have been first.
        let _ = log.try_init();
    }
}

/// Plays an act, and again with a cut before each of its changes; leaves the bench as after the
/// act without a cut.
fn cut_everywhere(bench: &Rc<Bench>, act: Goal, then: Then, losses: &[Loss]) {
    log();
    let before = disk::save(bench);
    for loss in losses {
        let mut n = 0;
        loop {
            n += 1;
            disk::restore(bench, &before);
            plug_in(bench, *loss, before.flags.clone());
            power::cut_at(Some(n));
            let Err(Cut(hit)) = bench.reach(act) else {
                assert!(n > 10, "an act of {n} changes");
                invariants::at_rest(bench, act.holder);
                eprintln!("{act:?} {then:?} {loss:?}: {} cuts", n - 1);
                break;
            };
            let what = power::off().unwrap().1;
            let tell = Tell(format!(
                "{act:?} {then:?} {loss:?}: cut {n} of {hit}, before {what}"
            ));
            bench.power_off(hit);
            power::back();
            power::cut_at(None);
            if then == Then::Other {
                let mut up = act.up;
                up[hit] = false;
                let holder = Bench::other(hit);
                bench.reach(Goal { up, holder }).unwrap();
                invariants::at_rest(bench, holder);
            }
            bench.reach(act).unwrap();
            invariants::at_rest(bench, act.holder);
            drop(tell);
        }
    }
}

/// Which of an act's changes are tried: each `nth`, or with `TWO_NODE_HA_TEST_ALL=1` every one, which takes
/// an hour, and with a higher number each of so many.
fn some(nth: usize) -> usize {
    match std::env::var("TWO_NODE_HA_TEST_ALL") {
        Ok(all) => all.parse().unwrap_or(1).clamp(1, nth),
        Err(_) => nth,
    }
}

/// Says which cut it was, when something is wrong after it.
struct Tell(String);

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

fn plug_in(bench: &Rc<Bench>, loss: Loss, flags: BTreeSet<PathBuf>) {
    let weak = Rc::downgrade(bench);
    let watch = move |index: usize, change: &Change<'_>| {
        if let Some(bench) = weak.upgrade() {
            invariants::after(&bench, index, change);
        }
    };
    power::plug_in(&bench.dir.join("attic"), loss, Rc::new(watch), flags);
}

/// Plays the acts without a cut.
fn after(acts: &[Goal]) -> Cleared {
    after_by(Recovery::Native, acts)
}

/// The same with takeovers of this way.
fn after_by(recovery: Recovery, acts: &[Goal]) -> Cleared {
    let bench = Bench::first_day(recovery);
    plug_in(&bench, Loss::Nothing, BTreeSet::new());
    for act in acts {
        bench.reach(*act).unwrap();
        invariants::at_rest(&bench, act.holder);
    }
    bench
}

const ALL: [Loss; 2] = [Loss::Nothing, Loss::Unsynced];

#[test]
fn the_first_start_of_voter_and_spare_survives_a_cut_anywhere() {
    cut_everywhere(&after(&[]), BOTH_ON_FIRST, Then::Boot, &ALL);
}

#[test]
fn a_takeover_after_the_peers_power_loss_survives_a_cut_anywhere() {
    cut_everywhere(&after(&[BOTH_ON_FIRST]), SECOND_ALONE, Then::Boot, &ALL);
}

#[test]
fn the_return_as_the_spare_survives_a_cut_anywhere() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE]);
    cut_everywhere(&bench, BOTH_ON_SECOND, Then::Boot, &ALL);
}

#[test]
fn a_takeover_that_is_over_before_pacemaker_asks_for_it_survives_a_cut_anywhere() {
    let bench = after(&[BOTH_ON_FIRST]);
    bench.slow.set(true);
    cut_everywhere(&bench, SECOND_ALONE, Then::Boot, &ALL);
}

#[test]
fn a_volume_that_was_taken_over_and_is_given_back_before_pacemaker_asks_is_taken_over_again() {
    let bench = after(&[BOTH_ON_FIRST]);
    bench.power_off(0);
    bench.mount(1);
    for _ in 0..3 {
        bench.turn_all(true).unwrap();
    }
    let status = bench.statuses()[1].clone().unwrap();
    assert_eq!(status.owner.as_deref(), Some("hatwo"), "{status:#?}");
    assert_eq!((status.state, status.epoch), (State::PrimaryPrep, 2));
    for database in Database::ALL {
        let running = bench.nodes[1].running.borrow();
        assert!(!running.contains_key(database.name()), "{database}");
    }
    bench.unmount(1);
    bench.reach(BOTH_ON_FIRST).unwrap();
    invariants::at_rest(&bench, 0);
    bench.reach(BOTH_ON_SECOND).unwrap();
    invariants::at_rest(&bench, 1);
}

#[test]
fn a_takeover_by_k8sds_own_recovery_survives_a_cut_anywhere() {
    let bench = after_by(Recovery::K8sd, &[BOTH_ON_FIRST]);
    cut_everywhere(&bench, SECOND_ALONE, Then::Boot, &ALL);
}

#[test]
fn the_return_of_a_spare_from_a_tarball_survives_a_cut_anywhere() {
    let bench = after_by(Recovery::K8sd, &[BOTH_ON_FIRST, SECOND_ALONE]);
    cut_everywhere(&bench, BOTH_ON_SECOND, Then::Boot, &ALL);
}

#[test]
fn a_planned_move_survives_a_cut_anywhere() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND]);
    cut_everywhere(&bench, BOTH_ON_FIRST, Then::Boot, &ALL);
}

#[test]
fn a_planned_move_that_is_cut_anywhere_can_be_taken_over_by_the_other_node() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND]);
    cut_everywhere(&bench, BOTH_ON_FIRST, Then::Other, &ALL);
}

#[test]
fn a_takeover_by_the_former_spare_survives_a_cut_anywhere() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND, BOTH_ON_FIRST]);
    cut_everywhere(&bench, SECOND_ALONE, Then::Boot, &ALL);
}

#[test]
fn a_step_that_its_guard_refused_is_not_remembered_as_one_that_was_begun() {
    let bench = after(&[BOTH_ON_FIRST]);
    let mut worker = bench.nodes[0].worker.borrow_mut();
    let actor = &mut worker.as_mut().unwrap().actor;
    // Nothing is suspended here.
    let refused = power::of_node(0, || actor.take(&Step::AskFencePeer, &mut |_| {}));
    assert!(
        matches!(refused, Err(crate::act::Error::Guard(_))),
        "{refused:?}"
    );
    let journal = journal_or_new(&actor.paths.journal(), "haone").unwrap();
    assert_eq!(journal.in_progress(), None);
}
