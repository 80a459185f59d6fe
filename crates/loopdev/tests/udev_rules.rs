//! The packaged udev rules, by udev itself: `udevadm verify` for their grammar (systemd 254 on),
//! and `udevadm test` for what they do: to a real loop device, and to DRBD's, whose module is hardly
//! where tests run, in a `/sys` of the test's own.

#![allow(clippy::unwrap_used)] // A test that panics has failed.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Bench;

const RULES: &str = "66-two-node-ha.rules";

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../udev-rules")
        .join(RULES)
}

/// udevadm is not in every path, and not on every machine.
fn udevadm() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/bin".into(), "/sbin".into()])
        .map(|dir| dir.join("udevadm"))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: udev is not installed, the rules are not tried");
    }
    found
}

#[test]
fn udev_finds_no_fault_in_the_rules() {
    let Some(udevadm) = udevadm() else { return };
    let output = Command::new(udevadm)
        .arg("verify")
        .arg(rules())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    if said.contains("Unknown command verb") {
        eprintln!("SKIPPED: this udevadm, older than 254, cannot verify rules");
        return;
    }
    assert!(output.status.success(), "{said}");
}

/// What `udevadm test` says of the device under our rules, with a `/run` that holds the rules and
/// the names of this test only.
fn udev_test(udevadm: &Path, bench: &Bench, device: &Path) -> Option<String> {
    let run = bench.dir.path().join("run");
    let map = run.join("two-node-ha/loop");
    fs::create_dir_all(run.join("udev/rules.d")).unwrap();
    fs::create_dir_all(map.parent().unwrap()).unwrap();
    fs::copy(rules(), run.join("udev/rules.d").join(RULES)).unwrap();
    let _ = fs::remove_dir_all(&map);
    if bench.host.map.exists() {
        let copied = Command::new("cp")
            .arg("-r")
            .args([&bench.host.map, &map])
            .status()
            .unwrap();
        assert!(copied.success());
    }
    let sys = Path::new("/sys/block").join(device.file_name().unwrap());
    let mut bwrap = Command::new("bwrap");
    bwrap
        .args(["--ro-bind", "/", "/", "--proc", "/proc"])
        .args(["--dev-bind", "/dev", "/dev", "--ro-bind", "/sys", "/sys"])
        .arg("--bind")
        .args([&run, Path::new("/run")])
        .arg(udevadm)
        .args(["test", "-a", "change"])
        .arg(sys);
    said(&mut bwrap)
}

/// The same of a block device that is in no kernel.
fn udev_test_made_up(udevadm: &Path, action: &str, name: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let sys = dir.path().join("sys");
    let run = dir.path().join("run");
    let device = sys.join("devices/virtual/block").join(name);
    for dir in [&device, &sys.join("class/block"), &run.join("udev/rules.d")] {
        fs::create_dir_all(dir).unwrap();
    }
    let uevent = format!("MAJOR=147\nMINOR=7\nDEVNAME={name}\nDEVTYPE=disk\n");
    fs::write(device.join("uevent"), uevent).unwrap();
    symlink("../../../../class/block", device.join("subsystem")).unwrap();
    let link = format!("../../devices/virtual/block/{name}");
    symlink(link, sys.join("class/block").join(name)).unwrap();
    fs::copy(rules(), run.join("udev/rules.d").join(RULES)).unwrap();
    // Those of drbd-utils, where it is installed, would ask drbdadm.
    fs::write(run.join("udev/rules.d/65-drbd.rules"), "").unwrap();
    let mut bwrap = Command::new("bwrap");
    bwrap
        .args(["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"])
        .arg("--ro-bind")
        .args([&sys, Path::new("/sys")])
        .arg("--bind")
        .args([&run, Path::new("/run")])
        // It is no sysfs.
        .args(["--setenv", "SYSTEMD_DEVICE_VERIFY_SYSFS", "0"])
        .arg(udevadm)
        .args(["test", "-a", action])
        .arg(Path::new("/sys/devices/virtual/block").join(name));
    said(&mut bwrap)
}

/// `None`, loudly, without bubblewrap.
fn said(bwrap: &mut Command) -> Option<String> {
    match bwrap.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: bubblewrap is not installed, the rules are not tried");
            None
        }
        Err(error) => panic!("bwrap: {error}"),
        Ok(output) => Some(
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        ),
    }
}

/// What the agent is woken by.
const HOOK: &str = "/usr/sbin/two-node-ha-hook udev";

/// Whether systemd has a unit for the device, and multipath and the desktop leave it alone.
fn is_quiet(said: &str) -> bool {
    [
        "DM_MULTIPATH_DEVICE_PATH=0",
        "UDISKS_IGNORE=1",
        "TAGS=:systemd:",
    ]
    .iter()
    .all(|property| said.lines().any(|line| line.trim_end().ends_with(property)))
}

#[test]
fn every_uevent_of_a_drbd_device_wakes_the_agent_and_nobody_else_takes_the_device() {
    let Some(udevadm) = udevadm() else { return };
    for action in ["add", "change", "remove"] {
        for name in ["drbd0", "drbd147"] {
            let Some(said) = udev_test_made_up(&udevadm, action, name) else {
                return;
            };
            assert!(said.contains(HOOK), "{action} of {name}: {said}");
            // One that goes has nothing left to be taken.
            let there = action != "remove";
            assert_eq!(is_quiet(&said), there, "{action} of {name}: {said}");
        }
    }
}

#[test]
fn other_block_devices_are_left_as_they_are() {
    let Some(udevadm) = udevadm() else { return };
    // A loop device of others has no file in our map: see below.
    for name in ["sdx", "dm-7", "drbd", "drbdx", "nbd7", "loop7"] {
        let Some(said) = udev_test_made_up(&udevadm, "change", name) else {
            return;
        };
        assert!(said.contains("SUBSYSTEM=block"), "{name}: {said}");
        assert!(!said.contains(HOOK), "{name}: {said}");
        for property in ["UDISKS_IGNORE", "DM_MULTIPATH_DEVICE_PATH=0"] {
            assert!(!said.contains(property), "{name}: {said}");
        }
    }
}

#[test]
fn the_rules_name_our_device_and_nobody_elses() {
    let Some(udevadm) = udevadm() else { return };
    for name in ["backing", "a ü(b)%k'$attr{size}"] {
        let Some(bench) = Bench::new(name) else {
            return;
        };
        let attached = bench.attach().unwrap();
        let device = attached.device.device;
        let Some(said) = udev_test(&udevadm, &bench, &device) else {
            return;
        };
        let property = format!("TWO_NODE_HA_LOOP_LINK={}", bench.link);
        assert!(said.contains(&property), "{name:?}: {said}");
        let links = said
            .lines()
            .find(|line| line.contains("DEVLINKS="))
            .unwrap_or_default();
        assert!(links.contains(&bench.link), "{name:?}: {said}");
        assert!(is_quiet(&said), "{name:?}: {said}");
        assert!(!said.contains(HOOK), "{name:?}: {said}");

        // The same device in other hands: nothing is at the path of that file.
        fs::remove_dir_all(&bench.host.map).unwrap();
        let said = udev_test(&udevadm, &bench, &device).unwrap();
        assert!(!said.contains("TWO_NODE_HA_LOOP_LINK="), "{name:?}: {said}");
        assert!(!said.contains("UDISKS_IGNORE"), "{name:?}: {said}");
    }
}
