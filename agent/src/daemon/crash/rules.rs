//! The bench must be able to fail: each of its rules is broken here on purpose, and has to say so. And
//! where a guard of the product is taken away, a life on the bench must find it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use two_node_ha_disk::{effects, power};
use two_node_ha_planner::Database;
use two_node_ha_planner::record::Epoch;
use two_node_ha_protocol::control::Response;

use super::bench::{Bench, Cleared, members};
use super::doors::Door;
use super::handover::handed_over;
use super::pause::{World, pause_everywhere};
use super::{BOTH_ON_FIRST, BOTH_ON_SECOND, SECOND_ALONE, after, invariants, raft, snap};
use crate::store::{Record, journal_or_new};
use crate::systemd::Units;

const DQLITE: Database = Database::K8sDqlite;

/// What is said of it.
fn said(bench: &Rc<Bench>, foul: impl FnOnce(&Rc<Bench>)) -> String {
    let caught = catch_unwind(AssertUnwindSafe(|| foul(bench)));
    super::pause::is_over();
    let panic = caught.expect_err("nobody has noticed");
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).into())
}

fn noticed(rule: &str, bench: &Rc<Bench>, foul: impl FnOnce(&Rc<Bench>)) {
    let said = said(bench, foul);
    assert!(
        said.contains(rule),
        "{rule} was broken, and what is said is: {said}"
    );
}

/// haone the voter, and what is on it may be changed by hand.
fn settled() -> Cleared {
    after(&[BOTH_ON_FIRST])
}

fn on_volume(bench: &Bench) -> PathBuf {
    let node = &bench.nodes[0];
    node.paths.on_volume(&node.config, DQLITE)
}

fn killed(bench: &Bench, index: usize) {
    bench.nodes[index]
        .running
        .borrow_mut()
        .remove(DQLITE.name());
}

fn started(bench: &Bench, index: usize) {
    snap::start(bench, index, DQLITE.name()).unwrap().unwrap();
}

fn changed(index: usize, path: PathBuf) {
    power::of_node(index, || effects::create_private(&path).unwrap());
}

#[test]
fn whatever_changes_beneath_a_running_database_is_noticed() {
    let bench = settled();
    noticed("I1: the directory of a running", &bench, |bench| {
        let volume = on_volume(bench);
        fs::rename(&volume, volume.with_extension("old")).unwrap();
        fs::create_dir(&volume).unwrap();
        bench.write();
    });
    noticed("I1: a database runs on haone while", &settled(), |bench| {
        bench.unmount(0)
    });
    noticed("changed while k8s-dqlite runs there", &settled(), |bench| {
        changed(0, on_volume(bench).join("x"));
    });
    noticed(
        "I1: k8s-dqlite runs on a directory that is gone",
        &settled(),
        |bench| {
            let mut running = bench.nodes[1].running.borrow_mut();
            running.get_mut(DQLITE.name()).unwrap().opened = None;
            drop(running);
            invariants::at_rest(bench, 0);
        },
    );
}

#[test]
fn a_link_or_a_file_that_is_where_it_must_not_be_is_noticed() {
    noticed("I2: ", &settled(), |bench| {
        let state = bench.nodes[1].state(DQLITE);
        killed(bench, 1);
        power::of_node(1, || {
            effects::remove_file(&state).unwrap();
        });
    });
    noticed(
        "I2: k8s-dqlite runs on an unmounted volume",
        &settled(),
        |bench| {
            let node = &bench.nodes[1];
            let new = node.state(DQLITE).with_extension("new");
            std::os::unix::fs::symlink(node.paths.on_volume(&node.config, DQLITE), &new).unwrap();
            power::of_node(1, || effects::rename(&new, &node.state(DQLITE)).unwrap());
        },
    );
    noticed(
        "I2: something was written into the empty mount point",
        &settled(),
        |bench| {
            let node = &bench.nodes[1];
            changed(1, node.paths.mount_point(&node.config).join("x"));
        },
    );
}

