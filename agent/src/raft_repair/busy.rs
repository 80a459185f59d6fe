//! Who uses a directory: whoever has a file of it open or mapped, or holds dqlite's lock.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

/// dqlite's lock, since 1.16.5.
const LOCK: &str = "dqlite-lock";

/// Who uses a directory, in words; `None` where nobody does.
///
/// Other users' processes are seen by root only.
pub(super) fn user(dir: &Path) -> io::Result<Option<String>> {
    let mut files = HashSet::new();
    collect(dir, &mut files)?;
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if let Some(file) = used_by(&entry.path(), &files) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Ok(Some(format!(
                "process {pid} ({}) has {file} open",
                name.trim_end()
            )));
        }
    }
    locked(&dir.join(LOCK))
}

/// Devices and inodes of everything in a directory, and of itself.
fn collect(dir: &Path, files: &mut HashSet<(u64, u64)>) -> io::Result<()> {
    let own = fs::metadata(dir)?;
    files.insert((own.dev(), own.ino()));
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = match entry.metadata() {
            // A running node renames and deletes.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if meta.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.insert((meta.dev(), meta.ino()));
        }
    }
    Ok(())
}

/// One of the files that a process uses. What cannot be seen is not used, or by a process that ends.
fn used_by(process: &Path, files: &HashSet<(u64, u64)>) -> Option<String> {
    let open = fs::read_dir(process.join("fd")).ok()?.flatten();
    let mapped = fs::read_dir(process.join("map_files")).ok();
    let mapped = mapped.into_iter().flatten().flatten();
    let links = open.chain(mapped).map(|entry| entry.path());
    for link in links.chain([process.join("cwd")]) {
        let Ok(meta) = fs::metadata(&link) else {
            continue;
        };
        if files.contains(&(meta.dev(), meta.ino())) {
            let file = fs::read_link(&link).unwrap_or(link);
            return Some(file.display().to_string());
        }
    }
    None
}

/// Whether somebody holds the lock who could not be seen: in another container, or on another node.
fn locked(path: &Path) -> io::Result<Option<String>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let locked = || Ok(Some(format!("somebody holds the lock {}", path.display())));
    if has_record_lock(&file)? {
        return locked();
    }
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_) => Ok(None),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => locked(),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// A lock of fcntl(2), of which flock(2) knows nothing.
fn has_record_lock(file: &File) -> io::Result<bool> {
    use nix::fcntl::{FcntlArg, fcntl};
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).map_err(io::Error::from)?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn whoever_has_a_file_open_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        let file = dir.path().join("inner/open-1");
        fs::write(&file, "x").unwrap();
        assert_eq!(user(dir.path()).unwrap(), None);
        let mut other = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(File::open(&file).unwrap()))
            .spawn()
            .unwrap();
        let found = user(dir.path()).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        let found = found.unwrap();
        assert!(
            found.contains(&other.id().to_string()) && found.contains("open-1"),
            "{found}"
        );
    }

    #[test]
    fn whoever_stands_in_the_directory_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut other = Command::new("sleep");
        let mut other = other.arg("60").current_dir(dir.path()).spawn().unwrap();
        let found = user(dir.path()).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(found.is_some());
    }

    #[test]
    fn a_lock_of_either_kind_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK);
        fs::write(&path, "").unwrap();
        assert_eq!(locked(&path).unwrap(), None);
        let held = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
        assert!(locked(&path).unwrap().is_some());
        drop(held);
        assert_eq!(locked(&path).unwrap(), None);
    }
}
