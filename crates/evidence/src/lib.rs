//! The evidence of a split brain: one file for each call of the `split-brain` and
//! `initial-split-brain` handlers.
//!
//! The handler writes what can be known without a lock of DRBD's ([`Evidence`]); the agent adds
//! what both nodes say right afterwards ([`Evidence::sides`]) and, one day, how it was resolved.
//! A file is replaced as a whole, is on the disk when the writer goes on, and is private: it names
//! hosts, and what it holds decides which writes are thrown away.
//!
//! The directory (`/var/lib/two-node-ha/evidence`, 0700) holds `TIME-PID-HANDLER.json`, 0600:
//! microseconds since 1970, the handler's process, its name. Sorted by name they are in the order
//! of their time. A link that flaps makes a split brain at each handshake, so only so many are
//! kept ([`KEEP`]): the first of an unresolved split brain, which saw it fresh, and the newest.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use two_node_ha_drbd::{Handler, State};
use two_node_ha_planner::record::{Journal, Unreadable, Versioned};
use two_node_ha_planner::split_brain::Side;

/// Where the files are.
pub const DIR: &str = "/var/lib/two-node-ha/evidence";

/// Version of [`Evidence`]'s form. Fields may be added without raising it. A newer one is left where it
/// is and passed over: whoever reads it by name is told to upgrade.
pub const VERSION: u32 = 1;

/// How many files are kept.
pub const KEEP: usize = 32;

/// Bytes of the largest file that is read: both sides' logs, each entry a number, are most of it.
pub const SIZE_LIMIT: u64 = 4 * 1024 * 1024;

const TEMPORARY: &str = ".tmp";
const SUFFIX: &str = ".json";

/// What one call of the handler saw, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// [`VERSION`] of the writer.
    pub format: u32,
    /// [`Handler::SplitBrain`] or [`Handler::InitialSplitBrain`].
    pub handler: Handler,
    /// When the handler was called, in microseconds since 1970.
    pub time: u64,
    /// This node's host name.
    #[serde(default)]
    pub host: String,
    /// DRBD's resource, where it is known.
    #[serde(default)]
    pub resource: Option<String>,
    /// The peer, as well as it was named.
    #[serde(default)]
    pub peer: Option<String>,
    /// The minors concerned.
    #[serde(default)]
    pub minors: Vec<u32>,
    /// The `DRBD_*` variables as they were passed.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// DRBD's state of that moment.
    #[serde(default)]
    pub drbd: Option<State>,
    /// `/proc/drbd`, which on 8.4 says more.
    #[serde(default)]
    pub proc_drbd: Option<String>,
    /// This node's `journal.json`: the highest epoch that it knows, and the epoch and the owner that
    /// were last seen on its volume. (A handler must not read the volume itself: its I/O may be
    /// suspended until the handler has answered.)
    #[serde(default)]
    pub journal: Option<Noted<Journal>>,
    /// What could not be read, and why.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What both nodes' agents said afterwards. Of several files of one split brain the newest has it,
    /// and the others an empty list.
    #[serde(default)]
    pub sides: Option<Noted<Vec<Side>>>,
    /// How it was resolved, in words; `None` while it is not.
    #[serde(default)]
    pub resolved: Option<String>,
}

/// What was noted in a form that belongs to the agent. One that this version does not know is evidence
/// all the same, and stays as it is when the file is changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Noted<T> {
    /// In a form that is known here.
    Known(T),
    /// In another.
    Unknown(serde_json::Value),
}

impl<T> Noted<T> {
    /// It, where its form is known.
    #[must_use]
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Unknown(_) => None,
        }
    }
}

impl Noted<Journal> {
    /// The journal as it is on the disk, and what is wrong with it.
    #[must_use]
    pub fn journal(text: &[u8]) -> (Option<Self>, Option<Unreadable>) {
        match Journal::from_json(text) {
            Ok(journal) => (Some(Self::Known(journal)), None),
            Err(why) => {
                let as_it_is = serde_json::from_slice(text).ok();
                (as_it_is.map(Self::Unknown), Some(why))
            }
        }
    }
}

