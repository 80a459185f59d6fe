//! What the tests of single steps stand on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use two_node_ha_command::Interrupt;
use two_node_ha_command::scripted::Scripted;
use two_node_ha_dqlite::{NodeInfo, Role, write_cluster, write_info};
use two_node_ha_node::Paths;
use two_node_ha_planner::record::{Epoch, Journal};
use two_node_ha_planner::{Database, Step, Target};
use two_node_ha_protocol::peer::{Request, Response};

use super::{Actor, Error};
use crate::datastore::Datastore;
use crate::peer::client;
use crate::peer::client::Peer;
use crate::store::Record;
use crate::systemd::UnitState;
use crate::systemd_as_told::AsTold;

pub use two_node_ha_planner::world::config;

/// DRBD 8.4 with the resource r0 in that state.
pub fn drbd(
    role: &str,
    suspended: &str,
    connection: &str,
    replication: &str,
    peer_disk: &str,
) -> Scripted {
    let events = format!(
        "exists resource name:r0 role:{role} suspended:{suspended}\n\
         exists connection name:r0 peer-node-id:0 conn-name:peer connection:{connection} role:Unknown\n\
         exists device name:r0 volume:0 minor:0 disk:UpToDate\n\
         exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 \
         replication:{replication} peer-disk:{peer_disk}\nexists -\n"
    );
    Scripted::new()
        .file("/sys/module/drbd/version", "8.4.11\n")
        .file("/proc/drbd", "version: 8.4.11 (api:1/proto:86-101)\n")
        .answer("drbdsetup events2 --now", 0, events)
}

pub const WRITABLE: &str = "40 21 147:0 / /mnt/drbd0 rw,relatime - ext4 /dev/drbd0 rw\n";
pub const READ_ONLY: &str = "40 21 147:0 / /mnt/drbd0 ro,relatime - ext4 /dev/drbd0 rw\n";
pub const FOREIGN: &str = "40 21 0:42 / /mnt/drbd0 rw,relatime - tmpfs tmpfs rw\n";
pub const NOTHING: &str = "";

/// Neither the peer nor the datastore is asked anything.
#[derive(Debug)]
pub struct Nobody;

impl Peer for Nobody {
    fn ask(&self, _: &Request, _: Duration) -> Result<Response, client::Error> {
        panic!("nobody asked for it")
    }

    fn fetch(&self, _: &Request, _: &Path, _: Duration) -> Result<Response, client::Error> {
        panic!("nobody asked for it")
    }
}

impl Datastore for Nobody {
    fn read(&self, _: Duration) -> Result<(), String> {
        panic!("nobody asked for it")
    }

    fn k8sd(&self, _: Duration) -> Result<(), String> {
        panic!("nobody asked for it")
    }

    fn sole_voter(&self, _: Database) -> Result<bool, String> {
        panic!("nobody asked for it")
    }

    fn api(&self, _: Duration) -> Result<(), String> {
        panic!("nobody asked for it")
    }
}

/// haone, below a scratch directory.
pub struct Node {
    pub actor: Actor,
    pub systemd: AsTold,
    _dir: tempfile::TempDir,
}

