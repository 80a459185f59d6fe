//! The bench as it was at the beginning of an act.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use two_node_ha_planner::Database;

use super::bench::{Bench, NAMES, Running};
use crate::files::effects::power;

/// Disks, and what ran.
pub struct Saved {
    to: PathBuf,
    on: [bool; 2],
    running: [BTreeMap<String, Running>; 2],
    held: [bool; 2],
    volume_on: Option<usize>,
    acknowledged: BTreeMap<Database, u64>,
    handovers: u64,
    /// The immutable ones among the directories.
    pub flags: BTreeSet<PathBuf>,
}

/// Takes everything down.
pub fn save(bench: &Rc<Bench>) -> Saved {
    let to = bench.dir.join("saved");
    for name in parts(bench) {
        copy(&bench.dir.join(&name), &to.join(&name));
    }
    let each = |index: usize| bench.nodes[index].running.borrow().clone();
    Saved {
        to,
        on: [0, 1].map(|index| bench.nodes[index].on.get()),
        running: [0, 1].map(each),
        held: [0, 1].map(|index| bench.nodes[index].held.borrow().is_some()),
        volume_on: bench.volume_on.get(),
        acknowledged: bench.acknowledged.borrow().clone(),
        handovers: bench.handovers.get(),
        flags: power::flags(),
    }
}

fn parts(bench: &Bench) -> Vec<String> {
    let mut parts: Vec<String> = NAMES.iter().map(|&name| name.into()).collect();
    if bench.volume_on.get().is_none() {
        parts.push("volume".into());
    }
    parts
}

/// Puts everything back. The agents start anew, the services go on.
pub fn restore(bench: &Rc<Bench>, saved: &Saved) {
    for name in ["haone", "hatwo", "volume", "attic"] {
        let _ = fs::remove_dir_all(bench.dir.join(name));
    }
    bench.volume_on.set(saved.volume_on);
    bench.handovers.set(saved.handovers);
    for name in parts(bench) {
        copy(&saved.to.join(&name), &bench.dir.join(&name));
    }
    bench
        .acknowledged
        .borrow_mut()
        .clone_from(&saved.acknowledged);
    for index in [0, 1] {
        let node = &bench.nodes[index];
        node.end_agent();
        *node.shared.borrow_mut() = None;
        *node.held.borrow_mut() = None;
        node.on.set(saved.on[index]);
        let mut running = saved.running[index].clone();
        for database in Database::ALL {
            if let Some(running) = running.get_mut(database.name()) {
                running.opened = node.inode(database);
            }
        }
        *node.running.borrow_mut() = running;
        if saved.held[index] {
            bench.start_agent(index);
            bench.hold(index, false);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&source, &target);
        } else if kind.is_symlink() {
            symlink(fs::read_link(source).unwrap(), target).unwrap();
        } else if kind.is_socket() {
            drop(UnixListener::bind(target).unwrap());
        } else {
            fs::copy(source, target).unwrap();
        }
    }
    let mode = fs::metadata(from).unwrap().permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
}
