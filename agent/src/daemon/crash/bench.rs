//! Two nodes on one bench: their disks below a scratch directory, the volume that is on one of
//! them at a time, and what runs on them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use two_node_ha_command::Interrupt;
use two_node_ha_config::{Config, Host, Recovery, parse};
use two_node_ha_disk::power;
use two_node_ha_dqlite::{BOOTSTRAP_ID, NodeInfo, Role, write_cluster, write_info};
use two_node_ha_node::Paths;
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;

use super::doors::Door;
use super::raft;
use super::refuse::Refusing;
use crate::act::Actor;
use crate::daemon::shared::Shared;
use crate::daemon::work::{Job, Jobs, Worker};
use crate::daemon::{Daemon, Doors, Event};
use crate::store::journal_or_new;

const TOML: &str = r#"
node = [{ name = "haone", address = "10.0.0.1" }, { name = "hatwo", address = "10.0.0.2" }]
volume.backing_file = "/opt/drbd0-backstore"
fencing.device = [{ node = "haone", agent = "fence_lab" }, { node = "hatwo", agent = "fence_lab" }]
agent.keep_backups = 2
"#;

pub const NAMES: [&str; 2] = ["haone", "hatwo"];
const IDS: [u64; 2] = [BOOTSTRAP_ID, 7_213_556_120_004_377_911];

/// The cluster's members, as `cluster.yaml` has them.
pub fn members(database: Database) -> [NodeInfo; 2] {
    let port = match database {
        Database::K8sd => 6400,
        Database::K8sDqlite => 9000,
    };
    [0, 1].map(|of| NodeInfo {
        id: IDS[of],
        address: format!("10.0.0.{}:{port}", of + 1),
        role: if of == 0 { Role::Voter } else { Role::Spare },
    })
}

/// A service that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The directory that it opened, by device and inode.
    pub opened: Option<(u64, u64)>,
    /// Whether it accepts writes.
    pub voter: bool,
}

pub struct Node {
    pub name: &'static str,
    pub config: Arc<Config>,
    pub paths: Paths,
    pub on: Cell<bool>,
    /// By service.
    pub running: RefCell<BTreeMap<String, Running>>,
    pub daemon: RefCell<Option<Daemon>>,
    /// Its eyes and hands, which are borrowed while they are at work, and the jobs that wait for them.
    pub worker: RefCell<Option<Worker>>,
    pub jobs: Rc<RefCell<VecDeque<Job>>>,
    /// How long the agent has run: it goes on only where nothing happens before its time to look again.
    pub clock: Rc<Cell<Duration>>,
    pub shared: RefCell<Option<Arc<Shared>>>,
    pub events: RefCell<Option<Sender<Event>>>,
    /// Whether DRBD holds its writes back for an answer of fence-peer, and whether it has been
    /// disconnected (StandAlone).
    pub suspended: Cell<bool>,
    pub alone: Cell<bool>,
    /// The failover unit: its hold, and its end of the connection.
    pub held: RefCell<Option<(u64, UnixStream)>>,
}

pub struct Bench {
    pub nodes: [Node; 2],
    pub volume_on: Cell<Option<usize>>,
    /// Acknowledged writes.
    pub acknowledged: RefCell<BTreeMap<Database, u64>>,
    /// How often k8s-dqlite was asked to stop while it was the voter.
    pub handovers: Cell<u64>,
    /// Whether Pacemaker takes its time between the mount and the start of the failover unit.
    pub slow: Cell<bool>,
    /// Whether each recovery is cut off by a release.
    pub released_in_recovery: Cell<bool>,
    /// Whether the gates let everybody through: what they are for must then be noticed.
    pub gates_open: Cell<bool>,
    /// Whether an agent that pins the volume is not killed for it, and wakes.
    pub pins_fail: Cell<bool>,
    /// The file systems that take no change.
    pub refusing: RefCell<Option<Rc<Refusing>>>,
    pub dir: PathBuf,
}

