//! The way down with real processes, below a scratch root whose `/proc` has them and nobody else.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use two_node_ha_node::Paths;

use super::holders::{Who, look};
use super::{Patience, Say, down};

const QUICK: Patience = Patience {
    agent: Duration::from_millis(100),
    other: Duration::from_millis(300),
    between: Duration::from_millis(10),
    look: Duration::from_secs(5),
    again: Duration::from_millis(50),
};

const VOLUME: &str = "40 21 147:0 / /mnt/drbd0 rw,relatime - ext4 /dev/drbd0 rw\n";

struct Ground {
    dir: tempfile::TempDir,
    paths: Paths,
    children: Vec<Child>,
}

impl Drop for Ground {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ground {
    /// The volume is mounted, and k8s-dqlite leads onto it, k8sd to the spare directory.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ground = Self {
            paths: Paths::rooted(dir.path().to_path_buf()),
            dir,
            children: Vec::new(),
        };
        for path in [
            "proc/self",
            "run/two-node-ha",
            "mnt/drbd0/k8s-dqlite",
            "var/lib/two-node-ha/spare/k8sd",
            "var/snap/k8s/common/var/lib/k8sd",
        ] {
            fs::create_dir_all(ground.at(path)).unwrap();
        }
        let lib = ground.at("var/snap/k8s/common/var/lib");
        symlink(ground.at("mnt/drbd0/k8s-dqlite"), lib.join("k8s-dqlite")).unwrap();
        symlink(
            ground.at("var/lib/two-node-ha/spare/k8sd"),
            lib.join("k8sd/state"),
        )
        .unwrap();
        ground.mounts(VOLUME);
        fs::write(ground.paths.token(), "").unwrap();
        ground
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn mounts(&self, list: &str) {
        fs::write(self.at("proc/self/mountinfo"), list).unwrap();
    }

    /// A program of that name, which goes at nothing but SIGKILL.
    fn run(&mut self, name: &str, prepare: impl FnOnce(&mut Command)) -> i32 {
        let bin = self.at("bin").join(self.children.len().to_string());
        fs::create_dir_all(&bin).unwrap();
        symlink("/bin/sh", bin.join(name)).unwrap();
        let mut command = Command::new(bin.join(name));
        command
            .args(["-c", "trap '' TERM INT HUP QUIT; read never"])
            .stdin(Stdio::piped());
        prepare(&mut command);
        let child = command.spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.children.push(child);
        symlink(
            format!("/proc/{pid}"),
            self.at("proc").join(pid.to_string()),
        )
        .unwrap();
        pid
    }

    /// A process of which nothing but this is known, and which nothing can kill.
    fn ghost(&self, pid: i32, cgroup: &str, holds: &Path) -> PathBuf {
        let dir = self.at("proc").join(pid.to_string());
        fs::create_dir_all(dir.join("fd")).unwrap();
        let stat = format!("{pid} (ghost) D 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0");
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("comm"), "ghost\n").unwrap();
        fs::write(dir.join("cgroup"), cgroup).unwrap();
        symlink(holds, dir.join("cwd")).unwrap();
        dir
    }

    fn alive(&mut self, pid: i32) -> bool {
        let child = self
            .children
            .iter_mut()
            .find(|child| i32::try_from(child.id()) == Ok(pid));
        child.unwrap().try_wait().unwrap().is_none()
    }

    fn down(&self) -> Duration {
        let began = Instant::now();
        down(&self.paths, &Say::new(), QUICK);
        began.elapsed()
    }

    /// The kind of each holder.
    fn found(&self) -> Vec<(i32, Who)> {
        let found = look(&self.paths).unwrap();
        found.iter().map(|one| (one.process.pid, one.who)).collect()
    }
}

#[test]
fn the_token_goes_and_with_nobody_there_that_is_all() {
    let ground = Ground::new();
    let took = ground.down();
    assert!(!ground.paths.token().exists());
    // One clean look is not enough: systemd may be about to start something.
    assert!(took >= QUICK.between, "{took:?}");
}

#[test]
fn a_run_directory_that_cannot_be_changed_stops_nothing() {
    let mut ground = Ground::new();
    // Neither file nor nothing: it cannot be unlinked, whoever asks.
    fs::remove_file(ground.paths.token()).unwrap();
    fs::create_dir(ground.paths.token()).unwrap();
    let store = ground.run("k8s-dqlite", |_| {});
    ground.down();
    assert!(!ground.alive(store));
}

