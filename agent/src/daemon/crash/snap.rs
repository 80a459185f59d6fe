//! The snap's programs on the bench, with the contracts of k8s-dqlite and k8sd that matter to
//! whoever changes their files: what they refuse, what they write, and that they do not sync it.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use two_node_ha_disk::effects;
use two_node_ha_dqlite::{
    NodeInfo, Role, format_cluster, format_info, identity_trap, inspect, read_cluster, read_info,
};
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::Request;
use two_node_ha_planner::record::Epoch;

use super::bench::{Bench, Node, Running};
use super::raft;
use crate::gate;
use crate::store::{Record, journal_or_new};

/// What a program says when it refuses; the outer error is the power's.
type Said = io::Result<Result<(), String>>;

pub fn control_socket(node: &Node) -> PathBuf {
    node.state(Database::K8sd).join("control.socket")
}

/// systemd starts a gated service.
pub fn start(bench: &Bench, index: usize, service: &str) -> Said {
    let node = &bench.nodes[index];
    if !node.paths.token().exists() || node.running.borrow().contains_key(service) {
        return Ok(Ok(()));
    }
    let mut running = Running {
        opened: None,
        voter: false,
    };
    if let Some(database) = Database::ALL.into_iter().find(|d| d.name() == service) {
        if !bench.gates_open.get() && !gate_opens(node, database) {
            return Ok(Ok(()));
        }
        in_its_place(bench, index, database);
        let state = node.state(database);
        // A database writes as soon as it starts.
        bench.takes_changes(index, &state)?;
        if database == Database::K8sd {
            if let Err(why) = consume_bundle(&state)? {
                return Ok(Err(why));
            }
            let socket = control_socket(node);
            let _ = fs::remove_file(&socket);
            drop(UnixListener::bind(socket).unwrap());
        }
        running.opened = node.inode(database);
        running.voter = match open(bench, index, database) {
            Ok(voter) => voter,
            Err(why) => return Ok(Err(why)),
        };
        let patch = state.join("patch.global.sql");
        if running.voter && patch.exists() {
            let text = fs::read_to_string(&patch).unwrap();
            if !text.lines().all(|line| line.ends_with(';')) {
                return Ok(Err("syntax error in patch.global.sql".into()));
            }
            fs::remove_file(patch).unwrap();
        }
    }
    node.running.borrow_mut().insert(service.into(), running);
    Ok(Ok(()))
}

/// What the gate's own command says at the very start of the service.
fn gate_opens(node: &Node, database: Database) -> bool {
    let state = match database {
        Database::K8sDqlite => &node.config.k8s.k8s_dqlite_dir,
        Database::K8sd => &node.config.k8s.k8sd_dir,
    };
    let minor = Some(node.config.volume.minor);
    let mut view = gate::look(&node.paths, Some(state), minor).unwrap();
    view.held = is_held(node);
    view.judge().is_ok()
}

/// What must hold where a database starts, whoever has started it.
fn in_its_place(bench: &Bench, index: usize, database: Database) {
    let node = &bench.nodes[index];
    let on_volume = fs::canonicalize(node.state(database))
        .is_ok_and(|state| state.starts_with(node.paths.mount_point(&node.config)));
    let held = is_held(node);
    if on_volume {
        assert!(
            held,
            "I8: {database} starts on the volume, and nobody holds the role on {}",
            node.name
        );
    } else {
        assert_ne!(
            bench.volume_on.get(),
            Some(index),
            "I2: {database} starts on {}'s own disk beside the volume, which is mounted there",
            node.name
        );
        assert!(
            !held,
            "I2: {database} starts on {0}'s own disk, and {0} holds the voter's role",
            node.name
        );
    }
}

/// The failover unit's process has the lock until it is asked to stop.
fn is_held(node: &Node) -> bool {
    let shared = node.shared.borrow();
    shared
        .as_ref()
        .is_some_and(|s| s.request() == Request::Hold)
}