/// Puts the jobs aside, so that the bench has them done one after the other on its own thread: the same
/// in every run, with the agent's loop free meanwhile, as it is beside the real worker.
struct Inline(Rc<RefCell<VecDeque<Job>>>);

impl Jobs for Inline {
    fn put(&mut self, job: Job) {
        self.0.borrow_mut().push_back(job);
    }
}

/// A bench that is cleared away at the end; what is on it knows each other, and would not go.
pub struct Cleared {
    bench: Rc<Bench>,
    _dir: tempfile::TempDir,
}

impl std::ops::Deref for Cleared {
    type Target = Rc<Bench>;

    fn deref(&self) -> &Rc<Bench> {
        &self.bench
    }
}

impl Drop for Cleared {
    fn drop(&mut self) {
        for node in &self.bench.nodes {
            // In use where a test fails.
            if let Ok(mut daemon) = node.daemon.try_borrow_mut() {
                *daemon = None;
            }
            if let Ok(mut worker) = node.worker.try_borrow_mut() {
                *worker = None;
            }
        }
    }
}

impl Bench {
    /// Two running members of a cluster on their first day, haone the voter, who take over this way.
    pub fn first_day(recovery: Recovery) -> Cleared {
        // In memory where that is to be had: thousands of lives are lived here.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.unwrap();
        let node = |index: usize| {
            let mut node = Node::new(&dir.path().join(NAMES[index]), NAMES[index]);
            Arc::make_mut(&mut node.config).k8s.recovery = recovery;
            node
        };
        let bench = Rc::new(Self {
            nodes: [node(0), node(1)],
            volume_on: Cell::new(None),
            acknowledged: RefCell::default(),
            handovers: Cell::new(0),
            slow: Cell::new(false),
            released_in_recovery: Cell::new(false),
            gates_open: Cell::new(false),
            pins_fail: Cell::new(false),
            refusing: RefCell::default(),
            dir: dir.path().to_path_buf(),
        });
        fs::create_dir(bench.volume()).unwrap();
        for (index, node) in bench.nodes.iter().enumerate() {
            node.found(index);
            node.on.set(true);
        }
        Cleared { bench, _dir: dir }
    }

    /// Where the volume is while nobody has mounted it.
    pub fn volume(&self) -> PathBuf {
        self.dir.join("volume")
    }

    /// Whether a node runs; the power may just have gone.
    pub fn alive(&self, index: usize) -> bool {
        self.nodes[index].on.get() && power::off().is_none_or(|(hit, _)| hit != index)
    }

    pub fn other(index: usize) -> usize {
        1 - index
    }

    /// The node gets power: nothing runs, nothing is mounted, `/run` is empty; then the agent
    /// starts.
    pub fn boot(self: &Rc<Self>, index: usize) {
        let node = &self.nodes[index];
        node.running.borrow_mut().clear();
        let run = node.paths.run();
        let _ = fs::remove_dir_all(&run);
        fs::create_dir_all(&run).unwrap();
        node.on.set(true);
        self.start_agent(index);
    }

