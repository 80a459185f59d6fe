//! The packaged udev rules, by udev itself: `udevadm verify` for their grammar (systemd 254 on),
//! and `udevadm test` on a real loop device for what they do.

#![allow(clippy::unwrap_used)] // A test that panics has failed.

mod common;

use std::fs;
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
    let output = Command::new("bwrap")
        .args([
            "--ro-bind",
            "/",
            "/",
            "--dev-bind",
            "/dev",
            "/dev",
            "--proc",
            "/proc",
        ])
        .args(["--ro-bind", "/sys", "/sys"])
        .arg("--bind")
        .arg(&run)
        .arg("/run")
        .arg(udevadm)
        .args(["test", "-a", "change"])
        .arg(sys)
        .output();
    match output {
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

        // The same device in other hands: nothing is at the path of that file.
        fs::remove_dir_all(&bench.host.map).unwrap();
        let said = udev_test(&udevadm, &bench, &device).unwrap();
        assert!(!said.contains("TWO_NODE_HA_LOOP_LINK="), "{name:?}: {said}");
        assert!(!said.contains("UDISKS_IGNORE"), "{name:?}: {said}");
    }
}