impl Node {
    /// haone, whose links lead to its spare directories, with these mounts.
    pub fn new(mounts: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::rooted(dir.path().to_path_buf());
        let config = Arc::new(config());
        let systemd = AsTold::default();
        let actor = Actor {
            node: config.this_node().unwrap().clone(),
            peer: config.peer_node().unwrap().clone(),
            config,
            paths,
            systemd: Box::new(systemd.clone()),
            runner: Box::new(Scripted::new()),
            client: Box::new(Nobody),
            datastore: Box::new(Nobody),
            journal: Journal::new("haone"),
            interrupt: Interrupt::default(),
        };
        let node = Self {
            actor,
            systemd,
            _dir: dir,
        };
        for path in [
            node.actor.paths.run(),
            node.actor.paths.mount_point(&node.actor.config),
        ] {
            fs::create_dir_all(path).unwrap();
        }
        for database in Database::ALL {
            for directory in [
                node.actor.paths.spare(database),
                node.actor.paths.on_volume(&node.actor.config, database),
            ] {
                let raft = two_node_ha_node::database::raft_directory(database, &directory);
                fs::create_dir_all(&raft).unwrap();
                let member = NodeInfo {
                    id: 7_213_556_120_004_377_911,
                    address: "10.0.0.1:9000".into(),
                    role: Role::Spare,
                };
                write_info(&raft, &member).unwrap();
                write_cluster(&raft, &[member]).unwrap();
                // raft's own, of a database that has been started: format, version, term and vote.
                let metadata = [1_u64, 1, 1, 0].map(u64::to_le_bytes).concat();
                fs::write(raft.join("metadata1"), metadata).unwrap();
            }
            node.lead(database, Target::Spare);
        }
        node.mounted(mounts);
        node
    }

    pub fn mounted(&self, mounts: &str) {
        let list = self.actor.paths.at(Path::new("/proc/self/mountinfo"));
        fs::create_dir_all(list.parent().unwrap()).unwrap();
        fs::write(list, mounts).unwrap();
    }

    pub fn lead(&self, database: Database, to: Target) {
        let Actor { paths, config, .. } = &self.actor;
        let link = paths.state_directory(config, database);
        let directory = match to {
            Target::Volume => paths.on_volume(config, database),
            Target::Spare => paths.spare(database),
        };
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(directory, link).unwrap();
    }

    pub fn lead_all(&self, to: Target) {
        for database in Database::ALL {
            self.lead(database, to);
        }
    }

    /// haone, in the middle of taking hatwo's volume over.
    pub fn taking_over() -> Self {
        let node = Self::new(WRITABLE);
        node.lead_all(Target::Volume);
        node.record(&Epoch::first("hatwo").taken_over_by("haone"));
        let Actor { paths, config, .. } = &node.actor;
        fs::create_dir_all(paths.at(&config.k8s.recovery_dir)).unwrap();
        node
    }

    pub fn spare(&self, database: Database) -> PathBuf {
        self.actor.paths.spare(database)
    }

    pub fn volume(&self, database: Database) -> PathBuf {
        self.actor.paths.on_volume(&self.actor.config, database)
    }

    /// The recorded epoch.
    pub fn recorded(&self) -> Epoch {
        let path = self.actor.paths.epoch(&self.actor.config);
        Epoch::read(&path).unwrap().unwrap()
    }

    pub fn record(&self, epoch: &Epoch) {
        epoch
            .write(&self.actor.paths.epoch(&self.actor.config))
            .unwrap();
    }

    pub fn give_token(&self) {
        fs::write(self.actor.paths.token(), "").unwrap();
    }

    pub fn set(&self, service: &str, state: UnitState) {
        let unit = self.actor.config.k8s.unit(service);
        self.systemd.states.borrow_mut().insert(unit, state);
    }

    /// Why the step is refused by its guard; what is on the disk, the journal aside, is as it was.
    pub fn refused(&mut self, step: &Step) -> String {
        let before = self.files();
        let error = self.actor.take(step, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Guard(_)), "{step:?}: {error}");
        assert_eq!(self.files(), before, "{step:?} has changed something");
        assert!(self.systemd.started.borrow().is_empty(), "{step:?}");
        error.to_string()
    }

    /// Every file and link below the root but the journal.
    pub fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut left = vec![self.actor.paths.root().to_path_buf()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                if meta.is_dir() {
                    left.push(path);
                } else if path != self.actor.paths.journal() {
                    let to = fs::read_link(&path).ok();
                    all.push(format!("{} {to:?}", path.display()));
                }
            }
        }
        all.sort();
        all
    }
}

/// Every file below a directory, by its path there, with what it holds.
pub fn contents(directory: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let below = contents(&entry.path()).into_iter();
            all.extend(below.map(|(path, text)| (format!("{name}/{path}"), text)));
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            all.insert(name, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    all
}

/// The names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