#[test]
fn a_database_is_killed_at_once_whatever_it_ignores_and_wherever_it_was_started_from() {
    let mut ground = Ground::new();
    let on_volume = ground.at("mnt/drbd0/k8s-dqlite/open-1");
    let on_spare = ground.at("var/lib/two-node-ha/spare/k8sd/open-1");
    let store = ground.run("k8s-dqlite", |c| {
        c.stdout(File::create(&on_volume).unwrap());
    });
    let k8sd = ground.run("k8sd", |c| {
        c.stdout(File::create(&on_spare).unwrap());
    });
    // Another program of another name, with dqlite in it.
    let demo = ground.run("dqlite-demo", |c| {
        c.stdout(File::options().append(true).open(&on_volume).unwrap());
    });
    // It is about to open its files.
    let begun = ground.run("k8s-dqlite", |_| {});
    assert!(ground.found().iter().all(|(_, who)| *who == Who::Writer));
    let took = ground.down();
    for pid in [store, k8sd, demo, begun] {
        assert!(!ground.alive(pid), "{pid}");
    }
    assert!(took < QUICK.other * 10, "{took:?}");
}

#[test]
fn whoever_else_is_on_the_volume_has_a_moment_and_is_killed_then() {
    let mut ground = Ground::new();
    let volume = ground.at("mnt/drbd0");
    let shell = ground.run("bash", |c| {
        c.current_dir(&volume);
    });
    assert_eq!(ground.found(), [(shell, Who::Other)]);
    let took = ground.down();
    assert!(!ground.alive(shell));
    assert!(took >= QUICK.other, "{took:?}");
}

#[test]
fn whoever_reads_on_this_nodes_own_disk_is_left_alone() {
    let mut ground = Ground::new();
    let spare = ground.at("var/lib/two-node-ha/spare/k8sd");
    fs::write(spare.join("info.yaml"), "").unwrap();
    let reader = ground.run("less", |c| {
        c.stdout(File::open(spare.join("info.yaml")).unwrap());
    });
    let shell = ground.run("bash", |c| {
        c.current_dir(&spare);
    });
    ground.mounts("");
    ground.down();
    assert!(ground.alive(reader) && ground.alive(shell));
}

#[test]
fn the_agent_may_end_its_step_and_is_killed_where_it_does_not() {
    let ground = Ground::new();
    let group = "0::/system.slice/two-node-ha-k8s.service\n";
    let gone = ground.ghost(99_999_991, group, &ground.at("mnt/drbd0"));
    let other = "0::/system.slice/two-node-ha-k8s.services\n";
    ground.ghost(99_999_992, other, &ground.at("mnt/drbd0"));
    assert_eq!(
        ground.found(),
        [(99_999_991, Who::Agent), (99_999_992, Who::Other)]
    );
    // Below it, not on it.
    fs::remove_dir_all(ground.at("proc/99999992")).unwrap();
    fs::remove_file(gone.join("cwd")).unwrap();
    symlink(ground.at("mnt"), gone.join("cwd")).unwrap();
    assert_eq!(ground.found(), []);
}

#[test]
fn it_does_not_end_while_somebody_who_cannot_be_killed_is_on_the_volume() {
    let ground = Ground::new();
    let ghost = ground.ghost(99_999_993, "0::/x\n", &ground.at("mnt/drbd0/k8s-dqlite"));
    let done = Arc::new(AtomicBool::new(false));
    let (paths, flag) = (ground.paths.clone(), Arc::clone(&done));
    let way = thread::spawn(move || {
        down(&paths, &Say::new(), QUICK);
        flag.store(true, Ordering::SeqCst);
    });
    thread::sleep(QUICK.other * 3);
    assert!(!done.load(Ordering::SeqCst), "it gave up");
    let words = look(&ground.paths).unwrap()[0].to_string();
    assert!(
        words.contains("99999993 (ghost)") && words.contains("state D"),
        "{words}"
    );
    fs::remove_dir_all(ghost).unwrap();
    way.join().unwrap();
}

#[test]
fn it_does_not_end_while_the_mounts_cannot_be_seen() {
    let ground = Ground::new();
    fs::remove_file(ground.at("proc/self/mountinfo")).unwrap();
    let paths = ground.paths.clone();
    let way = thread::spawn(move || down(&paths, &Say::new(), QUICK));
    thread::sleep(QUICK.between * 20);
    assert!(!way.is_finished(), "it took unknown for free");
    ground.mounts("");
    way.join().unwrap();
}

/// Every process of a service, by what hierarchy there is.
fn service(root: &str) {
    let mut ground = Ground::new();
    let group = ground.at(root).join("system.slice/snap.k8s.k8sd.service");
    fs::create_dir_all(group.join("below")).unwrap();
    // Neither has the name nor any file of a database.
    let helper = ground.run("snap-exec", |_| {});
    let below = ground.run("snap-helper", |_| {});
    let stranger = ground.run("kubelet", |_| {});
    fs::write(group.join("cgroup.procs"), format!("{helper}\n")).unwrap();
    fs::write(group.join("below/cgroup.procs"), format!("{below}\n")).unwrap();
    let kubelet = group.with_file_name("snap.k8s.kubelet.service");
    fs::create_dir_all(&kubelet).unwrap();
    fs::write(kubelet.join("cgroup.procs"), format!("{stranger}\n")).unwrap();
    ground.down();
    assert!(!ground.alive(helper) && !ground.alive(below));
    assert!(ground.alive(stranger));
}