#[test]
fn a_database_that_starts_where_it_must_not_is_noticed() {
    noticed(
        "I2: a voter of k8s-dqlite starts off the volume",
        &handed_over(),
        |bench| {
            killed(bench, 1);
            started(bench, 1);
        },
    );
    let beside = "I2: k8s-dqlite starts on hatwo's own disk beside the volume";
    let moved = || {
        let bench = settled();
        bench.release(0).unwrap();
        bench.unmount(0);
        bench.gates_open.set(true);
        killed(&bench, 1);
        bench
    };
    noticed(beside, &moved(), |bench| {
        bench.mount(1);
        started(bench, 1);
    });
    noticed(
        "I2: k8s-dqlite starts on hatwo's own disk, and hatwo holds",
        &moved(),
        |bench| {
            bench.hold(1, false);
            started(bench, 1);
        },
    );
    noticed(
        "I8: k8s-dqlite starts on the volume, and nobody holds",
        &settled(),
        |bench| {
            bench.gates_open.set(true);
            killed(bench, 0);
            *bench.nodes[0].held.borrow_mut() = None;
            bench.start_agent(0);
            started(bench, 0);
        },
    );
    noticed("I6: k8s-dqlite starts on", &settled(), |bench| {
        killed(bench, 0);
        for entry in fs::read_dir(on_volume(bench)).unwrap() {
            let entry = entry.unwrap();
            if two_node_ha_node::database::is_raft_file(entry.file_name().to_str().unwrap()) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        started(bench, 0);
    });
}

#[test]
fn a_second_voter_and_a_spare_of_another_epoch_are_noticed() {
    noticed("I8: two voters of k8s-dqlite", &settled(), |bench| {
        let mut running = bench.nodes[1].running.borrow_mut();
        running.get_mut(DQLITE.name()).unwrap().voter = true;
        drop(running);
        killed(bench, 0);
        started(bench, 0);
    });
    noticed(
        "I8: the voter of k8s-dqlite starts beside a spare of another epoch",
        &settled(),
        |bench| {
            let path = bench.nodes[1].paths.journal();
            let mut journal = journal_or_new(&path, "hatwo").unwrap();
            journal.spare_epoch.insert(DQLITE, 7);
            journal.write(&path).unwrap();
            killed(bench, 0);
            started(bench, 0);
        },
    );
}

#[test]
fn a_voter_that_is_asked_to_stop_and_one_that_runs_when_the_volume_is_said_to_be_free_are_noticed()
{
    noticed("I4: k8s-dqlite was asked to stop", &settled(), |bench| {
        let unit = bench.nodes[0].config.k8s.unit(DQLITE.name());
        let _ = Door::new(bench, 0).stop(&[unit], Duration::ZERO, &mut || {});
    });
    noticed("I11: ", &settled(), |bench| {
        let shared = bench.nodes[0].shared.borrow().clone();
        shared.unwrap().tell_holder(&Response::Released);
        bench.hear(0);
    });
}

#[test]
fn a_lost_write_and_a_second_recovery_are_noticed() {
    let more = |bench: &Bench| {
        *bench.acknowledged.borrow_mut().get_mut(&DQLITE).unwrap() += 1;
    };
    noticed(
        "I9: k8s-dqlite starts on haone without",
        &settled(),
        |bench| {
            killed(bench, 0);
            more(bench);
            started(bench, 0);
        },
    );
    noticed(
        "I9: acknowledged writes of k8s-dqlite are missing",
        &settled(),
        |bench| {
            more(bench);
            invariants::at_rest(bench, 0);
        },
    );
    let recover = |bench: &Bench| {
        let members = members(DQLITE);
        raft::recover(&on_volume(bench), &members, members[0].id)
            .unwrap()
            .unwrap();
    };
    noticed("I7: recovered on top of a recovery", &settled(), |bench| {
        killed(bench, 0);
        recover(bench);
        recover(bench);
    });
    noticed(
        "I7: 2 configurations of k8s-dqlite in epoch 1",
        &settled(),
        |bench| {
            killed(bench, 0);
            recover(bench);
            invariants::at_rest(bench, 0);
        },
    );
    noticed(
        "changed without a copy of k8s-dqlite",
        &settled(),
        |bench| {
            let node = &bench.nodes[0];
            let path = node.paths.epoch(&node.config);
            let epoch = Epoch::read(&path).unwrap().unwrap();
            epoch.taken_over_by("hatwo").write(&path).unwrap();
            killed(bench, 0);
            changed(0, on_volume(bench).join("x"));
        },
    );
}

#[test]
fn what_others_can_read_is_noticed() {
    let open = |path: PathBuf| fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    noticed("I10: ", &settled(), |bench| {
        let state = bench.nodes[1].paths.state();
        open(state.clone());
        changed(1, state.join("x"));
    });
    noticed("I10: ", &settled(), |bench| {
        open(bench.nodes[1].paths.state());
        invariants::at_rest(bench, 0);
    });
}

#[test]
fn a_gate_that_is_open_is_found_where_a_paused_agent_is_given_the_volume() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE]);
    bench.gates_open.set(true);
    noticed("own disk beside the volume", &bench, |bench| {
        pause_everywhere(bench, BOTH_ON_SECOND, World::Gives);
    });
}

#[test]
fn a_volume_that_is_not_pinned_is_found_where_it_is_taken_from_a_paused_agent() {
    let bench = after(&[BOTH_ON_FIRST, SECOND_ALONE, BOTH_ON_SECOND]);
    bench.pins_fail.set(true);
    noticed("I", &bench, |bench| {
        pause_everywhere(bench, BOTH_ON_FIRST, World::TakesAway);
    });
}
