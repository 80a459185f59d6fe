//! Copying a directory so that a crash leaves a whole copy or none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown, lchown};
use std::path::{Path, PathBuf};

use two_node_ha_command::Interrupt;

use super::effects;

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Regular files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Why a directory could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system said no.
    #[error("copying {path}: {source}")]
    Io {
        /// The file or directory at hand.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The copy is wanted no more.
    #[error("the copy of {path} was given up")]
    Interrupted {
        /// What was to be copied.
        path: PathBuf,
    },
    /// Read back, the copy differs from the original.
    #[error(
        "{copy} was copied from {original} and reads back differently: either something still \
         writes to the original, or the disk under the copy is failing. Nothing was replaced"
    )]
    Differs {
        /// The original file.
        original: PathBuf,
        /// Its copy.
        copy: PathBuf,
    },
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// Makes `to` a verified, durable copy of `from`: copied beside its place, compared byte by byte,
/// and only then renamed there. `to` must not exist. What an earlier, interrupted call left is
/// started over.
///
/// Sockets are left out: they belong to processes. `progress` is called with the bytes so far. Once
/// `interrupt` is raised the copy ends, and leaves nothing behind.
///
/// # Errors
/// See [`Error`]; then `to` does not exist.
pub fn copy(
    from: &Path,
    to: &Path,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(u64),
) -> Result<Copied, Error> {
    let staging = staging_name(to);
    remove_if_there(&staging).map_err(at(&staging))?;
    if let Some(parent) = to.parent() {
        super::private_directory(parent).map_err(at(parent))?;
    }
    let mut copying = Copying {
        copied: Copied::default(),
        interrupt,
        progress,
    };
    let copied = copying
        .directory(from, &staging)
        .and_then(|()| compare(from, &staging, interrupt));
    if let Err(error @ Error::Interrupted { .. }) = copied {
        // It may be large, and whoever has the disk next has no use for it.
        remove_if_there(&staging).map_err(at(&staging))?;
        return Err(error);
    }
    copied?;
    rename_new(&staging, to).map_err(at(to))?;
    Ok(copying.copied)
}

fn go_on(interrupt: &Interrupt, path: &Path) -> Result<(), Error> {
    if interrupt.is_set() {
        return Err(Error::Interrupted { path: path.into() });
    }
    Ok(())
}

/// A copy that is being made.
struct Copying<'a> {
    copied: Copied,
    interrupt: &'a Interrupt,
    progress: &'a mut dyn FnMut(u64),
}

/// `DIR/.NAME.part`: the copy while it is being made.
#[must_use]
pub fn staging_name(to: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(".part");
    to.with_file_name(name)
}

/// Removes a directory that nobody uses yet; one that is missing is fine.
///
/// # Errors
/// What the system says.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match effects::remove_tree(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Renames, and refuses to replace anything, even an empty directory.
///
/// # Errors
/// `EEXIST`, or what the system says.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    effects::rename_new(from, to)?;
    for side in [from, to] {
        if let Some(parent) = side.parent() {
            super::sync_directory(parent)?;
        }
    }
    Ok(())
}

/// How much is copied between two looks at whether it is still wanted: some tenths of a second.
const PIECE: u64 = 64 << 20;

impl Copying<'_> {
    fn directory(&mut self, from: &Path, to: &Path) -> Result<(), Error> {
        // 0700 until it is whole: it may hold keys, and its mode is set last.
        effects::make_directory(to, 0o700).map_err(at(to))?;
        for entry in entries(from)? {
            let source = entry.path();
            let target = to.join(entry.file_name());
            let kind = entry.file_type().map_err(at(&source))?;
            let meta = fs::symlink_metadata(&source).map_err(at(&source))?;
            if kind.is_dir() {
                self.directory(&source, &target)?;
            } else if kind.is_file() {
                self.file(&source, &target, &meta)?;
            } else if kind.is_symlink() {
                let points_to = fs::read_link(&source).map_err(at(&source))?;
                effects::symlink(&points_to, &target).map_err(at(&target))?;
                lchown(&target, Some(meta.uid()), Some(meta.gid())).map_err(at(&target))?;
            } else if !kind.is_socket() {
                return Err(at(&source)(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "neither a file, a directory, a link nor a socket: it does not belong into a \
                     state directory; move it away",
                )));
            }
        }
        let meta = fs::metadata(from).map_err(at(from))?;
        take_over_metadata(to, &meta).map_err(at(to))?;
        super::sync_directory(to).map_err(at(to))
    }

    fn file(&mut self, from: &Path, to: &Path, meta: &fs::Metadata) -> Result<(), Error> {
        let source = File::open(from).map_err(at(from))?;
        let target = effects::create_private(to).map_err(at(to))?;
        loop {
            go_on(self.interrupt, from)?;
            let written = effects::write(&mut (&source).take(PIECE), &target);
            let written = written.map_err(at(from))?;
            self.copied.bytes += written;
            (self.progress)(self.copied.bytes);
            if written < PIECE {
                break;
            }
        }
        self.copied.files += 1;
        let finish = || -> io::Result<()> {
            take_over_metadata(to, meta)?;
            target.set_modified(meta.modified()?)?;
            effects::sync(&target)
        };
        finish().map_err(at(to))
    }
}

