//! A backing device that device-mapper calls a logical volume; LVM's programs are scripted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use two_node_ha_command::scripted::Scripted;
use two_node_ha_command::{Exit, Output};
use two_node_ha_disk::power::{Loss, cut_before};
use two_node_ha_drbd::DiskState::{Outdated, UpToDate};

use super::*;
use crate::record::Method;
use crate::{After, Before, Limits};

/// A loop device that is detached at the end.
struct Loop(PathBuf);

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

/// A node whose backing device is a loop device, and is a logical volume by its number. `None`,
/// and it is said, where there are no loop devices.
fn node(free: u64, fails: bool) -> Option<(Node, Loop)> {
    let mut node = Node::new(1);
    let backing = node.copies.backing.clone();
    let output = Command::new("losetup")
        .args(["--find", "--show"])
        .arg(&backing)
        .output();
    let output = output.ok().filter(|output| output.status.success());
    let Some(output) = output else {
        eprintln!("SKIPPED: not tried without losetup, root and loop devices");
        return None;
    };
    let device = Loop(String::from_utf8(output.stdout).unwrap().trim().into());
    node.copies.backing.clone_from(&device.0);
    let root = node.copies.root.clone();
    let rdev = fs::metadata(&device.0).unwrap().rdev();
    let (major, minor) = (nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev));
    let dm = root.join(format!("sys/dev/block/{major}:{minor}/dm"));
    fs::create_dir_all(&dm).unwrap();
    fs::write(dm.join("uuid"), "LVM-x").unwrap();
    let group = root.join("dev/vg0");
    fs::create_dir_all(&group).unwrap();
    let ended = |code| {
        Ok(Output {
            exit: Exit::Code(code),
            stdout: Vec::new(),
            stderr: b"  Insufficient free space\n".to_vec(),
        })
    };
    let of_group = group.clone();
    let runner = Scripted::new()
        .answer("lvs ", 0, format!("  vg0|drbd0|{SIZE}|{free}|linear\n"))
        .answer_with("lvcreate ", move |call| {
            let at = call.args.iter().position(|arg| arg == "--name").unwrap() + 1;
            if fails {
                return ended(5);
            }
            fs::write(of_group.join(&call.args[at]), "").unwrap();
            ended(0)
        })
        .answer_with("lvremove ", move |call| {
            let name = call.args.last().unwrap().to_str().unwrap().to_owned();
            fs::remove_file(group.with_file_name(name)).unwrap();
            ended(0)
        });
    node.copies = node.copies.with_runner(Box::new(runner));
    Some((node, device))
}

fn make(node: &Node) -> Copy {
    match node
        .copies
        .before_resync(&moment(Outdated), Limits::default(), false)
    {
        Before::Made(copy) => *copy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_a_logical_volume_a_snapshot_is_made_and_removed_after_the_next_resync() {
    let Some((node, _device)) = node(1 << 40, false) else {
        return;
    };
    let copy = make(&node);
    assert_eq!(copy.record.method, Method::LvmSnapshot);
    assert_eq!(copy.record.snapshot, Some(format!("vg0/{}", copy.name)));
    assert!(!node.names().iter().any(|name| name.ends_with(".img")));
    node.copies
        .after_resync(&moment(UpToDate), Limits::default())
        .unwrap();
    let second = make(&node);
    let after = node
        .copies
        .after_resync(&moment(UpToDate), Limits::default());
    assert_eq!(after.unwrap(), After::Over(vec![copy.name], Vec::new()));
    assert_eq!(names(&node.copies.root.join("dev/vg0")), [second.name]);
}

#[test]
fn a_snapshot_without_a_record_is_removed_by_the_next_call() {
    let Some((node, _device)) = node(1 << 40, false) else {
        return;
    };
    let copy = make(&node);
    // As if the last step had not happened.
    let record = node.at(&format!("{}.json", copy.name));
    fs::rename(&record, record.with_extension("json.part")).unwrap();
    assert_eq!(node.copies.list().unwrap().copies, []);
    node.copies.drop_leftovers().unwrap();
    assert_eq!(
        names(&node.copies.root.join("dev/vg0")),
        Vec::<String>::new()
    );
    // A record that names something else makes nothing else go.
    let other = node.copies.root.join("dev/vg0/drbd0");
    fs::write(&other, "").unwrap();
    let text = serde_json::to_string(&copy.record).unwrap();
    let text = text.replace(&format!("vg0/{}", copy.name), "vg0/drbd0");
    fs::write(record.with_extension("json.part"), text).unwrap();
    assert!(node.copies.drop_leftovers().is_err());
    assert!(other.exists());
}

#[test]
fn where_a_snapshot_fails_or_has_no_room_the_data_is_copied() {
    for (free, fails) in [(1 << 40, true), (0, false)] {
        let Some((node, _device)) = node(free, fails) else {
            return;
        };
        let copy = make(&node);
        assert_eq!(
            (copy.record.method, &copy.record.snapshot),
            (Method::Sparse, &None)
        );
        assert_eq!(fs::read(&copy.path).unwrap(), Node::data(b'a', 0xA0));
        assert!(!node.names().iter().any(|name| name.ends_with(".part")));
    }
}

#[test]
fn a_snapshot_that_was_cut_off_anywhere_is_a_copy_or_is_gone_after_the_next_call() {
    for loss in [Loss::Nothing, Loss::Unsynced] {
        for nth in 1.. {
            let at = format!("{loss:?} before {nth}");
            let Some((node, _device)) = node(1 << 40, false) else {
                return;
            };
            let (_, cut) = cut_before(nth, loss, &node.attic(), || {
                node.copies
                    .before_resync(&moment(Outdated), Limits::default(), false)
            });
            node.copies.drop_leftovers().unwrap();
            let listed: Vec<_> = node.copies.list().unwrap().copies;
            let listed: Vec<_> = listed.into_iter().map(|copy| copy.name).collect();
            let snapshots = node.copies.root.join("dev/vg0");
            assert_eq!(names(&snapshots), listed, "{at}: {cut:?}");
            if cut.is_none() {
                break;
            }
        }
    }
}
