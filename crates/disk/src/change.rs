//! What can be done to a disk.

use std::fs::File;
use std::path::Path;

/// A change of the disk, or of the world beside it, that is about to happen.
#[derive(Clone, Copy)]
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

/// How the name of a file begins that has not got its own yet: the name that it will have, and
/// something that nobody can guess, follow. A crash leaves it behind. dqlite, and a copy of a node's
/// identity, pass over such names.
pub const TEMPORARY: &str = "tmp-";

/// The name that a temporary file was to get; `None` for any other file.
#[must_use]
pub fn meant(name: &str) -> Option<&str> {
    let (meant, random) = name.strip_prefix(TEMPORARY)?.rsplit_once('.')?;
    (!meant.is_empty() && !random.is_empty()).then_some(meant)
}