fn take_over_metadata(to: &Path, meta: &fs::Metadata) -> io::Result<()> {
    // The owner first: a change of owner clears set-id bits.
    chown(to, Some(meta.uid()), Some(meta.gid()))?;
    effects::set_mode(to, meta.mode() & 0o7777)
}

pub(super) fn entries(directory: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    let mut all = fs::read_dir(directory)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(at(directory))?;
    all.sort_by_key(fs::DirEntry::file_name);
    Ok(all)
}

/// Reads both back and compares: contents, names and link targets.
fn compare(original: &Path, copy: &Path, interrupt: &Interrupt) -> Result<(), Error> {
    let differs = |original: &Path, copy: &Path| Error::Differs {
        original: original.to_path_buf(),
        copy: copy.to_path_buf(),
    };
    let mut theirs = entries(copy)?.into_iter();
    for entry in entries(original)? {
        let source = entry.path();
        let kind = entry.file_type().map_err(at(&source))?;
        if kind.is_socket() {
            continue;
        }
        let Some(other) = theirs
            .next()
            .filter(|other| other.file_name() == entry.file_name())
        else {
            return Err(differs(&source, copy));
        };
        let target = other.path();
        go_on(interrupt, original)?;
        let same = if kind.is_dir() {
            compare(&source, &target, interrupt)?;
            true
        } else if kind.is_symlink() {
            fs::read_link(&source).map_err(at(&source))?
                == fs::read_link(&target).map_err(at(&target))?
        } else {
            same_content(&source, &target).map_err(at(&target))?
        };
        if !same {
            return Err(differs(&source, &target));
        }
    }
    match theirs.next() {
        Some(extra) => Err(differs(original, &extra.path())),
        None => Ok(()),
    }
}

fn same_content(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut left)?;
        if n == 0 {
            return Ok(true);
        }
        b.read_exact(&mut right[..n])?;
        if left[..n] != right[..n] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn sample(dir: &Path) {
        fs::create_dir_all(dir.join("database")).unwrap();
        fs::write(
            dir.join("database/0000000000000001-0000000000000002"),
            [7; 70_000],
        )
        .unwrap();
        fs::write(dir.join("cluster.key"), "secret").unwrap();
        fs::set_permissions(dir.join("cluster.key"), Permissions::from_mode(0o640)).unwrap();
        symlink("database", dir.join("link")).unwrap();
        std::os::unix::net::UnixListener::bind(dir.join("control.socket")).unwrap();
    }

    #[test]
    fn a_copy_has_every_file_and_link_and_mode_but_no_socket() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("volume/to"));
        sample(&from);
        let copied = copy(&from, &to, &Interrupt::default(), &mut |_| {}).unwrap();
        assert_eq!(
            copied,
            Copied {
                files: 2,
                bytes: 70_006
            }
        );
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("database")
        );
        assert_eq!(
            fs::metadata(to.join("cluster.key"))
                .unwrap()
                .permissions()
                .mode()
                & 0o7777,
            0o640
        );
        assert!(!to.join("control.socket").exists());
        assert!(!staging_name(&to).exists());
    }

    #[test]
    fn what_an_interrupted_copy_left_is_started_over() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        sample(&from);
        fs::create_dir(staging_name(&to)).unwrap();
        fs::write(staging_name(&to).join("half"), "a").unwrap();
        copy(&from, &to, &Interrupt::default(), &mut |_| {}).unwrap();
        assert!(!to.join("half").exists());
    }

    #[test]
    fn a_copy_gives_way_at_any_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        sample(&from);
        for files in 1..=2 {
            let (interrupt, mut seen) = (Interrupt::default(), 0);
            let given_up = copy(&from, &to, &interrupt, &mut |_| {
                seen += 1;
                interrupt.set(seen == files);
            });
            assert!(matches!(given_up, Err(Error::Interrupted { .. })));
            assert_eq!(seen, files);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_copy_never_replaces_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        sample(&from);
        fs::create_dir(&to).unwrap();
        assert!(copy(&from, &to, &Interrupt::default(), &mut |_| {}).is_err());
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    }

    #[test]
    fn a_copy_that_reads_back_differently_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        sample(&from);
        copy(&from, &to, &Interrupt::default(), &mut |_| {}).unwrap();
        for change in [
            |to: &Path| fs::write(to.join("cluster.key"), "secreT").unwrap(),
            |to: &Path| fs::write(to.join("extra"), "").unwrap(),
            |to: &Path| fs::remove_file(to.join("link")).unwrap(),
        ] {
            let scratch = dir.path().join("scratch");
            remove_if_there(&scratch).unwrap();
            copy(&from, &scratch, &Interrupt::default(), &mut |_| {}).unwrap();
            compare(&from, &scratch, &Interrupt::default()).unwrap();
            change(&scratch);
            assert!(matches!(
                compare(&from, &scratch, &Interrupt::default()),
                Err(Error::Differs { .. })
            ));
        }
    }
}
