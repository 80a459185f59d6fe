//! Who is on the volume, or writes a database: by a look at every process.
//!
//! What cannot be seen of a process is not held: it is ending. The volume is known by DRBD's device
//! number in the kernel's own list of mounts, and what a process has open by its device, asked
//! without going to the disk for it, or by its path.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use two_node_ha_node::Paths;
use two_node_ha_planner::Database;

use super::marks;
use super::process::Process;
use crate::observe::mounts;

/// The agent's unit, whose name its processes' control group has.
const AGENT: &str = "/two-node-ha-k8s.service";

/// What kind of holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// It writes a database: a program of dqlite, or whoever has one of its files open for writing.
    Writer,
    /// The agent, or a program that it runs.
    Agent,
    /// Anybody else.
    Other,
}

/// One who is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The process.
    pub process: Process,
    /// Where it was found.
    pub proc: PathBuf,
    /// Its name.
    pub name: String,
    /// What it is.
    pub who: Who,
    /// What it has, or is.
    pub what: String,
    /// Whether nothing wakes it: it waits for a device, in the kernel.
    pub uninterruptible: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.who {
            Who::Writer | Who::Other => self.name.as_str(),
            Who::Agent => "the agent",
        };
        write!(f, "process {} ({name}) {}", self.process.pid, self.what)?;
        if self.uninterruptible {
            f.write_str(", and waits for a device in the kernel (state D)")?;
        }
        Ok(())
    }
}

/// What is not to be held.
struct Ours {
    devices: BTreeSet<(u32, u32)>,
    points: Vec<PathBuf>,
    databases: Vec<PathBuf>,
    /// This process's own namespace of processes.
    namespace: Option<PathBuf>,
}

/// Everybody who is in the way.
///
/// # Errors
/// When `/proc`, or the list of mounts in it, cannot be read.
pub fn look(paths: &Paths) -> io::Result<Vec<Found>> {
    let proc = paths.at(Path::new("/proc"));
    let unseen = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| io::Error::new(error.kind(), format!("reading {path}: {error}"))
    };
    let list = proc.join("self/mountinfo");
    let mountinfo = fs::read_to_string(&list).map_err(unseen(&list))?;
    let mut volumes = mounts::all(&mountinfo);
    volumes.retain(mounts::Mounted::is_drbd);
    let ours = Ours {
        devices: volumes.iter().map(|volume| volume.device).collect(),
        points: volumes
            .iter()
            .map(|v| paths.at(Path::new(&v.point)))
            .collect(),
        databases: marks::state_directories(paths)
            .iter()
            .flat_map(|d| both(d))
            .collect(),
        namespace: fs::read_link(proc.join("self/ns/pid")).ok(),
    };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut found = Vec::new();
    for entry in fs::read_dir(&proc).map_err(unseen(&proc))? {
        let pid = entry.map_err(unseen(&proc))?.file_name();
        let pid = pid.to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != own) else {
            continue;
        };
        found.extend(one(&proc, pid, &ours));
    }
    found.sort_by_key(|found| (found.who, found.process));
    Ok(found)
}

/// A state directory, and where its link leads: without asking what is there, which could wait for
/// the volume.
fn both(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    // A link above it, such as `/var/snap` on another disk.
    let resolved = directory
        .parent()
        .and_then(|parent| Some(fs::canonicalize(parent).ok()?.join(directory.file_name()?)));
    for path in [Some(directory.to_path_buf()), resolved]
        .into_iter()
        .flatten()
    {
        if let Ok(to) = fs::read_link(&path) {
            all.push(path.parent().unwrap_or(&path).join(to));
        }
        all.push(path);
    }
    all
}

fn one(proc: &Path, pid: i32, ours: &Ours) -> Option<Found> {
    let process = Process::at(proc, pid)?;
    let dir = proc.join(pid.to_string());
    let name = fs::read_to_string(dir.join("comm")).unwrap_or_default();
    let name = name.trim_end().to_owned();
    let exe = fs::read_link(dir.join("exe")).ok();
    let program = exe.as_deref().and_then(Path::file_name);
    let of_dqlite = Database::ALL
        .into_iter()
        .map(Database::name)
        .any(|database| name == database || program == Some(OsStr::new(database)));
    let group = fs::read_to_string(dir.join("cgroup")).unwrap_or_default();
    let agent = group.lines().any(|line| {
        line.split_once(AGENT)
            .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/'))
    });
    let holds = holds(&dir, ours);
    let found = |who, what| {
        let stat = fs::read_to_string(dir.join("stat")).unwrap_or_default();
        Some(Found {
            process,
            proc: proc.to_path_buf(),
            name: name.clone(),
            who,
            what,
            uninterruptible: stat.contains(") D "),
        })
    };
    // The agent reads a database's files, and writes them while nothing runs.
    let (who, thing) = match holds {
        Some(Holds::Database(path)) if of_dqlite => (Who::Writer, path),
        Some(Holds::Writes(path)) if of_dqlite || !agent => (Who::Writer, path),
        Some(Holds::Volume(path)) if of_dqlite => (Who::Writer, path),
        // One that has not opened anything yet is about to. Another container's is not ours.
        None if of_dqlite && here(&dir, ours) => {
            return found(Who::Writer, "is a program of dqlite".into());
        }
        Some(Holds::Volume(path)) if agent => (Who::Agent, path),
        Some(Holds::Writes(path) | Holds::Database(path))
            if agent && ours.points.iter().any(|point| path.starts_with(point)) =>
        {
            (Who::Agent, path)
        }
        Some(Holds::Volume(path)) => (Who::Other, path),
        Some(Holds::Database(path)) if ours.points.iter().any(|point| path.starts_with(point)) => {
            (Who::Other, path)
        }
        // Reading on this node's own disk, which nobody unmounts.
        Some(Holds::Writes(_) | Holds::Database(_)) | None => return None,
    };
    found(who, format!("has {}", thing.display()))
}

