//! A service's processes, all of them, by its control group: what a service has started cannot leave
//! it, whatever it calls itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use two_node_ha_node::Paths;

use super::marks::Units;
use super::process::{Process, kill_if};

/// Where systemd's hierarchy is: version 2 alone, version 2 beside others, version 1.
const ROOTS: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/systemd",
];

/// How deep slices may lie in slices.
const DEPTH: usize = 5;

/// Kills every process of the units, and says what is still there, in words.
pub fn kill_all(paths: &Paths, units: &Units) -> Vec<String> {
    let proc = paths.at(Path::new("/proc"));
    let mut left = Vec::new();
    for root in ROOTS {
        for group in find(&paths.at(Path::new(root)), units, DEPTH) {
            left.extend(kill(&proc, &group));
        }
    }
    left
}

/// The groups of the units below a slice. Only slices are gone into.
fn find(slice: &Path, units: &Units, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (name, path) in directories(slice) {
        if units.has(&name) {
            found.push(path);
        } else if name.ends_with(".slice") && depth > 0 {
            found.extend(find(&path, units, depth - 1));
        }
    }
    found
}

fn kill(proc: &Path, group: &Path) -> Vec<String> {
    let unit = group.file_name().unwrap_or_default().to_string_lossy();
    // Linux 5.14; also what is being forked right now, and all groups below.
    let at_once = File::options()
        .write(true)
        .open(group.join("cgroup.kill"))
        .and_then(|mut file| file.write_all(b"1"))
        .is_ok();
    let mut left = Vec::new();
    for group in with_below(group) {
        for pid in members(&group) {
            if Process::at(proc, pid).is_none() {
                continue;
            }
            let mut said = String::new();
            if !at_once {
                // Pinned, it is looked for again: its number may be another's by now.
                if let Err(error) = kill_if(pid, || members(&group).contains(&pid)) {
                    said = format!(", which cannot be killed: {error}");
                }
            }
            left.push(format!("process {pid} of {unit}{said}"));
        }
    }
    left
}

fn with_below(group: &Path) -> Vec<PathBuf> {
    let mut all = vec![group.to_path_buf()];
    for (_, below) in directories(group) {
        all.extend(with_below(&below));
    }
    all
}

fn members(group: &Path) -> Vec<i32> {
    let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}

fn directories(path: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .collect()
}
