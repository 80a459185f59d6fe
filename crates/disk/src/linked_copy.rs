//! A cheap, verified copy of a directory at rest: what never changes again is linked, the rest is
//! copied without its holes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use two_node_ha_command::Interrupt;

use crate::compare::{Error, at, compare, data, entries};
use crate::effects::{self, Change};
use crate::{rename_new, tree};

/// What becomes of a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nobody writes into it any more, only its name may go: another name is a copy.
    Link,
    /// It has to be copied.
    Copy,
    /// It is no part of what is kept.
    Leave,
}

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Files that only got another name.
    pub linked: u64,
    /// Files that were copied.
    pub copied: u64,
    /// Bytes in the latter, holes aside.
    pub bytes: u64,
}

/// Makes `to`, which must not exist, a copy of `from`: private from the first byte, durable,
/// compared with the original, and under its name only when it is whole. `how` judges by a
/// file's name.
///
/// What is neither file, directory nor link holds no data and is left out: a stray pipe must not
/// stop a failover.
///
/// # Errors
/// See [`Error`]; then `to` does not exist.
pub fn keep(from: &Path, to: &Path, how: &dyn Fn(&str) -> How) -> Result<Kept, Error> {
    let staging = tree::staging_name(to);
    tree::remove_if_there(&staging).map_err(at(&staging))?;
    if let Some(parent) = to.parent() {
        crate::private_directory(parent).map_err(at(parent))?;
    }
    let mut kept = Kept::default();
    keep_directory(from, &staging, how, &mut kept)?;
    // One flush for all: on a replicated volume each costs a round trip.
    effects::sync_all(&staging).map_err(at(&staging))?;
    compare(from, &staging, &kept_by(how), &Interrupt::default())?;
    rename_new(&staging, to).map_err(at(to))?;
    Ok(kept)
}

fn keep_directory(
    from: &Path,
    to: &Path,
    how: &dyn Fn(&str) -> How,
    kept: &mut Kept,
) -> Result<(), Error> {
    effects::make_directory(to, 0o700).map_err(at(to))?;
    for entry in entries(from)? {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(at(&source))?;
        if kind.is_dir() {
            keep_directory(&source, &target, how, kept)?;
        } else if kind.is_symlink() {
            let points_to = fs::read_link(&source).map_err(at(&source))?;
            effects::symlink(&points_to, &target).map_err(at(&target))?;
        } else if kind.is_file() {
            let how = how(&entry.file_name().to_string_lossy());
            // Another file system below a state directory, or one without links: then a copy.
            if how == How::Link && effects::hard_link(&source, &target).is_ok() {
                kept.linked += 1;
            } else if how != How::Leave {
                kept.bytes += copy(&source, &target).map_err(at(&source))?;
                kept.copied += 1;
            }
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let source = File::open(from)?;
    let target = effects::create_private(to)?;
    effects::pass(Change::Write(&target), || {
        let length = source.metadata()?.len();
        target.set_len(length)?;
        let mut bytes = 0;
        for (start, end) in data(&source, length)? {
            bytes += copy_range(&source, &target, start, end)?;
        }
        Ok(bytes)
    })
}

/// What is all zero within a range stays a hole: an open segment is 8 MiB, most of them unused.
fn copy_range(source: &File, mut target: &File, start: u64, end: u64) -> io::Result<u64> {
    let mut reader = source;
    reader.seek(SeekFrom::Start(start))?;
    let mut reader = reader.take(end - start);
    let mut buffer = vec![0; 1 << 16];
    let (mut position, mut bytes) = (start, 0);
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            return Ok(bytes);
        }
        if buffer[..n].iter().any(|byte| *byte != 0) {
            target.seek(SeekFrom::Start(position))?;
            target.write_all(&buffer[..n])?;
            bytes += n as u64;
        }
        position += n as u64;
    }
}