/// Whether a process is in this one's namespace of processes. Where that cannot be seen, it is.
fn here(dir: &Path, ours: &Ours) -> bool {
    match (fs::read_link(dir.join("ns/pid")), &ours.namespace) {
        (Ok(its), Some(own)) => its == *own,
        (Ok(_) | Err(_), _) => true,
    }
}

/// The worst that a process has.
enum Holds {
    /// A file of a database, for writing.
    Writes(PathBuf),
    /// A file or a directory of a database.
    Database(PathBuf),
    /// Something else on the volume.
    Volume(PathBuf),
}

fn holds(dir: &Path, ours: &Ours) -> Option<Holds> {
    let (mut database, mut volume) = (None, None);
    let mut see = |link: &Path, open: bool| -> Option<PathBuf> {
        let to = path_of(link)?;
        if ours.databases.iter().any(|below| to.starts_with(below)) {
            // The link's own mode says how it was opened (proc(5)).
            let writes = open
                && fs::symlink_metadata(link)
                    .is_ok_and(|meta| meta.permissions().mode() & 0o200 != 0);
            if writes {
                return Some(to);
            }
            database.get_or_insert(to);
        } else if on_volume(link, &to, ours) {
            volume.get_or_insert(to);
        }
        None
    };
    for link in ["cwd", "root", "exe"] {
        see(&dir.join(link), false);
    }
    for entry in fs::read_dir(dir.join("fd")).into_iter().flatten().flatten() {
        if let Some(written) = see(&entry.path(), true) {
            return Some(Holds::Writes(written));
        }
    }
    let maps = fs::read_to_string(dir.join("maps")).unwrap_or_default();
    for (shared, device, path) in maps.lines().filter_map(mapping) {
        let path = PathBuf::from(path);
        if ours.databases.iter().any(|below| path.starts_with(below)) {
            if shared {
                return Some(Holds::Writes(path));
            }
            database.get_or_insert(path);
        } else if ours.devices.contains(&device)
            || ours.points.iter().any(|point| path.starts_with(point))
        {
            volume.get_or_insert(path);
        }
    }
    database.map(Holds::Database).or(volume.map(Holds::Volume))
}

fn path_of(link: &Path) -> Option<PathBuf> {
    let to = fs::read_link(link).ok()?;
    match to.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(before) => Some(before.into()),
        None => Some(to),
    }
}

fn on_volume(link: &Path, to: &Path, ours: &Ours) -> bool {
    if ours.points.iter().any(|point| to.starts_with(point)) {
        return true;
    }
    if ours.devices.is_empty() || !to.is_absolute() {
        return false;
    }
    // What is known of it will do: a server that is gone, or a frozen disk, is not waited for.
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(CWD, link, flags, StatxFlags::TYPE).is_ok_and(|stat| {
        ours.devices
            .contains(&(stat.stx_dev_major, stat.stx_dev_minor))
    })
}

/// One line of proc(5)'s `maps`: whether it is shared and writable, the device, and the path.
fn mapping(line: &str) -> Option<(bool, (u32, u32), &str)> {
    let mut fields = line.splitn(6, ' ');
    let _addresses = fields.next()?;
    let modes = fields.next()?;
    let _offset = fields.next()?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let device = (
        u32::from_str_radix(major, 16).ok()?,
        u32::from_str_radix(minor, 16).ok()?,
    );
    let _inode = fields.next()?;
    let path = fields.next()?.trim_start();
    if !path.starts_with('/') {
        return None;
    }
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    Some((modes.contains('w') && modes.ends_with('s'), device, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_has_a_device_and_a_path() {
        let line = "7f9c88200000-7f9c88400000 rw-s 00000000 93:00 131                        /mnt/drbd0/a b (deleted)";
        assert_eq!(mapping(line), Some((true, (147, 0), "/mnt/drbd0/a b")));
        let line = "7f9c88200000-7f9c88400000 r--p 00000000 fe:01 131    /usr/lib/libc.so.6";
        assert_eq!(mapping(line), Some((false, (254, 1), "/usr/lib/libc.so.6")));
        // What is not shared never reaches the file, nor does what cannot be written.
        for modes in ["rw-p", "r--s"] {
            let line = format!("7f9c-7f9d {modes} 00000000 93:00 131 /mnt/drbd0/a");
            assert_eq!(mapping(&line), Some((false, (147, 0), "/mnt/drbd0/a")));
        }
        assert_eq!(mapping("7ffd1-7ffd2 rw-p 00000000 00:00 0   [stack]"), None);
        assert_eq!(mapping("7ffd1-7ffd2 rw-p 00000000 00:00 0 "), None);
    }
}
