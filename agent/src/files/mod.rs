//! What is done to files: each operation leaves the old or the new state, never one between.

pub mod atomic;
pub mod effects;
pub mod immutable;
pub mod link;
pub mod still;
pub mod tree;

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
        Ok(()) => sync_directory(parent),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the system says.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    effects::sync_directory(path)
}

/// Renames on one file system and makes it durable on both sides.
///
/// # Errors
/// What the system says; the rename itself happened or did not.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    effects::rename(from, to)?;
    for side in [from, to] {
        if let Some(parent) = side.parent() {
            sync_directory(parent)?;
        }
    }
    Ok(())
}
