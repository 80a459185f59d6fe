//! before-resync-target and after-resync-target: the real program, on a real backing file, with
//! `/proc/drbd` as 8.4 prints it.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use two_node_ha_config::{Host, parse};
use two_node_ha_copies::{Copies, Listing};
use two_node_ha_events::{Event, take_all};
use two_node_ha_sample::UNFENCED;

const HOOK: &str = env!("CARGO_BIN_EXE_two-node-ha-hook");

const ENV: [(&str, &str); 4] = [
    ("DRBD_RESOURCE", "r0"),
    ("DRBD_PEERS", "beta"),
    ("DRBD_MINOR", "0"),
    ("DRBD_VOLUME", "0"),
];

struct Machine {
    root: TempDir,
    config: String,
}

impl Machine {
    fn new(hooks: &str) -> Self {
        // Not /tmp: a share of a file system is left free, and a disk may be fuller than that.
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        for dir in ["var/lib", "etc", "dev", "srv", "proc", "sys/module/drbd"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let config = format!("{UNFENCED}[hooks]\n{hooks}\n");
        fs::write(root.path().join("etc/two-node-ha.toml"), &config).unwrap();
        fs::write(root.path().join("sys/module/drbd/version"), "8.4.11\n").unwrap();
        let machine = Self { root, config };
        machine.drbd("WFSyncUUID", "Outdated");
        fs::write(machine.backing(), vec![7; 1 << 20]).unwrap();
        machine
    }

    fn backing(&self) -> PathBuf {
        self.root.path().join("srv/drbd0")
    }

    fn drbd(&self, connection: &str, disk: &str) {
        let text = format!(
            "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 0\n 0: cs:{connection} \
             ro:Secondary/Primary ds:{disk}/UpToDate C r-----\n    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 \
             lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:1024\n"
        );
        fs::write(self.root.path().join("proc/drbd"), text).unwrap();
    }

    fn command(&self, handler: &str) -> Command {
        let mut command = Command::new(HOOK);
        command
            .arg(handler)
            .env_clear()
            .env("TWO_NODE_HA_ROOT", self.root.path())
            .envs(ENV)
            .stdin(Stdio::null());
        command
    }

    fn call(&self, handler: &str) -> Output {
        self.command(handler).output().unwrap()
    }

    /// Calls the handler, which must answer with the code and decide so; its reason.
    fn told(&self, handler: &str, code: i32, decision: &str) -> String {
        let output = self.call(handler);
        let event = self.events().pop().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", event.reason);
        assert_eq!(event.exit_code, code);
        assert_eq!(event.decision.as_str(), decision, "{}", event.reason);
        event.reason
    }

    fn events(&self) -> Vec<Event> {
        let dir = self.root.path().join("var/lib/two-node-ha/events");
        let taken = take_all(&dir).unwrap();
        taken
            .events
            .into_iter()
            .map(|pending| pending.event)
            .collect()
    }

    fn copies(&self) -> Listing {
        let config = parse(&self.config, "x", Host::Any).unwrap();
        Copies::open(&config, self.root.path()).list().unwrap()
    }
}

#[test]
fn a_resync_from_the_first_call_to_its_end() {
    let machine = Machine::new("");
    let reason = machine.told("before-resync-target", 0, "copied");
    let copy = machine.copies().copies.pop().unwrap();
    assert!(reason.contains(&copy.name), "{reason}");
    assert_eq!(fs::read(&copy.path).unwrap(), vec![7; 1 << 20]);
    assert_eq!(copy.record.disk_state.as_deref(), Some("Outdated"));

    // The link flaps in the middle of it.
    fs::write(machine.backing(), vec![8; 1 << 20]).unwrap();
    machine.drbd("WFSyncUUID", "Inconsistent");
    machine.told("before-resync-target", 0, "copy-kept");
    let reason = machine.told("after-resync-target", 0, "recorded");
    assert!(reason.contains("Inconsistent"), "{reason}");
    assert!(machine.copies().unfinished.is_some());

    machine.drbd("Connected", "UpToDate");
    let reason = machine.told("after-resync-target", 0, "recorded");
    assert!(reason.contains("UpToDate"), "{reason}");
    let listing = machine.copies();
    assert_eq!((listing.copies.len(), listing.unfinished), (1, None));
    assert_eq!(listing.copies[0].name, copy.name);

    machine.drbd("WFSyncUUID", "Outdated");
    machine.told("before-resync-target", 0, "copied");
    machine.drbd("Connected", "UpToDate");
    let reason = machine.told("after-resync-target", 0, "recorded");
    assert!(reason.contains(&copy.name), "{reason}");
    assert_eq!(machine.copies().copies.len(), 1);
}

#[test]
fn without_a_copy_the_policy_decides() {
    let machine = Machine::new("");
    fs::remove_file(machine.backing()).unwrap();
    let reason = machine.told("before-resync-target", 0, "no-copy");
    assert!(reason.contains("WITHOUT A COPY"), "{reason}");
    let machine = Machine::new("no_copy = \"refuse\"");
    fs::remove_file(machine.backing()).unwrap();
    let reason = machine.told("before-resync-target", 1, "refuse");
    assert!(reason.contains("drbdadm connect"), "{reason}");
    fs::write(machine.backing(), vec![7; 4096]).unwrap();
    machine.told("before-resync-target", 0, "copied");
}

#[test]
fn with_copies_turned_off_a_resync_proceeds_quietly() {
    let machine = Machine::new("copies = 0");
    let reason = machine.told("before-resync-target", 0, "proceed");
    assert!(reason.contains("hooks.copies = 0"), "{reason}");
}

#[test]
fn another_resource_and_another_minor_are_not_taken_for_the_volume() {
    for (variable, value) in [("DRBD_RESOURCE", "r1"), ("DRBD_MINOR", "5")] {
        let machine = Machine::new("no_copy = \"refuse\"");
        let mut command = machine.command("before-resync-target");
        let status = command.env(variable, value).status().unwrap();
        assert_eq!(status.code(), Some(1));
        let reason = machine.events().pop().unwrap().reason;
        assert!(reason.contains("is not the configured volume"), "{reason}");
        assert_eq!(machine.copies().copies, []);
    }
}

/// A lock that somebody holds makes the call wait; it must answer by itself before its deadline.
#[test]
fn while_another_copies_the_call_waits_and_answers_by_the_policy_in_time() {
    for (policy, code) in [("proceed", 0), ("refuse", 1)] {
        let machine = Machine::new(&format!("no_copy = \"{policy}\"\nresync_deadline = \"1s\""));
        let dir = machine.root.path().join("srv/.two-node-ha-copies");
        fs::create_dir(&dir).unwrap();
        let lock = dir.join("r0.lock");
        // One process, which tells by its output that it has the lock.
        let mut holder = Command::new("flock")
            .args(["--no-fork".as_ref(), lock.as_os_str(), "cat".as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        holder.stdin.as_mut().unwrap().write_all(b"held").unwrap();
        let mut word = [0; 4];
        holder
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut word)
            .unwrap();
        let began = Instant::now();
        let decision = if code == 0 { "no-copy" } else { "refuse" };
        let reason = machine.told("before-resync-target", code, decision);
        assert!(reason.contains("r0.lock"), "{reason}");
        assert!(began.elapsed() >= Duration::from_millis(800));
        holder.kill().unwrap();
        holder.wait().unwrap();
        machine.told("before-resync-target", 0, "copied");
    }
}

/// The backing file is a FIFO that nobody writes to: even opening it hangs.
#[test]
fn a_disk_that_hangs_is_answered_for_by_the_policy_at_the_deadline() {
    for (policy, code) in [("proceed", 0), ("refuse", 1)] {
        let machine = Machine::new(&format!("no_copy = \"{policy}\"\nresync_deadline = \"1s\""));
        // Reading the state hangs, which is as good.
        let proc = machine.root.path().join("proc/drbd");
        fs::remove_file(&proc).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&proc)
                .status()
                .unwrap()
                .success()
        );
        machine.told("before-resync-target", code, "deadline");
    }
}

