//! What must hold after every single change, and at the end.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use two_node_ha_config::Recovery;
use two_node_ha_disk::effects::Change;
use two_node_ha_disk::link::{Found, look};
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;
use two_node_ha_planner::State;
use two_node_ha_planner::record::{Epoch, Phase};

use super::bench::{Bench, Node};
use super::raft;
use crate::store::{Record, takeover_copy};

/// After each change of a node that has power.
pub fn after(bench: &Bench, index: usize, change: &Change<'_>) {
    let node = &bench.nodes[index];
    let mounted = bench.volume_on.get() == Some(index);
    let changed: Vec<PathBuf> = match change {
        Change::Rename(from, to) => vec![real(from), real(to)],
        Change::Exchange(one, other) => vec![real(one), real(other)],
        Change::Make(path) | Change::Remove(path) => vec![real(path)],
        Change::RemoveTree(path) => vec![real(path)],
        Change::Sync(_) | Change::SyncDirectory(_) | Change::SyncAll(_) => return,
        Change::Write(_) | Change::Other(..) => Vec::new(),
    };
    if !changed.is_empty() {
        links(node, mounted);
    }
    for path in changed {
        beneath_nobody(node, &path);
        if mounted {
            kept_before(node, &path);
        }
        unreadable(node, &path);
    }
    // Whoever accepts writes accepts one after each change: were a directory copied or exchanged
    // beneath it, one would be missing.
    bench.write();
}

/// I2, and the mount point.
fn links(node: &Node, mounted: bool) {
    for database in Database::ALL {
        let state = node.state(database);
        let volume = node.paths.on_volume(&node.config, database);
        let running = node.running.borrow().contains_key(database.name());
        match look(&state).unwrap() {
            Found::Directory => {}
            Found::Link(to) if to == node.paths.spare(database) => {}
            Found::Link(to) if to == volume => {
                assert!(
                    mounted || !running,
                    "I2: {database} runs on an unmounted volume"
                );
            }
            found => panic!("I2: {} is {found:?}", state.display()),
        }
    }
    if !mounted {
        let point = node.paths.mount_point(&node.config);
        let files = fs::read_dir(&point).map_or(0, Iterator::count);
        assert_eq!(
            files, 0,
            "I2: something was written into the empty mount point"
        );
    }
}

/// I1: a link, or a name in a database's directory, changes only while its service is stopped.
fn beneath_nobody(node: &Node, path: &Path) {
    for database in Database::ALL {
        if !node.running.borrow().contains_key(database.name()) {
            continue;
        }
        let state = node.state(database);
        let opened = fs::canonicalize(&state).unwrap();
        assert!(
            path != real(&state) && !path.starts_with(&opened),
            "I1: {} changed while {database} runs there",
            path.display()
        );
    }
}

/// The copy is there before anything of a pending database changes.
fn kept_before(node: &Node, path: &Path) {
    if !path.starts_with(node.paths.mount_point(&node.config)) {
        return;
    }
    let Ok(Some(epoch)) = Epoch::read(&node.paths.epoch(&node.config)) else {
        return;
    };
    for database in Database::ALL {
        let volume = node.paths.on_volume(&node.config, database);
        if epoch.phase(database) == Phase::Pending && path.starts_with(volume) {
            let copy = takeover_copy::directory(&node.paths, &node.config, epoch.epoch)
                .join(database.name());
            assert!(
                copy.exists(),
                "{} changed without a copy of {database}",
                path.display()
            );
        }
    }
}

/// I10: nothing of ours can be read by others.
fn unreadable(node: &Node, path: &Path) {
    let state = node.paths.state();
    let private = node.paths.private_on_volume(&node.config);
    for top in [state, private] {
        if !path.starts_with(&top) || !top.exists() {
            continue;
        }
        let mode = fs::metadata(&top).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "I10: {} is open to others", top.display());
        let Ok(meta) = fs::symlink_metadata(path) else {
            continue;
        };
        // What is new in the copies is private by itself, too; links share their original's mode.
        let new = path.strip_prefix(&top).unwrap();
        if new.starts_with("before-epoch-") && meta.is_dir() {
            assert_eq!(
                meta.permissions().mode() & 0o077,
                0,
                "I10: {}",
                path.display()
            );
        }
    }
}

fn real(path: &Path) -> PathBuf {
    let parent = path
        .parent()
        .and_then(|parent| fs::canonicalize(parent).ok());
    match parent {
        Some(parent) => parent.join(path.file_name().unwrap()),
        None => path.to_path_buf(),
    }
}

/// Once everybody has arrived.
pub fn at_rest(bench: &Bench, holder: usize) {
    let node = &bench.nodes[holder];
    let epoch = Epoch::read(&node.paths.epoch(&node.config))
        .unwrap()
        .unwrap();
    assert!(epoch.complete() && epoch.owner == node.name);
    for database in Database::ALL {
        let raft_of = |state: &Path| raft::load(&raft_directory(database, state)).unwrap();
        let log = raft_of(&node.paths.on_volume(&node.config, database));
        // I9
        assert_eq!(
            log.writes(),
            bench.acknowledged(database),
            "I9: acknowledged writes of {database} are missing"
        );
        // I7: the founding, and at most one recovery for each epoch after the first.
        let changes = u64::try_from(log.changes()).unwrap();
        // A handover writes two.
        assert!(
            changes <= epoch.epoch + 2 * bench.handovers.get(),
            "I7: {changes} configurations of {database} in epoch {}",
            epoch.epoch
        );
        // The copy is what the database was when the epoch began, and nothing but a recovery
        // follows it at first.
        let copy =
            takeover_copy::directory(&node.paths, &node.config, epoch.epoch).join(database.name());
        if epoch.epoch > 1 {
            let bundle = node.paths.volume_bundle(&node.config, epoch.epoch);
            let bundle = bundle.join(format!("{database}.tar.gz"));
            match node.config.k8s.recovery {
                Recovery::Native => assert!(!bundle.exists(), "{}", bundle.display()),
                Recovery::K8sd => {
                    let bundle = File::open(bundle).unwrap();
                    io::copy(&mut GzDecoder::new(bundle), &mut io::sink()).unwrap();
                }
            }
            let copy = raft_of(&copy);
            let next = copy.entries.len();
            assert_eq!(copy.entries[..], log.entries[..next]);
            // Unless a log that was written off the volume came between.
            assert!(bench.handovers.get() > 0 || log.entries[next].starts_with("change "));
        }
    }
    let copies = takeover_copy::all(&node.paths, &node.config).unwrap().len();
    // A cut between the end of a takeover and this tidying leaves one more until the next.
    assert!(copies <= 3, "{copies} copies");
    for (index, node) in bench.nodes.iter().enumerate() {
        if !bench.alive(index) {
            continue;
        }
        let status = node.shared.borrow().as_ref().unwrap().status().unwrap();
        let wanted = if index == holder {
            State::PrimaryRunning
        } else {
            State::SecondaryRunning
        };
        assert_eq!(status.state, wanted, "{}: {status:#?}", node.name);
        for database in Database::ALL {
            let running = node.running.borrow().get(database.name()).cloned().unwrap();
            assert_eq!(
                running.voter,
                index == holder,
                "{database} on {}",
                node.name
            );
            let there = node.inode(database);
            assert_eq!(
                running.opened, there,
                "I1: {database} runs on a directory that is gone"
            );
        }
        private(&node.paths.state());
    }
    private(&node.paths.private_on_volume(&node.config));
}

/// I10, of everything that can be reached by others from the top down.
fn private(top: &Path) {
    let mode = fs::metadata(top).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "I10: {} is open to others", top.display());
}
