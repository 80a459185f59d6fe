//! A node below a root of the test's own, and file systems of its own in a mount namespace that
//! nobody else sees and that ends with its thread.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use two_node_ha_config::{Host, parse};
use two_node_ha_copies::Copies;
use two_node_ha_sample::NODES_UNFENCED;

/// The copies of a node whose `/srv/drbd0` is backed by a file below `root`.
pub fn of_file(root: &Path) -> Copies {
    open(root, "backing_file = \"/srv/drbd0\"")
}

/// Those of a node whose backing device is this one.
pub fn of_device(root: &Path, device: &Path) -> Copies {
    let dev = root.join("dev");
    fs::create_dir_all(&dev).unwrap();
    std::os::unix::fs::symlink(device, dev.join("disk")).unwrap();
    open(root, "backing_device = \"/dev/disk\"")
}

fn open(root: &Path, volume: &str) -> Copies {
    let text = format!("{NODES_UNFENCED}[volume]\n{volume}\n");
    let config = parse(&text, "test", Host::Any).unwrap();
    Copies::open(&config, root)
}

/// Whether the programs are there; says which is not, and so that nothing was tried.
pub fn have(programs: &[&str]) -> bool {
    for program in programs {
        let found = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if found.is_err() {
            eprintln!("SKIPPED: not tried without {program}");
            return false;
        }
    }
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: not tried without root, which mounting needs");
        return false;
    }
    true
}

/// Gives this thread mounts of its own. They, and loop devices under them, end with it. False, and
/// it is said, where the system does not allow that.
pub fn own_mounts() -> bool {
    let none: Option<&str> = None;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let done = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| mount(none, "/", none, flags, none));
    if let Err(error) = done {
        eprintln!("SKIPPED: not tried without a mount namespace ({error})");
    }
    done.is_ok()
}

/// Runs a program that must succeed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A file system of that kind at `root/srv`. False, and it is said, where the kernel has none such.
pub fn file_system(root: &Path, kind: &str, size: u64) -> bool {
    let (image, at) = (root.join("fs.img"), root.join("srv"));
    File::create(&image).unwrap().set_len(size).unwrap();
    run(&format!("mkfs.{kind}"), &["-q", text(&image)]);
    fs::create_dir(&at).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", kind, "-o", "loop", text(&image), text(&at)])
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("SKIPPED: not tried where {kind} cannot be mounted");
    }
    mounted
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A loop device that is detached at the end, whatever fails.
pub struct Loop(pub PathBuf);

impl Loop {
    pub fn over(file: &Path) -> Self {
        Self(run("losetup", &["--find", "--show", text(file)]).into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

/// Bytes of which each block of 4 KiB differs, every third of them zero.
pub fn pattern(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (index, block) in bytes.chunks_mut(4096).enumerate() {
        if index % 3 != 0 {
            block.fill(u8::try_from(index % 251 + 1).unwrap());
        }
    }
    bytes
}