    /// The agent starts, as after its unit was restarted.
    pub fn start_agent(self: &Rc<Self>, index: usize) {
        let node = &self.nodes[index];
        let (sender, events) = channel();
        let shared = Arc::new(Shared::new(
            Arc::clone(&node.config),
            node.paths.clone(),
            node.config.this_node().unwrap().clone(),
            sender.clone(),
        ));
        let door = || Box::new(Door::new(self, index));
        let interrupt = Interrupt::default();
        let made = power::of_node(index, || {
            two_node_ha_disk::private_directory(&node.paths.state())?;
            Ok::<_, std::io::Error>(())
        });
        let Ok(()) = made else { return };
        let actor = Actor {
            config: Arc::clone(&node.config),
            paths: node.paths.clone(),
            node: node.config.this_node().unwrap().clone(),
            peer: node.config.peer_node().unwrap().clone(),
            systemd: door(),
            runner: door(),
            client: door(),
            interrupt: interrupt.clone(),
            datastore: door(),
            journal: journal_or_new(&node.paths.journal(), node.name).unwrap(),
        };
        let clock = Rc::clone(&node.clock);
        let clock = Box::new(move || clock.get());
        let doors = Doors {
            questions: door(),
            jobs: Box::new(Inline(Rc::clone(&node.jobs))),
            ports: door(),
            interrupt,
            clock,
        };
        node.jobs.borrow_mut().clear();
        let config = Arc::clone(&node.config);
        let daemon = Daemon::new(config, Arc::clone(&shared), doors, events).unwrap();
        *node.daemon.borrow_mut() = Some(daemon);
        *node.worker.borrow_mut() = Some(Worker::new(actor, Arc::clone(&shared)));
        *node.shared.borrow_mut() = Some(shared);
        *node.events.borrow_mut() = Some(sender);
    }

    /// The node loses its power.
    pub fn power_off(&self, index: usize) {
        let node = &self.nodes[index];
        node.on.set(false);
        node.suspended.set(false);
        node.alone.set(false);
        node.running.borrow_mut().clear();
        *node.held.borrow_mut() = None;
        node.end_agent();
        *node.shared.borrow_mut() = None;
        *node.events.borrow_mut() = None;
        if self.volume_on.get() == Some(index) {
            self.unmount(index);
        }
    }

    pub fn mount(&self, index: usize) {
        assert_eq!(self.volume_on.get(), None);
        let node = &self.nodes[index];
        let point = node.paths.mount_point(&node.config);
        // Nothing may be hidden: a rename replaces an empty directory only.
        fs::rename(self.volume(), &point).unwrap();
        self.volume_on.set(Some(index));
        node.note_mounts(true);
    }

    pub fn unmount(&self, index: usize) {
        assert_eq!(self.volume_on.get(), Some(index));
        let node = &self.nodes[index];
        assert!(
            node.running.borrow().values().all(|r| r.opened.is_none()),
            "I1: a database runs on {} while the volume is unmounted",
            node.name
        );
        let point = node.paths.mount_point(&node.config);
        fs::rename(&point, self.volume()).unwrap();
        fs::create_dir(&point).unwrap();
        self.volume_on.set(None);
        node.note_mounts(false);
    }

    /// Somebody types `kill`: k8s-dqlite of this node, the voter, hands over to the other's and is
    /// started again by systemd, a spare on the volume.
    pub fn hand_over(&self, index: usize) {
        let database = Database::K8sDqlite;
        let [from, to] = [index, Self::other(index)];
        let raft = |of: usize| raft_directory(database, &self.nodes[of].state(database));
        let ids = [IDS[from], IDS[to]];
        raft::hand_over(&raft(from), &raft(to), &members(database), ids);
        for (of, voter) in [(from, false), (to, true)] {
            let mut running = self.nodes[of].running.borrow_mut();
            running.get_mut(database.name()).unwrap().voter = voter;
        }
        self.handovers.set(self.handovers.get() + 1);
    }

    /// The services that accept writes have accepted one more.
    pub fn write(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            if !self.alive(index) {
                continue;
            }
            for database in Database::ALL {
                let running = node.running.borrow().get(database.name()).cloned();
                let Some(Running {
                    opened,
                    voter: true,
                }) = running
                else {
                    continue;
                };
                let state = node.state(database);
                assert_eq!(
                    node.inode(database),
                    opened,
                    "I1: the directory of a running {database} on {} was exchanged",
                    node.name
                );
                if self.takes_changes(index, &state).is_err() {
                    // It is told so, and nothing is acknowledged.
                    continue;
                }
                let mut acknowledged = self.acknowledged.borrow_mut();
                let number = acknowledged.entry(database).or_default();
                *number += 1;
                raft::append(&raft_directory(database, &state), *number);
            }
        }
    }

    pub fn acknowledged(&self, database: Database) -> u64 {
        self.acknowledged
            .borrow()
            .get(&database)
            .copied()
            .unwrap_or(0)
    }
}