/// More data than can be copied in the time that is left: given up early, or at the deadline, and
/// nothing of it is left listed. Where the disk is fast enough, it is a copy.
#[test]
fn a_copy_that_is_too_slow_is_never_half_there() {
    let machine = Machine::new("resync_deadline = \"1s\"");
    let size: u64 = 512 << 20;
    let file = File::create(machine.backing()).unwrap();
    file.set_len(size).unwrap();
    for at in (0..size).step_by(64 << 20) {
        file.write_all_at(&vec![9; 64 << 20], at).unwrap();
    }
    let output = machine.call("before-resync-target");
    assert_eq!(output.status.code(), Some(0));
    let event = machine.events().pop().unwrap();
    let listing = machine.copies();
    match event.decision.as_str() {
        "copied" => assert_eq!(listing.copies.len(), 1),
        "no-copy" => assert_eq!((listing.copies.len(), listing.leftovers.len()), (0, 0)),
        "deadline" => assert_eq!(listing.copies.len(), 0),
        other => panic!("{other}: {}", event.reason),
    }
    println!("{}: {}", event.decision, event.reason);
}

#[test]
fn a_handler_that_dies_in_the_middle_leaves_no_copy_and_the_next_one_makes_it() {
    let machine = Machine::new("");
    fs::write(machine.backing(), vec![7; 64 << 20]).unwrap();
    let mut child = machine.command("before-resync-target").spawn().unwrap();
    let dir = machine.root.path().join("srv/.two-node-ha-copies");
    let begun = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .any(|path| path.extension().is_some_and(|e| e == "part"))
    };
    while !begun(&dir) && child.try_wait().unwrap().is_none() {}
    child.kill().unwrap();
    child.wait().unwrap();
    for copy in machine.copies().copies {
        assert_eq!(fs::read(copy.path).unwrap(), vec![7; 64 << 20]);
    }
    let output = machine.call("before-resync-target");
    assert_eq!(output.status.code(), Some(0));
    let listing = machine.copies();
    assert_eq!(
        (listing.copies.len(), listing.leftovers.len()),
        (1, 0),
        "{listing:?}"
    );
    assert_eq!(
        fs::read(&listing.copies[0].path).unwrap(),
        vec![7; 64 << 20]
    );
}