/// Whether a copy still is what [`keep`] would make of the original now.
///
/// # Errors
/// See [`Error`]: one of the two cannot be read.
pub fn is_current(original: &Path, copy: &Path, how: &dyn Fn(&str) -> How) -> Result<bool, Error> {
    match compare(original, copy, &kept_by(how), &Interrupt::default()) {
        Ok(()) => Ok(true),
        Err(Error::Differs { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn kept_by(how: &dyn Fn(&str) -> How) -> impl Fn(&str) -> bool {
    |name| how(name) != How::Leave
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::fs::{FileExt, MetadataExt};

    fn how(name: &str) -> How {
        match name {
            "segment" => How::Link,
            "archive" => How::Leave,
            _ => How::Copy,
        }
    }

    fn same(original: &Path, copy: &Path) -> Result<(), Error> {
        compare(original, copy, &kept_by(&how), &Interrupt::default())
    }

    /// An open segment of 8 MiB with a few bytes at its beginning, and what stands beside it.
    fn sample(dir: &Path) {
        fs::create_dir_all(dir.join("database")).unwrap();
        let open = File::create(dir.join("database/open-1")).unwrap();
        open.set_len(8 << 20).unwrap();
        open.write_all_at(b"entries", 0).unwrap();
        open.write_all_at(b"more", 3 << 20).unwrap();
        fs::write(dir.join("database/segment"), [7; 70_000]).unwrap();
        fs::write(dir.join("archive"), "old").unwrap();
        fs::write(dir.join("cluster.key"), "secret").unwrap();
        std::os::unix::fs::symlink("database", dir.join("link")).unwrap();
        std::os::unix::net::UnixListener::bind(dir.join("control.socket")).unwrap();
    }

    fn scratch() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("volume/to"));
        sample(&from);
        (dir, from, to)
    }

    #[test]
    fn what_never_changes_is_linked_and_the_rest_copied_without_its_holes() {
        let (_dir, from, to) = scratch();
        let kept = keep(&from, &to, &how).unwrap();
        assert_eq!((kept.linked, kept.copied), (1, 2));
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(
            inode(&from.join("database/segment")),
            inode(&to.join("database/segment"))
        );
        let (open, copy) = (from.join("database/open-1"), to.join("database/open-1"));
        assert_ne!(inode(&open), inode(&copy));
        assert!(fs::read(open).unwrap() == fs::read(&copy).unwrap());
        assert!(fs::metadata(&copy).unwrap().blocks() * 512 < 1 << 20);
        assert!(!to.join("archive").exists() && !to.join("control.socket").exists());
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("database")
        );
    }

    #[test]
    fn only_its_owner_may_read_a_copy() {
        let (_dir, from, to) = scratch();
        keep(&from, &to, &how).unwrap();
        for (path, mode) in [("", 0o700), ("database", 0o700), ("cluster.key", 0o600)] {
            let meta = fs::metadata(to.join(path)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o777, mode, "{path}");
        }
    }

    #[test]
    fn a_copy_replaces_nothing_and_what_an_interrupted_one_left_is_started_over() {
        let (_dir, from, to) = scratch();
        fs::create_dir_all(tree::staging_name(&to)).unwrap();
        fs::write(tree::staging_name(&to).join("half"), "a").unwrap();
        keep(&from, &to, &how).unwrap();
        assert!(!to.join("half").exists());
        assert!(keep(&from, &to, &how).is_err());
    }

    #[test]
    fn a_copy_that_reads_back_differently_is_refused() {
        let (_dir, from, to) = scratch();
        keep(&from, &to, &how).unwrap();
        same(&from, &to).unwrap();
        assert!(is_current(&from, &to, &how).unwrap());
        // In what is a hole in the original.
        let open = File::options().write(true).open(to.join("database/open-1"));
        open.unwrap().write_all_at(b"x", 6 << 20).unwrap();
        assert!(matches!(same(&from, &to), Err(Error::Differs { .. })));
        assert!(!is_current(&from, &to, &how).unwrap());
        for change in ["cluster.key", "database/segment", "link"] {
            let scratch = to.with_file_name("scratch");
            tree::remove_if_there(&scratch).unwrap();
            keep(&from, &scratch, &how).unwrap();
            fs::remove_file(scratch.join(change)).unwrap();
            assert!(same(&from, &scratch).is_err(), "{change}");
        }
    }
}
