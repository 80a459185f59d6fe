//! The one door to the disk. What is done to files here leaves the old or the new state, never one
//! between, and is on the disk when it returns.
//!
//! [`effects`] holds every single change; the rest is made of them. With the feature `power`, which
//! only tests have, a [`power`] can be cut before any of them.

pub mod atomic;
mod change;
mod compare;
pub mod effects;
mod fault;
pub mod immutable;
pub mod link;
pub mod linked_copy;
#[cfg(any(test, feature = "power"))]
#[allow(clippy::unwrap_used, reason = "a part of tests")]
pub mod power;
pub mod room;
mod sys;
pub mod tree;

pub use compare::Error;
pub use effects::sync_directory;

use std::io;
use std::path::Path;

/// Creates a directory, and those above it, that only root may enter: durable when this returns.
///
/// # Errors
/// What the system says; a directory that is there already is none.
pub fn private_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    private_directory(parent)?;
    match effects::make_directory(path, 0o700) {
        // Somebody was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        // What is made durable below it would be lost with its own name.
        Ok(()) => effects::sync_directory(parent),
    }
}

/// Renames on one file system and makes it durable on both sides.
///
/// # Errors
/// What the system says; the rename itself happened or did not.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    effects::rename(from, to)?;
    sync_sides(from, to)
}

/// Renames, and refuses to replace anything, even an empty directory; durable on both sides.
///
/// # Errors
/// `EEXIST`, or what the system says.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    effects::rename_new(from, to)?;
    sync_sides(from, to)
}

fn sync_sides(from: &Path, to: &Path) -> io::Result<()> {
    for side in [from, to] {
        if let Some(parent) = side.parent() {
            effects::sync_directory(parent)?;
        }
    }
    Ok(())
}

/// Removes a file; one that is missing is fine.
///
/// # Errors
/// What the system says.
pub fn remove_file_if_there(path: &Path) -> io::Result<()> {
    match effects::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_removed_where_there_is_one_and_what_cannot_be_removed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        std::fs::write(&path, "").unwrap();
        for _ in 0..2 {
            remove_file_if_there(&path).unwrap();
            assert!(!path.exists());
        }
        std::fs::create_dir(&path).unwrap();
        let error = remove_file_if_there(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}
