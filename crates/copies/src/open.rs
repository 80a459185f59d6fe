//! Who has a file or device open.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// The processes, but for this one, that have one of the paths open. What the kernel itself holds
/// (DRBD, a mount, a loop device) is not among them. A process that ends meanwhile is left out.
#[must_use]
pub fn holders(paths: &[&Path]) -> Vec<Holder> {
    let wanted: Vec<_> = paths.iter().filter_map(|path| identity(path)).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let files = fs::read_dir(entry.path().join("fd"));
        let holds = |file: &Path| identity(file).is_some_and(|file| wanted.contains(&file));
        if files
            .into_iter()
            .flatten()
            .flatten()
            .any(|file| holds(&file.path()))
        {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(Holder {
                pid,
                name: name.trim_end().to_owned(),
            });
        }
    }
    found
}

/// A file by file system and inode, a device by its number.
fn identity(path: &Path) -> Option<(bool, u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    if meta.file_type().is_block_device() {
        return Some((true, meta.rdev(), 0));
    }
    meta.is_file().then(|| (false, meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_has_the_file_open_is_named_and_this_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        fs::write(&path, "x").unwrap();
        let _own = fs::File::open(&path).unwrap();
        assert_eq!(holders(&[&path]), []);
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::from(fs::File::open(&path).unwrap()))
            .spawn()
            .unwrap();
        let found = holders(&[&path]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].pid, child.id());
    }
}
