//! Why a directory could not be read.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// How often a directory is read before it is said to change too fast.
pub(crate) const ATTEMPTS: u32 = 20;

/// Why a directory could not be read.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The system could not read it.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Files of a format that is not understood here.
    #[error(
        "{} is of format 2, as only a build of dqlite with DQLITE_NEXT writes it: nothing is said \
         about it",
        .0.display()
    )]
    Next(PathBuf),
    /// A node is writing faster than the directory can be read.
    #[error(
        "{} has changed while it was read, {ATTEMPTS} times in a row: stop the node, or read a copy",
        .0.display()
    )]
    Unsettled(PathBuf),
}

pub(crate) fn io_error(path: &Path) -> impl Fn(io::Error) -> ScanError + '_ {
    |source| ScanError::Io {
        path: path.to_owned(),
        source,
    }
}
