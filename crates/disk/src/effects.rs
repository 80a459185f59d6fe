//! Every single change of the disk.
//!
//! Each is one call here, so that the tests can cut the power before any of them (`power`). In a
//! build for use each is the system's own call and nothing else. What they return is what the system
//! says.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tempfile::NamedTempFile;

pub use crate::change::Change;

/// Takes the change; without tests there is nobody to ask first.
///
/// # Errors
/// As `take`.
#[cfg(not(any(test, feature = "power")))]
#[inline(always)]
pub fn pass<T>(_: Change<'_>, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    take()
}
#[cfg(any(test, feature = "power"))]
pub use crate::power::pass;

/// rename(2)
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    pass(Change::Rename(from, to), || fs::rename(from, to))
}

/// renameat2(2), which refuses to replace anything, even an empty directory.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    pass(Change::Rename(from, to), || {
        renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)
            .map_err(io::Error::from)
    })
}

/// renameat2(2) as an exchange.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    pass(Change::Exchange(one, other), || {
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)
            .map_err(io::Error::from)
    })
}

/// symlink(2)
pub fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    pass(Change::Make(link), || {
        std::os::unix::fs::symlink(target, link)
    })
}

/// link(2)
pub fn hard_link(original: &Path, link: &Path) -> io::Result<()> {
    pass(Change::Make(link), || fs::hard_link(original, link))
}

/// mkdir(2)
pub fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    pass(Change::Make(path), || {
        DirBuilder::new().mode(mode).create(path)
    })
}

/// A new file, 0600 from its first byte.
pub fn create_private(path: &Path) -> io::Result<File> {
    pass(Change::Make(path), || {
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    })
}

/// A new file, 0600, whose name begins with `prefix` and ends as nobody can guess.
pub(crate) fn create_temporary(directory: &Path, prefix: &OsStr) -> io::Result<NamedTempFile> {
    pass(Change::Other("make a temporary file in", directory), || {
        // tempfile opens with 0600 and O_EXCL.
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .tempfile_in(directory)?;
        // A power cut does not clean up.
        #[cfg(any(test, feature = "power"))]
        let file = crate::power::keep(file);
        Ok(file)
    })
}

/// Gives a temporary file its name, whatever has it now.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let from = file.path().to_path_buf();
    pass(Change::Rename(&from, path), || {
        file.persist(path).map(|_| ()).map_err(|error| error.error)
    })
}

/// Gives a temporary file its name, unless something has it: then the file comes back.
pub(crate) fn persist_new(file: NamedTempFile, path: &Path) -> io::Result<Option<NamedTempFile>> {
    let from = file.path().to_path_buf();
    pass(Change::Rename(&from, path), || {
        match file.persist_noclobber(path) {
            Ok(_) => Ok(None),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(Some(error.file))
            }
            Err(error) => Err(error.error),
        }
    })
}

/// Writes all of `source` into a file; reflinked or copied within the kernel where that is
/// possible (copy_file_range). Returns the bytes.
pub fn write<R: Read>(source: &mut R, mut target: &File) -> io::Result<u64> {
    pass(Change::Write(target), || io::copy(source, &mut target))
}

/// pwrite(2) of all of `bytes`.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    pass(Change::Write(file), || file.write_all_at(bytes, offset))
}

/// ftruncate(2)
pub fn set_size(file: &File, size: u64) -> io::Result<()> {
    pass(Change::Write(file), || file.set_len(size))
}

/// `FICLONE`: `target` shares all blocks of `source` from here on, until one of them changes.
pub fn clone(source: &File, target: &File) -> io::Result<()> {
    pass(Change::Write(target), || crate::sys::clone(source, target))
}

/// fsync(2)
pub fn sync(file: &File) -> io::Result<()> {
    pass(Change::Sync(file), || flush(|| file.sync_all()))
}

/// fsync(2) of a directory.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    pass(Change::SyncDirectory(path), || {
        let directory = File::open(path)?;
        flush(|| directory.sync_all())
    })
}

/// syncfs(2) of the file system under a directory: one flush for many files.
pub fn sync_all(path: &Path) -> io::Result<()> {
    pass(Change::SyncAll(path), || {
        let directory = File::open(path)?;
        flush(|| nix::unistd::syncfs(&directory).map_err(io::Error::from))
    })
}

fn flush(sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // What the files of such a test hold need not reach the disk under them: it has a model of that.
    #[cfg(any(test, feature = "power"))]
    if crate::power::is_plugged_in() {
        return Ok(());
    }
    sync()
}

/// unlink(2)
pub fn remove_file(path: &Path) -> io::Result<()> {
    pass(Change::Remove(path), || fs::remove_file(path))
}

/// Removes a directory and everything in it.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    pass(Change::RemoveTree(path), || fs::remove_dir_all(path))
}

/// chmod(2)
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    pass(Change::Other("set the mode of", path), || {
        fs::set_permissions(path, Permissions::from_mode(mode))
    })
}
