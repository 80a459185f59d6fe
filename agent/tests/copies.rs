//! `two-node-ha copies`, the real program on a node below a root of the test's own, whose DRBD
//! (8.4) is not up unless a test says so.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use two_node_ha_sample::UNFENCED;

struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        // Not /tmp: a share of a file system is left free, and a disk may be fuller than that.
        let node = Self(tempfile::tempdir_in("/dev/shm").unwrap());
        for dir in ["etc", "srv", "dev"] {
            fs::create_dir(node.0.path().join(dir)).unwrap();
        }
        fs::write(node.0.path().join("etc/two-node-ha.toml"), UNFENCED).unwrap();
        fs::write(node.backing(), vec![b'a'; 1 << 20]).unwrap();
        node
    }

    fn backing(&self) -> PathBuf {
        self.0.path().join("srv/drbd0")
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_two-node-ha"))
            .arg("copies")
            .args(args)
            .env("TWO_NODE_HA_ROOT", self.0.path())
            .env("TWO_NODE_HA_NODE", "alpha")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Makes a copy; its name.
    fn make(&self) -> String {
        let text = self.good(&["make"]);
        text.split(' ').next().unwrap().to_owned()
    }
}

#[test]
fn a_copy_is_made_listed_put_back_and_dropped() {
    let node = Node::new();
    assert!(node.good(&["list"]).starts_with("no copies of r0 in "));
    let name = node.make();
    let list = node.good(&["list"]);
    assert!(
        list.starts_with(&name) && list.contains("asked for"),
        "{list}"
    );
    let json: serde_json::Value = serde_json::from_str(&node.good(&["list", "--json"])).unwrap();
    assert_eq!(json["copies"][0]["name"], name.as_str());
    assert_eq!(json["copies"][0]["size"], 1 << 20);
    assert_eq!(json["keep"], 1);

    fs::write(node.backing(), vec![b'b'; 1 << 20]).unwrap();
    let told = node.refused(&["restore", &name]);
    assert!(told.contains("With --yes"), "{told}");
    assert_eq!(fs::read(node.backing()).unwrap()[0], b'b');

    let next = node.good(&["restore", &name, "--yes"]);
    assert_eq!(fs::read(node.backing()).unwrap(), vec![b'a'; 1 << 20]);
    assert!(
        next.contains("beta:  drbdadm down r0; drbdadm create-md --force r0"),
        "{next}"
    );
    assert!(next.contains("alpha:  drbdadm up r0"), "{next}");
    // What was there is a copy itself.
    let list = node.good(&["list"]);
    assert!(
        list.contains("before a restore") && list.lines().count() == 2,
        "{list}"
    );

    let told = node.refused(&["drop", "--all"]);
    assert!(told.contains(&name), "{told}");
    let told = node.refused(&["drop", &name]);
    assert!(told.contains("for good"), "{told}");
    assert_eq!(
        node.good(&["drop", &name, "--yes"]),
        format!("{name} dropped\n")
    );
    assert_eq!(node.good(&["drop", "--all", "--yes"]).lines().count(), 1);
    assert!(node.good(&["list"]).starts_with("no copies of r0 in "));
}

#[test]
fn without_keeping_what_is_there_a_restore_makes_no_copy() {
    let node = Node::new();
    let name = node.make();
    node.good(&["restore", &name, "--yes", "--no-copy"]);
    assert_eq!(node.good(&["list"]).lines().count(), 1);
}

#[test]
fn what_does_not_exist_is_named_and_a_damaged_copy_is_not_put_back() {
    let node = Node::new();
    let told = node.refused(&["restore", "r0-20260101T000000Z", "--yes"]);
    assert!(told.contains("copies list"), "{told}");
    assert!(
        node.refused(&["mount", "r0-nonsense"])
            .contains("there is no copy")
    );
    let name = node.make();
    let image = node
        .0
        .path()
        .join(format!("srv/.two-node-ha-copies/{name}.img"));
    let mut bytes = fs::read(&image).unwrap();
    bytes[70_000] ^= 1;
    fs::write(&image, bytes).unwrap();
    let record = node.good(&["list", "--json"]);
    fs::write(node.backing(), vec![b'b'; 1 << 20]).unwrap();
    if record.contains("\"sparse\"") {
        let told = node.refused(&["restore", &name, "--yes", "--no-copy"]);
        assert!(told.contains("is damaged"), "{told}");
        assert_eq!(fs::read(node.backing()).unwrap()[0], b'b');
    }
}

#[test]
fn a_restore_is_refused_while_a_process_has_the_backing_file_open() {
    let node = Node::new();
    let name = node.make();
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdin(fs::File::open(node.backing()).unwrap())
        .spawn()
        .unwrap();
    let told = node.refused(&["restore", &name, "--yes"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        told.contains(&format!("sleep (process {})", child.id())),
        "{told}"
    );
}

#[test]
fn a_copy_is_mounted_read_only_and_not_over_what_is_there() {
    let node = Node::new();
    let is_root = fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !is_root {
        eprintln!("SKIPPED: not tried without root, which mounting needs");
        return;
    }
    let backing = node.backing();
    fs::File::create(&backing)
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4"])
        .arg(&backing)
        .status();
    assert!(made.unwrap().success());
    let name = node.make();
    let at = node.0.path().join("look");
    // In a mount namespace of its own, which takes the mount and its loop device along.
    let script = r#"
        mount --make-rprivate /
        "$PROGRAM" copies mount "$NAME" "$AT" || exit 77
        grep " $AT ext4 ro," /proc/mounts || exit 2
        "$PROGRAM" copies mount "$NAME" "$AT" && exit 3
        umount "$AT"
    "#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_two-node-ha"))
        .env("NAME", &name)
        .env("AT", &at)
        .env("TWO_NODE_HA_ROOT", node.0.path())
        .env("TWO_NODE_HA_NODE", "alpha")
        .output()
        .unwrap();
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.code() == Some(77) && !fs::exists("/dev/loop-control").unwrap() {
        eprintln!("SKIPPED: no loop devices here");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{out}{error}");
    assert!(out.contains(&format!("umount {}", at.display())), "{out}");
    assert!(error.contains("is not empty"), "{error}");
}
