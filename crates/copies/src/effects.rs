//! The one door through which copies change the disk, so that the tests can cut the power before
//! any change. In a build for use each is the system's own call and nothing else.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use crate::sys;

#[cfg(test)]
pub mod power;

/// A change that is about to happen.
#[allow(dead_code)] // Only tests look at it, and not at all of it.
pub enum Change<'a> {
    /// A file or directory gets its name.
    Make(&'a Path),
    /// A file's content changes.
    Write(&'a Path),
    /// A file's content becomes durable.
    Sync(&'a Path),
    /// A name is taken over.
    Rename(&'a Path, &'a Path),
    /// A name goes.
    Remove(&'a Path),
    /// The names in a directory become durable.
    SyncDirectory(&'a Path),
    /// Something outside of the file system.
    Other,
}

#[cfg(not(test))]
#[inline(always)]
pub fn pass<T>(_: Change<'_>, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    take()
}
#[cfg(test)]
pub use power::pass;

/// A directory that only root may enter, and those above it.
pub fn private_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    private_directory(parent)?;
    let made = pass(Change::Make(path), || {
        DirBuilder::new().mode(0o700).create(path)
    });
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(parent),
    }
}

/// A new file, 0600 from its first byte.
pub fn create(path: &Path) -> io::Result<File> {
    pass(Change::Make(path), || {
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    })
}

/// Writes at an offset.
pub fn write(file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
    pass(Change::Write(path), || file.write_all_at(bytes, offset))
}

/// Gives a file its size.
pub fn set_size(file: &File, path: &Path, size: u64) -> io::Result<()> {
    pass(Change::Write(path), || file.set_len(size))
}

/// `FICLONE`
pub fn clone(source: &File, file: &File, path: &Path) -> io::Result<()> {
    pass(Change::Write(path), || sys::clone(source, file))
}

/// fsync(2)
pub fn sync(file: &File, path: &Path) -> io::Result<()> {
    pass(Change::Sync(path), || file.sync_all())
}

/// rename(2)
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    pass(Change::Rename(from, to), || fs::rename(from, to))
}

/// unlink(2); what is not there is gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = pass(Change::Remove(path), || fs::remove_file(path));
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// fsync(2) of a directory.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    pass(Change::SyncDirectory(path), || File::open(path)?.sync_all())
}

/// Replaces a small file as a whole; durable when this returns.
pub fn replace(path: &Path, part: &Path, content: &[u8]) -> io::Result<()> {
    remove(part)?;
    let file = create(part)?;
    write(&file, part, content, 0)?;
    sync(&file, part)?;
    rename(part, path)?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}