impl Evidence {
    /// Of that handler's call at that time, in microseconds since 1970, with nothing else said yet.
    #[must_use]
    pub fn new(handler: Handler, time: u64) -> Self {
        Self {
            format: VERSION,
            handler,
            time,
            host: String::new(),
            resource: None,
            peer: None,
            minors: Vec::new(),
            env: BTreeMap::new(),
            drbd: None,
            proc_drbd: None,
            journal: None,
            problems: Vec::new(),
            sides: None,
            resolved: None,
        }
    }
}

/// Why a file could not be written or read.
#[derive(Debug, Error)]
pub enum Error {
    /// The system failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no evidence, or a newer version's.
    #[error("{} cannot be read as evidence: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Writes new evidence and removes what is more than [`KEEP`]; when this returns, it is on the
/// disk. Creates the directory.
///
/// # Errors
/// When the system fails.
pub fn write(dir: &Path, evidence: &Evidence) -> Result<PathBuf, Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io_error("create the directory", dir))?;
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let handler = evidence.handler.as_str().chars();
    let handler: String = handler.filter(plain).take(64).collect();
    let name = format!(
        "{:020}-{:010}-{handler}{SUFFIX}",
        evidence.time,
        std::process::id()
    );
    let path = dir.join(name);
    replace(&path, evidence)?;
    prune(dir);
    Ok(path)
}

/// Replaces a file, as a whole.
///
/// # Errors
/// When the system fails; the old file is still whole.
pub fn replace(path: &Path, evidence: &Evidence) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut content =
        serde_json::to_vec(evidence).map_err(|e| io_error("write", path)(e.into()))?;
    content.push(b'\n');
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(dir)
        .map_err(io_error("create a file in", dir))?;
    file.write_all(&content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(io_error("write", file.path()))?;
    file.persist(path)
        .map_err(|error| io_error("rename to", path)(error.error))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", dir))
}

/// Changes a file as it is now, and not as it was when the change was thought of: the agent adds what
/// both nodes say, which takes it a minute, and notes the resolution, which may end in that minute.
/// Both are threads of one process, and take turns here.
///
/// # Errors
/// As [`read`] and [`replace`].
pub fn update(path: &Path, change: impl FnOnce(&mut Evidence)) -> Result<(), Error> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut evidence = read(path)?;
    change(&mut evidence);
    replace(path, &evidence)
}

/// All files, the oldest first. No directory means none.
///
/// # Errors
/// When the directory cannot be listed.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("list", dir)(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("list", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(SUFFIX) && !name.starts_with(TEMPORARY) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Reads one file.
///
/// # Errors
/// When the system fails, or it is no evidence that this version knows.
pub fn read(path: &Path) -> Result<Evidence, Error> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(SIZE_LIMIT).read_to_end(&mut content))
        .map_err(io_error("read", path))?;
    let unreadable = |why: String| Error::Unreadable {
        path: path.to_owned(),
        why,
    };
    let of = |error: serde_json::Error| unreadable(error.to_string());
    // The version comes before the fields: newer evidence may lack or add any of them.
    let Head { format } = serde_json::from_slice(&content).map_err(of)?;
    if format != VERSION {
        return Err(unreadable(format!(
            "it has format {format}, and this version knows {VERSION}: upgrade two-node-ha here"
        )));
    }
    serde_json::from_slice(&content).map_err(of)
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// What is not resolved yet and can be read, the oldest first.
///
/// # Errors
/// When the directory cannot be listed.
pub fn unresolved(dir: &Path) -> Result<Vec<(PathBuf, Evidence)>, Error> {
    Ok(list(dir)?
        .into_iter()
        .filter_map(|path| Some((read(&path).ok()?, path)))
        .filter(|(evidence, _)| evidence.resolved.is_none())
        .map(|(evidence, path)| (path, evidence))
        .collect())
}

/// Best effort: what stays is removed the next time.
fn prune(dir: &Path) {
    let Ok(paths) = list(dir) else {
        return;
    };
    let mut over = paths.len().saturating_sub(KEEP);
    // The first one that is not resolved has seen the split brain fresh.
    let first = paths
        .iter()
        .find(|path| read(path).is_ok_and(|evidence| evidence.resolved.is_none()));
    for path in &paths {
        if over == 0 {
            break;
        }
        if Some(path) != first {
            let _ = fs::remove_file(path);
            over -= 1;
        }
    }
}