impl Node {
    fn new(root: &Path, name: &'static str) -> Self {
        let mut config = parse(TOML, "test.toml", Host::Node(name)).unwrap();
        // A fake answers at once or never.
        config.k8s.ready_timeout = Duration::ZERO;
        Self {
            name,
            config: Arc::new(config),
            paths: Paths::rooted(root.to_path_buf()),
            on: Cell::new(false),
            running: RefCell::default(),
            daemon: RefCell::default(),
            worker: RefCell::default(),
            jobs: Rc::default(),
            clock: Rc::default(),
            shared: RefCell::default(),
            events: RefCell::default(),
            suspended: Cell::new(false),
            alone: Cell::new(false),
            held: RefCell::default(),
        }
    }

    /// The agent's process is gone.
    pub fn end_agent(&self) {
        *self.daemon.borrow_mut() = None;
        *self.worker.borrow_mut() = None;
        self.jobs.borrow_mut().clear();
    }

    /// Whether the agent is in the middle of a job.
    pub fn at_work(&self) -> bool {
        self.worker.try_borrow_mut().is_err()
    }

    pub fn state(&self, database: Database) -> PathBuf {
        self.paths.state_directory(&self.config, database)
    }

    /// What stands where the link of a database leads.
    pub fn inode(&self, database: Database) -> Option<(u64, u64)> {
        let meta = fs::metadata(self.state(database)).ok()?;
        Some((meta.dev(), meta.ino()))
    }

    pub fn note_mounts(&self, volume: bool) {
        let list = self.paths.at(Path::new("/proc/self/mountinfo"));
        fs::create_dir_all(list.parent().unwrap()).unwrap();
        let line = "40 21 147:0 / /mnt/drbd0 rw,relatime - ext4 /dev/drbd0 rw\n";
        fs::write(list, if volume { line } else { "" }).unwrap();
    }

    /// A member of the cluster before this project came: real directories, services running.
    fn found(&self, index: usize) {
        self.note_mounts(false);
        for path in ["/mnt", "/run/two-node-ha", "/var/lib"] {
            fs::create_dir_all(self.paths.at(Path::new(path))).unwrap();
        }
        for database in Database::ALL {
            let state = self.state(database);
            let raft = raft_directory(database, &state);
            fs::create_dir_all(&raft).unwrap();
            let members = members(database);
            write_info(&raft, &members[index]).unwrap();
            write_cluster(&raft, &members).unwrap();
            for name in ["cluster.crt", "cluster.key"] {
                fs::write(state.join(name), "the cluster's").unwrap();
            }
            if index == 0 {
                // One entry, the founding.
                raft::found(&raft, &members);
                raft::start(&raft);
            }
        }
        let k8sd = self.state(Database::K8sd);
        for name in ["server.crt", "server.key"] {
            fs::write(k8sd.join(name), format!("{}\n", self.name)).unwrap();
        }
        let address = &members(Database::K8sd)[index].address;
        let daemon = format!("name: {}\naddress: {address}\nservers: {{}}\n", self.name);
        fs::write(k8sd.join("daemon.yaml"), daemon).unwrap();
        fs::create_dir(k8sd.join("truststore")).unwrap();
        for name in NAMES {
            fs::write(k8sd.join("truststore").join(format!("{name}.yaml")), "x\n").unwrap();
        }
        for service in &self.config.k8s.services {
            let database = Database::ALL.into_iter().find(|d| d.name() == service);
            let running = Running {
                opened: database.and_then(|d| self.inode(d)),
                voter: database.is_some() && index == 0,
            };
            self.running.borrow_mut().insert(service.clone(), running);
        }
    }
}
