//! The one door through which this program changes the disk.
//!
//! Every change is one call here, so that the tests can cut the power before any of them
//! (`power`). In a build for use each is the system's own call and nothing else.

#[cfg(test)]
pub mod power;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tempfile::NamedTempFile;

/// A change of the disk, or of the world beside it, that is about to happen.
#[derive(Clone, Copy)]
#[cfg_attr(not(test), allow(dead_code))] // Only tests look at it.
pub enum Change<'a> {
    /// A name is taken over by another file or directory.
    Rename(&'a Path, &'a Path),
    /// Two names change places.
    Exchange(&'a Path, &'a Path),
    /// A file, a directory or a link gets its name.
    Make(&'a Path),
    /// A name goes.
    Remove(&'a Path),
    /// A directory goes, name by name.
    RemoveTree(&'a Path),
    /// A file's content changes.
    Write(&'a File),
    /// A file's content becomes durable.
    Sync(&'a File),
    /// The names in a directory become durable.
    SyncDirectory(&'a Path),
    /// Everything below a directory becomes durable.
    SyncAll(&'a Path),
    /// Anything else: in words, and to what.
    Other(&'static str, &'a Path),
}

/// Takes the change; without tests there is nobody to ask first.
#[cfg(not(test))]
#[inline(always)]
pub fn pass<T>(_: Change<'_>, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    take()
}
#[cfg(test)]
pub use power::pass;

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
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    })
}

/// A new file, 0600, under a name that nobody can guess.
pub fn create_temporary(directory: &Path) -> io::Result<NamedTempFile> {
    pass(Change::Other("make a temporary file in", directory), || {
        // tempfile opens with 0600 and O_EXCL. The prefix is one that dqlite, and a copy of a
        // node's identity, pass over, should a crash leave the file behind.
        let file = tempfile::Builder::new()
            .prefix("tmp-")
            .tempfile_in(directory)?;
        // A power cut does not clean up.
        #[cfg(test)]
        let file = power::keep(file);
        Ok(file)
    })
}

/// Gives a temporary file its name.
pub fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let from = file.path().to_path_buf();
    pass(Change::Rename(&from, path), || {
        file.persist(path).map(|_| ()).map_err(|error| error.error)
    })
}

/// Writes all of `source` into a file; reflinked or copied within the kernel where that is
/// possible (copy_file_range). Returns the bytes.
pub fn write<R: Read>(source: &mut R, mut target: &File) -> io::Result<u64> {
    pass(Change::Write(target), || io::copy(source, &mut target))
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

/// What a test's files hold need not reach the disk under them: it has a model of that.
fn flush(sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if cfg!(test) { Ok(()) } else { sync() }
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
