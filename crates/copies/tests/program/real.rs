//! On real file systems and devices.
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::bench::{Loop, file_system, have, of_device, of_file, own_mounts, pattern, run, text};
use two_node_ha_copies::{Error, Limits, Method, Progress, Refused, Target, Why};

const MIB: usize = 1 << 20;

/// In a thread of its own, since its mounts are the thread's.
fn apart(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(test).join().unwrap();
}

fn a_reflink_is_whole_and_stays_when_the_backing_file_changes(kind: &'static str) {
    apart(move || {
        if !own_mounts() {
            return;
        }
        // Not /tmp: a share of a file system is left free, and a disk may be fuller than that.
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        if !file_system(root.path(), kind, 512 << 20) {
            return;
        }
        let copies = of_file(root.path());
        let before = pattern(40 * MIB);
        fs::write(copies.backing(), &before).unwrap();
        let copy = copies
            .make(Why::BeforeResync, Limits::default(), &mut ())
            .unwrap();
        assert_eq!(copy.record.method, Method::Reflink, "{kind}");
        assert_eq!(copy.record.checksum, None);
        fs::write(copies.backing(), vec![9; 40 * MIB]).unwrap();
        assert_eq!(fs::read(&copy.path).unwrap(), before, "{kind}");
        copies.verify(&copy, &mut ()).unwrap();
        let target = Target::claim(copies.backing(), &[]).unwrap();
        copies.restore(&copy, &target, &mut ()).unwrap();
        assert_eq!(fs::read(copies.backing()).unwrap(), before, "{kind}");
    });
}

#[test]
fn on_btrfs_a_copy_is_a_reflink() {
    if have(&["mkfs.btrfs"]) {
        a_reflink_is_whole_and_stays_when_the_backing_file_changes("btrfs");
    }
}

#[test]
fn on_xfs_a_copy_is_a_reflink() {
    if have(&["mkfs.xfs"]) {
        a_reflink_is_whole_and_stays_when_the_backing_file_changes("xfs");
    }
}

#[test]
fn on_btrfs_a_file_that_is_exempt_from_copy_on_write_is_cloned_too() {
    if !have(&["mkfs.btrfs", "chattr"]) {
        return;
    }
    apart(|| {
        if !own_mounts() {
            return;
        }
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        if !file_system(root.path(), "btrfs", 512 << 20) {
            return;
        }
        let copies = of_file(root.path());
        File::create(copies.backing()).unwrap();
        run("chattr", &["+C", text(copies.backing())]);
        fs::write(copies.backing(), pattern(8 * MIB)).unwrap();
        let copy = copies
            .make(Why::BeforeResync, Limits::default(), &mut ())
            .unwrap();
        assert_eq!(copy.record.method, Method::Reflink);
    });
}

/// A clone takes no space; the backing file does from then on, with each block that DRBD writes.
#[test]
fn no_reflink_is_made_where_the_backing_file_could_then_not_be_written() {
    if !have(&["mkfs.xfs", "fallocate"]) {
        return;
    }
    apart(|| {
        if !own_mounts() {
            return;
        }
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        if !file_system(root.path(), "xfs", 512 << 20) {
            return;
        }
        let copies = of_file(root.path());
        fs::write(copies.backing(), pattern(300 * MIB)).unwrap();
        match copies.make(Why::BeforeResync, Limits::default(), &mut ()) {
            Err(Refused::Space { .. }) => {}
            other => panic!("{other:?}"),
        }
        let left: Vec<_> = fs::read_dir(copies.dir()).unwrap().collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    });
}

/// Fills the file system while the copy is made.
struct Filler(std::path::PathBuf, bool);

impl Progress for Filler {
    fn step(&mut self, _: u64, _: u64) {
        if !self.1 {
            self.1 = true;
            let file = File::create(&self.0).unwrap();
            let chunk = vec![1; MIB];
            let mut at = 0;
            while file.write_all_at(&chunk, at).is_ok() {
                at += chunk.len() as u64;
            }
        }
    }
}

