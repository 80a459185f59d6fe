//! Copying a directory so that a crash leaves a whole copy or none.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown, lchown};
use std::path::{Path, PathBuf};

use two_node_ha_command::Interrupt;

use crate::compare::{Error, at, compare, entries, go_on};
use crate::{effects, rename_new};

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Regular files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
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
        crate::private_directory(parent).map_err(at(parent))?;
    }
    let mut copying = Copying {
        copied: Copied::default(),
        interrupt,
        progress,
    };
    let copied = copying
        .directory(from, &staging)
        .and_then(|()| compare(from, &staging, &|_| true, interrupt));
    if let Err(error @ Error::Interrupted { .. }) = copied {
        // It may be large, and whoever has the disk next has no use for it.
        remove_if_there(&staging).map_err(at(&staging))?;
        return Err(error);
    }
    copied?;
    rename_new(&staging, to).map_err(at(to))?;
    Ok(copying.copied)
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
        effects::sync_directory(to).map_err(at(to))
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
            compare(&from, &scratch, &|_| true, &Interrupt::default()).unwrap();
            change(&scratch);
            assert!(matches!(
                compare(&from, &scratch, &|_| true, &Interrupt::default()),
                Err(Error::Differs { .. })
            ));
        }
    }
}
