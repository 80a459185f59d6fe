//! Against the kernel's own loop devices. Needs root; without loop devices there is nothing to
//! test, and that is said aloud.

#![allow(clippy::unwrap_used)] // A test that panics has failed.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Bench;
use two_node_ha_loopdev::{Error, Link, detach, status};

fn losetup(args: &[&str], file: &Path) -> PathBuf {
    let output = Command::new("losetup")
        .args(["--show", "-f"])
        .args(args)
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn dio(device: &Path) -> bool {
    let name = device.file_name().unwrap();
    let attribute = Path::new("/sys/block").join(name).join("loop/dio");
    fs::read_to_string(attribute).unwrap().trim() == "1"
}

#[test]
fn a_file_is_attached_once_however_often_asked_and_detached_by_its_name() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let first = bench.attach().unwrap();
    assert!(!first.existing);
    assert_eq!(first.link, Link::Ours);
    assert_eq!(fs::read_link(bench.link()).unwrap(), first.device.device);
    let mut byte = [0];
    File::open(bench.link())
        .unwrap()
        .read_exact(&mut byte)
        .unwrap();
    assert_eq!(byte, [0x5a]);

    let second = bench.attach().unwrap();
    assert!(second.existing);
    assert_eq!(second.device.device, first.device.device);
    assert_eq!(second.device.link.as_deref(), Some(bench.link.as_str()));
    assert_eq!(bench.devices(), std::slice::from_ref(&first.device.device));

    let detached = detach(&bench.host, &bench.file).unwrap();
    assert_eq!(detached.devices, [first.device.device]);
    assert!(bench.devices().is_empty());
    assert!(bench.link().symlink_metadata().is_err());
    assert!(detach(&bench.host, &bench.file).unwrap().devices.is_empty());
}

#[test]
fn a_device_refuses_discards_while_it_is_attached_and_has_them_back_afterwards() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let device = bench.attach().unwrap().device.device;
    let name = device.file_name().unwrap().to_owned();
    let limit = |attribute: &str| {
        let path = Path::new("/sys/block").join(&name).join("queue");
        let text = fs::read_to_string(path.join(attribute)).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    assert_eq!(limit("discard_max_bytes"), 0);
    let discard = Command::new("blkdiscard").arg(&device).output().unwrap();
    assert!(!discard.status.success(), "{discard:?}");
    assert_eq!(fs::read(&bench.file).unwrap(), vec![0x5a; 1 << 20]);
    detach(&bench.host, &bench.file).unwrap();
    // What the driver offers depends on the file system; whoever comes next gets all of it.
    let again = losetup(&[], &bench.file);
    let now = (again.file_name().unwrap() == name)
        .then(|| (limit("discard_max_bytes"), limit("discard_max_hw_bytes")));
    let freed = Command::new("losetup").arg("-d").arg(&again).status();
    assert!(freed.unwrap().success());
    assert!(now.is_none_or(|(limit, most)| limit == most), "{now:?}");
}

#[test]
fn many_at_once_end_with_one_device() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let attached: Vec<PathBuf> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| bench.attach().unwrap().device.device))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(bench.devices().len(), 1);
    assert!(attached.iter().all(|device| *device == attached[0]));
}

#[test]
fn different_files_at_once_get_different_devices() {
    let benches: Vec<_> = (0..6)
        .filter_map(|i| Bench::new(&format!("b{i}")))
        .collect();
    let mut devices: Vec<PathBuf> = std::thread::scope(|scope| {
        let all: Vec<_> = benches
            .iter()
            .map(|bench| scope.spawn(|| bench.attach().unwrap().device.device))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    devices.sort();
    devices.dedup();
    assert_eq!(devices.len(), benches.len());
}

#[test]
fn direct_io_is_used_where_the_file_system_can_and_missed_aloud_where_not() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let attached = bench.attach().unwrap();
    let real = dio(&attached.device.device);
    assert_eq!(attached.device.direct_io, real);
    let warned = attached.warnings.iter().any(|w| w.contains("direct I/O"));
    assert_eq!(warned, !real, "{:?}", attached.warnings);
}

#[test]
fn a_device_in_use_stays_attached_with_its_name() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let device = bench.attach().unwrap().device.device;
    // As DRBD and mounts open it.
    let held = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_EXCL)
        .open(&device)
        .unwrap();
    let error = detach(&bench.host, &bench.file).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert_eq!(bench.devices(), std::slice::from_ref(&device));
    assert!(bench.link().exists());
    drop(held);
    detach(&bench.host, &bench.file).unwrap();
    assert!(bench.devices().is_empty());
}

#[test]
fn a_device_about_to_vanish_is_kept() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let device = bench.attach().unwrap().device.device;
    let held = File::open(&device).unwrap();
    // Lazy, as someone has it open.
    let done = Command::new("losetup")
        .arg("-d")
        .arg(&device)
        .status()
        .unwrap();
    assert!(done.success());
    let again = bench.attach().unwrap();
    assert!(again.existing && !again.device.autoclear);
    drop(held);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(bench.devices(), [device]);
}

#[test]
fn a_file_attached_in_part_or_read_only_is_refused() {
    for args in [&["-o", "4096"][..], &["--sizelimit", "4096"], &["-r"]] {
        let Some(bench) = Bench::new("backing") else {
            return;
        };
        let device = losetup(args, &bench.file);
        let error = bench.attach().unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{args:?}: {error}");
        assert_eq!(bench.devices(), [device]);
    }
}

#[test]
fn a_file_attached_by_hand_is_adopted() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let device = losetup(&[], &bench.file);
    let attached = bench.attach().unwrap();
    assert!(attached.existing);
    assert_eq!(attached.device.device, device);
    assert!(bench.link().exists());
}

#[test]
fn a_replaced_file_gets_its_own_device_and_the_old_one_is_told() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    let old = bench.attach().unwrap().device.device;
    fs::remove_file(&bench.file).unwrap();
    fs::write(&bench.file, vec![1; 4096]).unwrap();
    let new = bench.attach().unwrap();
    assert_ne!(new.device.device, old);
    assert!(
        new.warnings.iter().any(|w| w.contains("older file")),
        "{:?}",
        new.warnings
    );
}

#[test]
fn a_deleted_file_is_detached_by_the_name_it_had() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    bench.attach().unwrap();
    fs::remove_file(&bench.file).unwrap();
    assert!(
        status(&bench.host)
            .unwrap()
            .iter()
            .any(|d| d.deleted && d.backing_file == bench.file)
    );
    detach(&bench.host, &bench.file).unwrap();
    assert!(bench.devices().is_empty());
}

#[test]
fn awkward_names_are_attached_like_others() {
    for name in ["a b%c$d", "ä'\"\\x", "x (deleted)", "(1)*~"] {
        let Some(bench) = Bench::new(name) else {
            return;
        };
        bench.attach().unwrap();
        detach(&bench.host, &bench.file).unwrap();
        assert!(bench.devices().is_empty(), "{name:?}");
    }
}

#[test]
fn a_taken_name_is_told_before_anything_is_attached() {
    let Some(bench) = Bench::new("backing") else {
        return;
    };
    File::create(bench.link()).unwrap().write_all(b"x").unwrap();
    let error = bench.attach().unwrap_err();
    assert!(matches!(error, Error::LinkTaken { .. }), "{error}");
    assert!(bench.devices().is_empty());
}