#[test]
fn a_file_system_that_fills_up_meanwhile_ends_the_copy_and_gets_its_space_back() {
    if !have(&["mount"]) {
        return;
    }
    apart(|| {
        if !own_mounts() {
            return;
        }
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let srv = root.path().join("srv");
        fs::create_dir(&srv).unwrap();
        run(
            "mount",
            &["-t", "tmpfs", "-o", "size=256m", "none", text(&srv)],
        );
        let copies = of_file(root.path());
        fs::write(copies.backing(), vec![5; 64 * MIB]).unwrap();
        let mut filler = Filler(srv.join("filler"), false);
        let refused = copies.make(Why::BeforeResync, Limits::default(), &mut filler);
        assert!(matches!(refused, Err(Refused::Space { .. })), "{refused:?}");
        assert_eq!(copies.list().unwrap().copies, []);
        // Emptied: a child that another test has just forked may still hold it, and a removed file
        // that is held keeps its space.
        fs::write(srv.join("filler"), b"").unwrap();
        copies
            .make(Why::BeforeResync, Limits::default(), &mut ())
            .unwrap();
    });
}

#[test]
fn a_full_file_system_is_told_before_anything_is_written_and_an_older_copy_makes_room() {
    if !have(&["mount"]) {
        return;
    }
    apart(|| {
        if !own_mounts() {
            return;
        }
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let srv = root.path().join("srv");
        fs::create_dir(&srv).unwrap();
        run(
            "mount",
            &["-t", "tmpfs", "-o", "size=100m", "none", text(&srv)],
        );
        let copies = of_file(root.path());
        fs::write(copies.backing(), vec![5; 40 * MIB]).unwrap();
        let asked = copies.make(Why::Asked, Limits::default(), &mut ()).unwrap();
        // 80 of 100 MiB are taken, and 15 stay free.
        let refused = copies.make(Why::BeforeResync, Limits::default(), &mut ());
        assert!(matches!(refused, Err(Refused::Space { .. })), "{refused:?}");
        copies.drop_copy(&asked.name).unwrap();
        let first = copies
            .make(Why::BeforeResync, Limits::default(), &mut ())
            .unwrap();
        fs::write(copies.backing(), vec![6; 40 * MIB]).unwrap();
        // The first would go after this resync: it goes before.
        let second = copies
            .make(Why::BeforeResync, Limits::default(), &mut ())
            .unwrap();
        let listing = copies.list().unwrap();
        assert!(listing.get(&first.name).is_none() && listing.get(&second.name).is_some());
    });
}

#[test]
fn a_device_is_read_past_the_page_cache_and_claimed_for_a_restore() {
    if !have(&["losetup", "mkfs.ext4"]) {
        return;
    }
    apart(|| {
        if !own_mounts() {
            return;
        }
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let image = root.path().join("image");
        // Not a multiple of 4 KiB, as devices are.
        fs::write(&image, pattern(3 * MIB + 512)).unwrap();
        let device = Loop::over(&image);
        let copies = of_device(root.path(), &device.0);
        let copy = copies
            .make(Why::BeforeResync, Limits::default(), &mut ())
            .unwrap();
        assert_eq!(copy.record.method, Method::Sparse);
        assert_eq!(fs::read(&copy.path).unwrap(), pattern(3 * MIB + 512));
        assert!(
            copy.stored.unwrap() < 2 * MIB as u64 + 65536,
            "{:?}",
            copy.stored
        );

        run("mkfs.ext4", &["-q", text(&device.0)]);
        let at = root.path().join("mnt");
        fs::create_dir(&at).unwrap();
        run("mount", &[text(&device.0), text(&at)]);
        let busy = Target::claim(copies.backing(), &[]).unwrap_err();
        assert!(matches!(busy, Error::NotNow(_)), "{busy}");
        let busy = Target::claim(&image, std::slice::from_ref(&device.0)).unwrap_err();
        assert!(matches!(busy, Error::NotNow(_)), "{busy}");
        run("umount", &[text(&at)]);

        let target = Target::claim(copies.backing(), &[]).unwrap();
        copies.restore(&copy, &target, &mut ()).unwrap();
        // Nobody else gets it meanwhile.
        assert!(Target::claim(copies.backing(), &[]).is_err());
        drop(target);
        assert_eq!(fs::read(&image).unwrap(), pattern(3 * MIB + 512));
    });
}
