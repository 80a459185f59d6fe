//! Reading a configuration file: the one thing in this crate that touches the system, and it only
//! reads. Agent, generator and hooks share it, so that all three find the same file in order.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

/// Bytes of the largest file that is read.
const SIZE_LIMIT: u64 = 1 << 20;

/// A configuration file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file's name, for people.
    pub name: String,
    /// What stands there.
    pub content: Content,
}

/// What stands at the place of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing, not even a link.
    Missing,
    /// Something that cannot be read: why.
    Unreadable(String),
    /// A file.
    Read {
        /// All of it.
        bytes: Vec<u8>,
        /// When it was last written, where the file system says so.
        modified: Option<SystemTime>,
    },
}

/// Reads the file at `path`, which people know as `name`. Whoever waits for the answer is a boot, a
/// failover or DRBD's kernel module: a FIFO, a device or a file without an end is not read.
#[must_use]
pub fn read(path: &Path, name: &str) -> Found {
    let content = match content(path) {
        Ok((bytes, modified)) => Content::Read { bytes, modified },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link to a place that is not mounted yet is not "no configuration".
            if path.symlink_metadata().is_err() {
                Content::Missing
            } else {
                Content::Unreadable(format!(
                    "{error}; it is a link, and where it leads to may not be mounted yet"
                ))
            }
        }
        Err(error) => Content::Unreadable(error.to_string()),
    };
    Found {
        name: name.to_owned(),
        content,
    }
}

fn content(path: &Path) -> io::Result<(Vec<u8>, Option<SystemTime>)> {
    // Before it is opened: opening a FIFO that nobody writes to hangs.
    let meta = fs::metadata(path)?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(SIZE_LIMIT + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(io::Error::other(format!(
            "it is larger than {} KiB, and no configuration",
            SIZE_LIMIT >> 10
        )));
    }
    Ok((bytes, meta.modified().ok()))
}
