//! `two-node-ha raft give-up`, the real program on directories of real dqlite after a handover: what it
//! says, that it deletes nothing, and when it refuses.
#![allow(clippy::unwrap_used)] // A test that panics has failed.

#[path = "../../crates/dqlite/tests/real/mod.rs"]
mod real;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use real::Fixture;
use two_node_ha_sample::FENCED;

const MOUNTED: &str = "40 21 147:0 / /mnt/drbd0 rw,relatime - ext4 /dev/drbd0 rw\n";

/// alpha, the volume mounted on it. The log of k8s-dqlite on the volume ends with a handover.
struct Node {
    dir: tempfile::TempDir,
    fixture: Fixture,
}

/// Where raft's files of each database are, below its directory.
const RAFT: [(&str, &str); 2] = [("k8s-dqlite", ""), ("k8sd", "database")];

impl Node {
    fn new() -> Self {
        let node = Self {
            dir: tempfile::tempdir().unwrap(),
            fixture: Fixture::unpack("1.18", "handover"),
        };
        node.write("etc/two-node-ha.toml", FENCED);
        node.write("proc/self/mountinfo", MOUNTED);
        for (database, below) in RAFT {
            node.copy("old", &format!("mnt/drbd0/{database}/{below}"));
        }
        node
    }

    /// This node's own directories: of k8s-dqlite the log goes on, of k8sd it does not.
    fn own(&self) {
        for (database, below) in RAFT {
            let from = if database == "k8sd" { "old" } else { "new" };
            let spare = format!("var/lib/two-node-ha/spare/{database}");
            self.copy(from, &format!("{spare}/{below}"));
            self.write(&format!("{spare}/cluster.key"), "secret");
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        let to = self.at(to);
        fs::create_dir_all(&to).unwrap();
        for (name, _, content) in self.fixture.dir(from).files() {
            fs::write(to.join(name), content.unwrap()).unwrap();
        }
    }

    /// Every file with its content, by where it is.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        walk(self.dir.path(), &mut |path| {
            let name = path.strip_prefix(self.dir.path()).unwrap();
            let name = name.to_string_lossy().into_owned();
            if let Ok(content) = fs::read(path) {
                all.insert(name, content);
            }
        });
        all
    }

    fn give_up(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_two-node-ha"))
            .args(["raft", "give-up"])
            .args(args)
            .env_clear()
            .env("TWO_NODE_HA_ROOT", self.dir.path())
            .env("TWO_NODE_HA_NODE", "alpha")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// It does nothing, and says why.
    fn refuses(&self, args: &[&str], why: &str) {
        let before = self.files();
        let (code, out, said) = self.give_up(args);
        assert_eq!(code, Some(1), "{out}{said}");
        assert!(said.contains(why), "{why}: {out}{said}");
        assert!(self.files() == before, "something was changed: {said}");
    }
}

fn walk(dir: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found(&path);
        }
    }
}

/// What is in each file, wherever it is: what was deleted is missing from it.
fn contents(files: &BTreeMap<String, Vec<u8>>) -> Vec<&Vec<u8>> {
    let mut all: Vec<_> = files.values().collect();
    all.sort();
    all
}

const YES: &str = "--yes";

#[test]
fn without_yes_it_says_what_would_be_lost_in_numbers_and_changes_nothing() {
    let node = Node::new();
    node.own();
    let before = node.files();
    let (code, out, said) = node.give_up(&["alpha"]);
    assert_eq!(code, Some(1), "{said}");
    let line = |database: &str| {
        out.lines()
            .find(|line| line.starts_with(&format!("{database}: ")))
            .unwrap()
    };
    assert!(line("k8s-dqlite").contains("the entries "), "{out}");
    assert!(line("k8s-dqlite").contains("would be TAKEN"), "{out}");
    assert!(
        line("k8sd").contains("nothing: the volume has all"),
        "{out}"
    );
    assert!(out.contains("Nothing was changed. With --yes"), "{out}");
    assert!(node.files() == before, "something was changed");
}