#[test]
fn every_process_of_a_databases_service_is_killed_on_cgroup_version_2() {
    service("sys/fs/cgroup");
}

#[test]
fn every_process_of_a_databases_service_is_killed_on_a_mixed_hierarchy() {
    service("sys/fs/cgroup/unified");
}

#[test]
fn every_process_of_a_databases_service_is_killed_on_cgroup_version_1() {
    service("sys/fs/cgroup/systemd");
}

#[test]
fn a_kernel_that_kills_a_whole_group_is_asked_to() {
    let ground = Ground::new();
    let group = ground.at("sys/fs/cgroup/system.slice/snap.k8s.k8s-dqlite.service");
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("cgroup.kill"), "").unwrap();
    ground.down();
    assert_eq!(fs::read_to_string(group.join("cgroup.kill")).unwrap(), "1");
}

#[test]
fn a_service_of_that_name_in_a_container_is_not_this_nodes() {
    let mut ground = Ground::new();
    let container = ground.at("sys/fs/cgroup/machine.slice/machine-x.scope/system.slice");
    let group = container.join("snap.k8s.k8sd.service");
    fs::create_dir_all(&group).unwrap();
    let its = ground.run("snap-exec", |_| {});
    fs::write(group.join("cgroup.procs"), format!("{its}\n")).unwrap();
    ground.down();
    assert!(ground.alive(its));
}

#[test]
fn a_program_of_dqlite_is_known_by_its_file_too_and_another_containers_is_not_ours() {
    let ground = Ground::new();
    fs::create_dir_all(ground.at("proc/self/ns")).unwrap();
    symlink("pid:[1]", ground.at("proc/self/ns/pid")).unwrap();
    for (namespace, found) in [("pid:[1]", true), ("pid:[2]", false)] {
        let pid = 99_999_994;
        let ghost = ground.ghost(pid, "0::/x\n", Path::new("/"));
        symlink("/snap/k8s/1/bin/k8s-dqlite", ghost.join("exe")).unwrap();
        fs::create_dir(ghost.join("ns")).unwrap();
        symlink(namespace, ghost.join("ns/pid")).unwrap();
        let wanted: &[_] = if found { &[(pid, Who::Writer)] } else { &[] };
        assert_eq!(ground.found(), wanted, "{namespace}");
        fs::remove_dir_all(ghost).unwrap();
    }
}

#[test]
fn the_agent_that_writes_a_database_is_the_agent_and_so_is_what_it_runs() {
    let ground = Ground::new();
    let group = "0::/system.slice/two-node-ha-k8s.service/recovery\n";
    let file = ground.at("mnt/drbd0/k8s-dqlite/open-1");
    let ghost = ground.ghost(99_999_995, group, Path::new("/"));
    // A link of this kind is one that was opened for writing.
    symlink(&file, ghost.join("fd/3")).unwrap();
    assert_eq!(ground.found(), [(99_999_995, Who::Agent)]);
    fs::write(ghost.join("cgroup"), "0::/system.slice/x.service\n").unwrap();
    assert_eq!(ground.found(), [(99_999_995, Who::Writer)]);
}

#[test]
fn a_directory_of_the_volume_that_was_deleted_is_still_on_it() {
    let ground = Ground::new();
    let deleted = format!("{} (deleted)", ground.at("mnt/drbd0").display());
    ground.ghost(99_999_996, "0::/x\n", Path::new(&deleted));
    assert_eq!(ground.found(), [(99_999_996, Who::Other)]);
}

#[test]
fn an_agent_that_does_not_end_its_step_is_killed_after_its_time_and_not_before() {
    let mut ground = Ground::new();
    let pid = ground.run("two-node-ha", |_| {});
    let real = ground.at("proc").join(pid.to_string());
    let stat = fs::read_to_string(real.join("stat")).unwrap();
    fs::remove_file(&real).unwrap();
    let group = "0::/system.slice/two-node-ha-k8s.service\n";
    let seen = ground.ghost(pid, group, &ground.at("mnt/drbd0"));
    fs::write(seen.join("stat"), stat).unwrap();
    let began = Instant::now();
    let paths = ground.paths.clone();
    let way = thread::spawn(move || down(&paths, &Say::new(), QUICK));
    let limit = QUICK.agent * 50;
    while ground.alive(pid) {
        assert!(began.elapsed() < limit, "it is not killed");
        thread::sleep(QUICK.between);
    }
    assert!(began.elapsed() >= QUICK.agent, "{:?}", began.elapsed());
    fs::remove_dir_all(seen).unwrap();
    way.join().unwrap();
}
