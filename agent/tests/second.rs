//! A second one of what a node has once, started by hand beside the first: it changes nothing, and
//! says who is there. The real programs.
#![allow(clippy::unwrap_used)] // A test that panics has failed.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use two_node_ha_sample::FENCED;

/// A node with a configuration, a token, and a bus that nobody answers on: an agent that has begun
/// waits there.
struct Node {
    dir: tempfile::TempDir,
    _bus: UnixListener,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["etc", "run/two-node-ha", "proc/self", "var/lib"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("etc/two-node-ha.toml"), FENCED).unwrap();
        fs::write(at("proc/self/mountinfo"), "").unwrap();
        fs::write(at("run/two-node-ha/k8s.allowed"), "").unwrap();
        let bus = UnixListener::bind(at("bus")).unwrap();
        Self { dir, _bus: bus }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_two-node-ha"));
        let bus = format!("unix:path={}", self.at("bus").display());
        command
            .arg(name)
            .env_clear()
            .env("TWO_NODE_HA_ROOT", self.dir.path())
            .env("TWO_NODE_HA_NODE", "alpha")
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus)
            .stdin(Stdio::null());
        command
    }

    /// Starts it, and waits until it has the lock.
    fn first(&self, name: &str, lock: &str) -> Running {
        let running = Running(
            self.command(name)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let pid = running.0.id().to_string();
        let lock = self.at(&format!("run/two-node-ha/{lock}"));
        let until = Instant::now() + Duration::from_secs(30);
        while fs::read_to_string(&lock).unwrap_or_default().trim() != pid {
            assert!(Instant::now() < until, "{name} does not take its lock");
            thread::sleep(Duration::from_millis(10));
        }
        running
    }

    /// Starts one that is to end by itself.
    fn second(&self, name: &str) -> (Option<i32>, String) {
        let mut command = self.command(name);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut second = Running(command.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(10);
        while second.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "a second {name} goes on");
            thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        let mut stderr = second.0.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        (second.0.try_wait().unwrap().unwrap().code(), said)
    }
}

/// Ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_agent_refuses_before_it_touches_the_socket_and_names_the_one_that_runs() {
    let node = Node::new();
    // The first one's, as it stands.
    let socket = node.at("run/two-node-ha/agent.sock");
    let _listens = UnixListener::bind(&socket).unwrap();
    let before = fs::symlink_metadata(&socket).unwrap();

    let first = node.first("agent", "agent.lock");
    let pid = first.0.id().to_string();
    let (code, said) = node.second("agent");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("process {pid}")), "{said}");
    assert!(said.contains(&format!("`kill {pid}`")), "{said}");
    let after = fs::symlink_metadata(&socket).unwrap();
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());

    // However the first one ends, the next begins.
    drop(first);
    node.first("agent", "agent.lock");
}

#[test]
fn a_second_holder_of_the_role_leaves_the_first_ones_token_and_databases_alone() {
    let node = Node::new();
    let _agent = UnixListener::bind(node.at("run/two-node-ha/agent.sock")).unwrap();
    let first = node.first("failover", "holder");
    let (code, said) = node.second("failover");
    assert_eq!(code, Some(1), "{said}");
    let who = format!("process {}", first.0.id());
    assert!(said.contains(&who), "{said}");
    assert!(
        node.at("run/two-node-ha/k8s.allowed").exists(),
        "the token of the role that the first one holds is gone: {said}"
    );
}

#[test]
fn a_second_holder_that_nobody_refused_still_goes_the_way_down() {
    let node = Node::new();
    // Not lockable: nobody is known to hold the role.
    fs::create_dir(node.at("run/two-node-ha/holder")).unwrap();
    let (code, said) = node.second("failover");
    assert_eq!(code, Some(1), "{said}");
    assert!(!node.at("run/two-node-ha/k8s.allowed").exists(), "{said}");
}
