//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error as ThisError;

/// Something failed.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The system failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process makes or drops copies of this resource.
    #[error("another process has held {} for {:.1} s", path.display(), waited.as_secs_f64())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// There is no copy of that name.
    #[error("there is no copy `{name}` in {}; `two-node-ha copies list` shows those that there are", dir.display())]
    NoSuchCopy {
        /// The name.
        name: String,
        /// Where it would be.
        dir: PathBuf,
    },
    /// A copy is not what it was when it was made.
    #[error("the copy `{name}` is damaged: {what}")]
    Damaged {
        /// The copy.
        name: String,
        /// In what way.
        what: String,
    },
    /// LVM's program failed.
    #[error("{0}")]
    Lvm(String),
    /// A restore is not possible now.
    #[error("{0}")]
    NotNow(String),
}

/// Why there is no copy.
#[derive(Debug, ThisError)]
pub enum Refused {
    /// `hooks.copies = 0`.
    #[error("copies are turned off (hooks.copies = 0)")]
    TurnedOff,
    /// Less space than it needs.
    #[error(
        "a copy may need {needed} and {} has {free} to give, {reserve} being kept free for \
         everybody else; make room, or name another directory with hooks.copy_dir", path.display()
    )]
    Space {
        /// In words.
        needed: String,
        /// In words.
        free: String,
        /// In words.
        reserve: String,
        /// The directory or volume group.
        path: PathBuf,
    },
    /// At the speed that was measured it would not be done in time.
    #[error(
        "a copy would take about {:.0} s at the {rate} a second that were measured, and {:.0} s \
         were allowed", projected.as_secs_f64(), allowed.as_secs_f64()
    )]
    Slow {
        /// What it would have taken.
        projected: Duration,
        /// What it was allowed.
        allowed: Duration,
        /// Bytes a second, in words.
        rate: String,
    },
    /// The time is up.
    #[error("no copy was ready after {:.1} s", allowed.as_secs_f64())]
    Deadline {
        /// What it was allowed.
        allowed: Duration,
    },
    /// Whoever wanted it has something else to do.
    #[error("the copy was given up for something else; nothing of it is left")]
    GivenUp,
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// For `map_err`.
pub(crate) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}