/// I8: a spare beside which a voter starts was made for its epoch.
fn spare_of_this_epoch(bench: &Bench, index: usize, database: Database) {
    let [node, other] = [&bench.nodes[index], &bench.nodes[Bench::other(index)]];
    let runs = other.running.borrow().contains_key(database.name());
    if !runs || !bench.alive(Bench::other(index)) {
        return;
    }
    let epoch = Epoch::read(&node.paths.epoch(&node.config))
        .unwrap()
        .unwrap();
    let journal = journal_or_new(&other.paths.journal(), other.name).unwrap();
    assert_eq!(
        journal.spare_epoch.get(&database),
        Some(&epoch.epoch),
        "I8: the voter of {database} starts beside a spare of another epoch on {}",
        other.name
    );
}

/// dqlite opens its directory; whether as a voter.
fn open(bench: &Bench, index: usize, database: Database) -> Result<bool, String> {
    let node = &bench.nodes[index];
    let raft = raft_directory(database, &node.state(database));
    let found = inspect(&raft).map_err(|error| error.to_string())?;
    if let Some(trap) = identity_trap(&found) {
        panic!("I6: {database} starts on {}: {trap}", raft.display());
    }
    let log = raft::load(&raft)?;
    let me = read_info(&raft).unwrap().unwrap();
    if log.voter() != Some(me.id) {
        return Ok(false);
    }
    assert_eq!(
        log.writes(),
        bench.acknowledged(database),
        "I9: {database} starts on {} without some acknowledged writes",
        node.name
    );
    let other = &bench.nodes[Bench::other(index)];
    let second = other
        .running
        .borrow()
        .get(database.name())
        .is_some_and(|r| r.voter);
    assert!(
        !(second && bench.alive(Bench::other(index))),
        "I8: two voters of {database}"
    );
    assert_eq!(
        bench.volume_on.get(),
        Some(index),
        "I2: a voter of {database} starts off the volume"
    );
    spare_of_this_epoch(bench, index, database);
    raft::start(&raft);
    Ok(true)
}

/// k8sd's start on a directory with `recovery_db.tar.gz` (k8s-snap, cluster_recover.go): crash
/// window and all.
fn consume_bundle(state: &Path) -> Said {
    let bundle = state.join("recovery_db.tar.gz");
    let (fresh, database) = (state.join("recovery_db"), state.join("database"));
    if !bundle.exists() {
        return Ok(Ok(()));
    }
    if let Err(why) = unpack(&bundle, &fresh)? {
        return Ok(Err(why));
    }
    let Ok(Some(me)) = read_info(&database) else {
        return Ok(Err("database recovery failed: no info.yaml".into()));
    };
    let members = fs::read(fresh.join("recovery.yaml"));
    if members.is_err() {
        return Ok(Ok(()));
    }
    raft::write(&fresh.join("info.yaml"), format_info(&me).as_bytes())?;
    effects::remove_tree(&database)?;
    effects::remove_file(&fresh.join("recovery.yaml"))?;
    effects::rename(&fresh, &database)?;
    effects::remove_file(&bundle)?;
    Ok(Ok(()))
}

/// Whether a database runs here and answers: only a voter does, where the other may be away.
pub fn answers(node: &Node, database: Database) -> Result<(), String> {
    let running = node.running.borrow();
    if running.get(database.name()).is_some_and(|r| r.voter) {
        Ok(())
    } else {
        Err("connection refused".into())
    }
}

/// Whether the log says that this node is the only voter.
pub fn sole_voter(node: &Node, database: Database) -> Result<bool, String> {
    let raft = raft_directory(database, &node.state(database));
    let me = read_info(&raft).unwrap().unwrap();
    Ok(raft::load(&raft)?.voter() == Some(me.id))
}

/// `k8sd cluster-recover`, of one database.
pub fn cluster_recover(bench: &Bench, index: usize, args: &[&str]) -> Said {
    let node = &bench.nodes[index];
    assert!(args.contains(&"--non-interactive"));
    let database = if args.contains(&"--skip-k8sd") {
        Database::K8sDqlite
    } else {
        assert!(args.contains(&"--skip-k8s-dqlite"));
        Database::K8sd
    };
    for (other, node) in bench.nodes.iter().enumerate() {
        if bench.alive(other) && node.running.borrow().contains_key(database.name()) {
            return Ok(Err(format!("some {database} services are still running")));
        }
    }
    let state = node.state(database);
    let raft = raft_directory(database, &state);
    let members = match read_cluster(&raft) {
        Ok(Some(members)) => members,
        other => return Ok(Err(format!("could not read cluster.yaml: {other:?}"))),
    };
    let voters = members.iter().filter(|m| m.role == Role::Voter);
    let [voter] = voters.collect::<Vec<_>>()[..] else {
        panic!("a recovery with other than one voter: {members:?}");
    };
    match database {
        Database::K8sDqlite => recover_k8s_dqlite(node, &raft, &members, voter.id),
        Database::K8sd => recover_k8sd(&state, &members, voter),
    }
}