#[test]
fn the_own_logs_go_into_the_quarantine_and_every_byte_is_still_there() {
    let node = Node::new();
    node.own();
    let before = node.files();
    let (code, out, said) = node.give_up(&["alpha", YES]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("`crm_resource --cleanup`"), "{out}");
    let after = node.files();
    assert_eq!(contents(&after), contents(&before));
    for (database, below) in RAFT {
        let spare = format!("var/lib/two-node-ha/spare/{database}/");
        // The identity stays: with it this node is a member.
        let left: Vec<_> = after
            .keys()
            .filter_map(|name| name.strip_prefix(&spare))
            .collect();
        let at = |name: &str| Path::new(below).join(name).to_string_lossy().into_owned();
        let (cluster, info) = (at("cluster.yaml"), at("info.yaml"));
        let mut stays = vec!["cluster.key", &cluster, &info];
        stays.retain(|name| before.contains_key(&format!("{spare}{name}")));
        stays.sort_unstable();
        assert_eq!(left, stays, "{database}");
        let aside = format!("var/lib/two-node-ha/quarantine/{database}-given-up-");
        assert!(
            after
                .keys()
                .any(|name| name.starts_with(&aside) && name.ends_with("/metadata1")),
            "{after:?}"
        );
    }
    // The volume is as it was.
    let volume = |files: &BTreeMap<String, Vec<u8>>| {
        let on = |name: &&String| name.starts_with("mnt/drbd0");
        files.keys().filter(on).cloned().collect::<Vec<_>>()
    };
    assert_eq!(volume(&after), volume(&before));
}

#[test]
fn a_lost_nodes_log_is_called_complete_by_an_empty_one_that_says_how_much_is_not_known() {
    let node = Node::new();
    let (code, out, _) = node.give_up(&["beta"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("nobody here knows how much"), "{out}");
    let before = node.files();
    assert_eq!(node.give_up(&["beta", YES]).0, Some(0));
    assert!(node.files() == before);
    for (database, _) in RAFT {
        let place = node.at(&format!("mnt/drbd0/.two-node-ha/peer-log-beta/{database}"));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "{database}");
    }
}

#[test]
fn a_log_that_was_fetched_is_put_aside_beside_its_place_and_every_byte_is_still_there() {
    let node = Node::new();
    for (database, _) in RAFT {
        node.copy(
            "new",
            &format!("mnt/drbd0/.two-node-ha/peer-log-beta/{database}"),
        );
    }
    let before = node.files();
    let (code, out, _) = node.give_up(&["beta", YES]);
    assert_eq!(code, Some(0));
    assert!(out.contains("would be TAKEN"), "{out}");
    let after = node.files();
    assert_eq!(contents(&after), contents(&before));
    for (database, _) in RAFT {
        let place = format!("mnt/drbd0/.two-node-ha/peer-log-beta/{database}");
        assert_eq!(fs::read_dir(node.at(&place)).unwrap().count(), 0);
        let aside = format!("{place}-given-up-");
        assert!(after.keys().any(|name| name.starts_with(&aside)));
    }
}

#[test]
fn it_is_refused_away_from_the_volume_beside_databases_that_may_run_and_for_another_node() {
    let node = Node::new();
    node.own();
    node.refuses(&["gamma", YES], "gamma is none of the two nodes");
    node.write("run/two-node-ha/k8s.allowed", "");
    node.refuses(&["alpha", YES], "run, or may start");
    fs::remove_file(node.at("run/two-node-ha/k8s.allowed")).unwrap();
    let mut others = vec![String::new()];
    others.push(MOUNTED.replace(" rw", " ro"));
    others.push(MOUNTED.replace("147:0", "8:1"));
    for mounts in others {
        node.write("proc/self/mountinfo", &mounts);
        node.refuses(&["alpha", YES], "run this on the node where it is");
    }
    fs::remove_file(node.at("proc/self/mountinfo")).unwrap();
    node.refuses(&["alpha", YES], "reading the mounts");
}

/// What an agent in that state answers.
fn agent(node: &Node, state: &str, doing: Option<&str>) {
    let path = node.at("run/two-node-ha/agent.sock");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(path).unwrap();
    let status = serde_json::json!({
        "response": "status", "format": 1, "node": "alpha", "peer": "beta", "state": state,
        "settled": false, "reasons": [], "warnings": [], "remedy": null, "doing": doing, "epoch": 1,
        "owner": null, "drbd": { "role": "primary", "up_to_date": true, "connected": false,
        "peer_role": "unknown", "summary": "" }, "mount": "read-write", "request": "hold",
        "services": "stopped", "peer_state": "",
    });
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = String::new();
        BufReader::new(&stream).read_line(&mut asked).unwrap();
        writeln!(stream, "{status}").unwrap();
    });
}

#[test]
fn it_is_refused_while_the_agent_is_at_work_and_not_while_it_is_blocked_or_waits() {
    let node = Node::new();
    node.own();
    for (state, doing) in [
        ("recovering", None),
        ("draining", None),
        ("primary-prep", Some("fetch the peer's logs")),
    ] {
        agent(&node, state, doing);
        node.refuses(&["alpha", YES], doing.unwrap_or(state));
    }
    for state in ["blocked", "primary-prep"] {
        agent(&node, state, None);
        let (code, out, said) = node.give_up(&["alpha"]);
        assert_eq!(code, Some(1));
        assert!(out.contains("With --yes"), "{state}: {out}{said}");
    }
}
