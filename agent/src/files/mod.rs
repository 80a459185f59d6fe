//! What is done to files: each operation leaves the old or the new state, never one between.

pub mod atomic;
pub mod immutable;
pub mod link;
pub mod tree;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Creates a directory, and those above it, that only root may enter.
///
/// # Errors
/// What the system says; a directory that is there already is none.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the system says.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Renames on one file system and makes it durable on both sides.
///
/// # Errors
/// What the system says; the rename itself happened or did not.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    for side in [from, to] {
        if let Some(parent) = side.parent() {
            sync_directory(parent)?;
        }
    }
    Ok(())
}