fn recover_k8s_dqlite(node: &Node, raft: &Path, members: &[NodeInfo], voter: u64) -> Said {
    let common = node.paths.at(&node.config.k8s.recovery_dir);
    let stamp = stamp();
    let tarball = |what: &str| common.join(format!("recovery-k8s-dqlite-{stamp}-{what}.tar.gz"));
    let without = ["info.yaml", "k8s-dqlite.sock", "cluster.key", "cluster.crt"];
    pack(&tarball("pre-recovery"), raft, &without)?;
    if let Err(why) = raft::recover(raft, members, voter)? {
        return Ok(Err(why));
    }
    pack(&tarball("post-recovery"), raft, &without)?;
    Ok(Ok(()))
}

fn recover_k8sd(state: &Path, members: &[NodeInfo], voter: &NodeInfo) -> Said {
    if fs::symlink_metadata(state.join("control.socket")).is_ok() {
        return Ok(Err("the control socket exists".into()));
    }
    let trusted = fs::read_dir(state.join("truststore")).unwrap();
    for entry in trusted {
        if fs::metadata(entry.unwrap().path()).unwrap().len() != 2 {
            return Ok(Err("a certificate of the trust store cannot be read".into()));
        }
    }
    let database = state.join("database");
    let archive = state.join(format!("db_backup.{}.tar.gz", stamp()));
    pack(&archive, &database, &[])?;
    if let Err(why) = raft::recover(&database, members, voter.id)? {
        return Ok(Err(why));
    }
    let cluster = format_cluster(members);
    for (name, text) in [
        ("info.yaml", &format_info(voter)),
        ("cluster.yaml", &cluster),
        ("recovery.yaml", &cluster),
    ] {
        raft::write(&database.join(name), text.as_bytes())?;
    }
    pack(&state.join("recovery_db.tar.gz"), &database, &["info.yaml"])?;
    let daemon = fs::read(state.join("daemon.yaml"))?;
    raft::write(&state.join("daemon.yaml"), &daemon)?;
    for entry in fs::read_dir(state.join("truststore")).unwrap() {
        raft::write(&entry.unwrap().path(), b"x\n")?;
    }
    raft::write(
        &state.join("patch.global.sql"),
        b"UPDATE one;\nUPDATE two;\n",
    )?;
    Ok(Ok(()))
}

/// Archives are named to the second; a count is as good.
fn stamp() -> u64 {
    thread_local!(static COUNT: Cell<u64> = const { Cell::new(1_000_000) });
    COUNT.set(COUNT.get() + 1);
    COUNT.get()
}

fn pack(tarball: &Path, directory: &Path, without: &[&str]) -> io::Result<()> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gz);
    let mut names: Vec<_> = fs::read_dir(directory)?
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().unwrap().is_socket())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !without.contains(&name.as_str()))
        .collect();
    names.sort();
    for name in names {
        builder.append_path_with_name(directory.join(&name), &name)?;
    }
    raft::write(tarball, &builder.into_inner()?.finish()?)
}

fn unpack(tarball: &Path, into: &Path) -> Said {
    if !into.exists() {
        effects::make_directory(into, 0o755)?;
    }
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(tarball)?));
    for entry in archive.entries()? {
        let Ok(mut entry) = entry else {
            return Ok(Err("database recovery failed: unexpected EOF".into()));
        };
        let mut content = Vec::new();
        if entry.read_to_end(&mut content).is_err() {
            return Ok(Err("database recovery failed: unexpected EOF".into()));
        }
        raft::write(&into.join(entry.path()?), &content)?;
    }
    Ok(Ok(()))
}
