//! The way down as systemd runs it: the real program, below a root in which hardly anything works.

#![allow(clippy::unwrap_used)] // A test that panics has failed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const STATE: &str = "/var/snap/k8s/common/var/lib/k8s-dqlite";

/// The voter's node, its k8s-dqlite with a file on the volume open, and a line of nonsense in the
/// TOML.
struct Node {
    dir: tempfile::TempDir,
    store: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.store.kill();
        let _ = self.store.wait();
    }
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "etc",
            "bin",
            "proc/self",
            "run/two-node-ha",
            "mnt/drbd0/k8s-dqlite",
            "var/snap/k8s/common/var/lib",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("etc/two-node-ha.toml"), "[volume\nnonsense").unwrap();
        fs::write(
            at("proc/self/mountinfo"),
            "40 21 147:0 / /mnt/drbd0 rw - ext4 /dev/drbd0 rw\n",
        )
        .unwrap();
        symlink(at("mnt/drbd0/k8s-dqlite"), at(&STATE[1..])).unwrap();
        fs::write(at("run/two-node-ha/k8s.allowed"), "").unwrap();
        symlink("/bin/sh", at("bin/k8s-dqlite")).unwrap();
        let store = Command::new(at("bin/k8s-dqlite"))
            .args(["-c", "trap '' TERM INT HUP QUIT; read never"])
            .stdin(Stdio::piped())
            .stdout(File::create(at("mnt/drbd0/k8s-dqlite/open-1")).unwrap())
            .spawn()
            .unwrap();
        let pid = store.id().to_string();
        symlink(format!("/proc/{pid}"), at("proc").join(pid)).unwrap();
        Self { dir, store }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_two-node-ha"));
        command
            .args(args)
            .env_clear()
            .env("TWO_NODE_HA_ROOT", self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn token(&self) -> bool {
        self.at("run/two-node-ha/k8s.allowed").exists()
    }

    fn store_runs(&mut self) -> bool {
        self.store.try_wait().unwrap().is_none()
    }

    fn gate(&self) -> Output {
        let args = ["gate", "--database", STATE, "--minor", "0"];
        self.command(&args).output().unwrap()
    }
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn with_a_broken_toml_a_release_still_takes_the_token_away_and_kills_the_database() {
    let mut node = Node::new();
    let output = node.command(&["failover", "--release"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!node.token());
    assert!(!node.store_runs());
}

#[test]
fn a_stop_ends_with_the_database_dead_although_the_agent_talks_nonsense() {
    let mut node = Node::new();
    let agent = UnixListener::bind(node.at("run/two-node-ha/agent.sock")).unwrap();
    thread::spawn(move || {
        for stream in agent.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            let _ = stream.write_all(b"{\"response\":\"working\"}\n");
            if asked.contains("hold") {
                // The release comes on the same connection.
                let _ = BufReader::new(&stream).read_line(&mut asked);
            }
            let _ = stream.write_all(b"nonsense\n");
        }
    });
    let mut holder = node
        .command(&["failover"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the role is never held", || node.gate().status.success());
    assert!(node.store_runs() && node.token());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(holder.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    wait_for("the gate stays open", || !node.gate().status.success());
    wait_for("it does not end", || holder.try_wait().unwrap().is_some());
    let output = holder.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!node.store_runs() && !node.token());
    assert!(
        said(&output).contains("without the agent"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_holder_that_is_killed_leaves_the_gate_shut() {
    let node = Node::new();
    let shut = node.gate();
    assert_eq!(shut.status.code(), Some(1));
    assert!(said(&shut).contains("does not hold the voter's role"));
    let mut holder = node
        .command(&["failover"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the role is never held", || node.gate().status.success());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(node.gate().status.code(), Some(1));
}

#[test]
fn a_gate_that_sees_nothing_stays_shut() {
    let node = Node::new();
    fs::remove_file(node.at("proc/self/mountinfo")).unwrap();
    let shut = node.gate();
    assert_eq!(shut.status.code(), Some(1), "{}", said(&shut));
    assert!(said(&shut).contains("cannot be seen"), "{}", said(&shut));
}
