//! Writing and taking the files.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use thiserror::Error;

use crate::event::{Event, VERSION};

/// Bytes of the largest event. The environment of a handler is a few hundred.
pub const SIZE_LIMIT: usize = 64 * 1024;

/// The directory beside the events where unreadable ones are kept.
pub const UNREADABLE: &str = "unreadable";

/// How many unreadable files are kept; the oldest go first.
const UNREADABLE_LIMIT: usize = 64;

/// A file still being written when its writer has had this long was left by one that was killed.
/// Every handler's deadline is far below.
const STALE: Duration = Duration::from_secs(60 * 60);

const TEMPORARY: &str = ".tmp";
pub(crate) const SUFFIX: &str = ".json";

/// Why an event could not be written or taken.
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
    /// The event is larger than any event should be, even without its environment.
    #[error("the event of `{handler}` has {size} bytes, more than {SIZE_LIMIT}")]
    TooLarge {
        /// The handler.
        handler: String,
        /// Its size.
        size: usize,
    },
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Leaves an event for the agent; when this returns, it is on the disk. Creates the directory.
///
/// # Errors
/// When the system fails, or the event is larger than [`SIZE_LIMIT`] even without its environment
/// (an oversized environment is left out).
pub fn write(dir: &Path, event: &Event) -> Result<PathBuf, Error> {
    create(dir)?;
    let content = serialise(event)?;
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(dir)
        .map_err(io_error("create a file in", dir))?;
    file.write_all(&content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(io_error("write", file.path()))?;
    // Not over an existing file: a clock that was set back could repeat a time, and the process
    // id of a long dead hook is free again.
    loop {
        let path = dir.join(name(event));
        match file.persist_noclobber(&path) {
            Ok(_) => {
                sync_dir(dir)?;
                return Ok(path);
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
            Err(error) => return Err(io_error("rename to", &path)(error.error)),
        }
    }
}

/// `TIME-PID-SEQ-NAME.json`: another one at each call.
fn name(event: &Event) -> String {
    static SEQUENCE: AtomicU32 = AtomicU32::new(0);
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let handler: String = event
        .handler
        .as_str()
        .chars()
        .filter(|c| plain(*c))
        .take(64)
        .collect();
    format!(
        "{:020}-{:010}-{sequence:06}-{handler}{SUFFIX}",
        event.time,
        std::process::id()
    )
}

fn serialise(event: &Event) -> Result<Vec<u8>, Error> {
    let bytes = |event: &Event| {
        // Plain strings and numbers: this cannot fail.
        let mut bytes = serde_json::to_vec(event).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    };
    let whole = bytes(event);
    if whole.len() <= SIZE_LIMIT {
        return Ok(whole);
    }
    let bare = bytes(&Event {
        env: Default::default(),
        ..event.clone()
    });
    if bare.len() <= SIZE_LIMIT {
        return Ok(bare);
    }
    Err(Error::TooLarge {
        handler: event.handler.to_string(),
        size: bare.len(),
    })
}

pub(crate) fn create(dir: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io_error("create the directory", dir))
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_error("sync", dir))
}

/// What was waiting.
#[derive(Debug, Default)]
pub struct Taken {
    /// The events, the oldest first. Each stays until it is acknowledged.
    pub events: Vec<Pending>,
    /// Files that could not be read, where they are now, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// An event that waits to be processed.
#[derive(Debug)]
pub struct Pending {
    /// The event.
    pub event: Event,
    path: PathBuf,
}

impl Pending {
    /// The file that holds it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it: what it asked for has been done.
    ///
    /// # Errors
    /// When the system fails; one that is gone already is in order.
    pub fn ack(self) -> Result<(), Error> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove the processed event", &self.path)(e))
            }
            _ => Ok(()),
        }
    }
}

/// Reads every event that waits, the oldest first. What cannot be read is moved to `unreadable/`
/// and reported; it does not stop the others. No directory means no events.
///
/// # Errors
/// When the directory cannot be listed.
pub fn take_all(dir: &Path) -> Result<Taken, Error> {
    let mut taken = Taken::default();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(taken),
        Err(e) => return Err(io_error("list", dir)(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("list", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(TEMPORARY) {
            remove_stale(&entry.path());
        } else if name.ends_with(SUFFIX) {
            paths.push(entry.path());
        }
    }
    // The names begin with the time, in a fixed width.
    paths.sort_unstable();
    for path in paths {
        match read(&path) {
            Ok(event) => taken.events.push(Pending { event, path }),
            // Acknowledged by somebody else in between.
            Err(Unreadable::Gone) => {}
            Err(Unreadable::Because(why)) => {
                // Where it cannot be moved it stays, and is reported again the next time.
                let kept = set_aside(dir, &path).unwrap_or(path);
                taken.unreadable.push((kept, why));
            }
        }
    }
    Ok(taken)
}

enum Unreadable {
    Gone,
    Because(String),
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

fn read(path: &Path) -> Result<Event, Unreadable> {
    let mut content = Vec::new();
    // A link or a device among the events is none of ours: a FIFO would block the agent.
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err(Unreadable::Because("it is no regular file".to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Gone),
        Err(e) => return Err(Unreadable::Because(e.to_string())),
    }
    match File::open(path)
        .and_then(|file| file.take(SIZE_LIMIT as u64 + 1).read_to_end(&mut content))
    {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Gone),
        Err(e) => return Err(Unreadable::Because(e.to_string())),
    }
    if content.len() > SIZE_LIMIT {
        return Err(Unreadable::Because(format!(
            "it is larger than {SIZE_LIMIT} bytes"
        )));
    }
    let unreadable = |e: serde_json::Error| Unreadable::Because(e.to_string());
    // The version comes before the fields: a newer event may lack or add any of them.
    let Head { format } = serde_json::from_slice(&content).map_err(unreadable)?;
    if format != VERSION {
        return Err(Unreadable::Because(format!(
            "it has format {format}, and this version knows {VERSION}: upgrade two-node-ha here"
        )));
    }
    serde_json::from_slice(&content).map_err(unreadable)
}

fn set_aside(dir: &Path, path: &Path) -> io::Result<PathBuf> {
    let unreadable = dir.join(UNREADABLE);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&unreadable)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let kept = unreadable.join(name);
    fs::rename(path, &kept)?;
    let mut all = Vec::new();
    for entry in fs::read_dir(&unreadable)? {
        all.push(entry?.path());
    }
    all.sort_unstable();
    for oldest in all.iter().take(all.len().saturating_sub(UNREADABLE_LIMIT)) {
        let _ = fs::remove_file(oldest);
    }
    Ok(kept)
}

/// Best effort: what is left is tried again the next time.
fn remove_stale(path: &Path) {
    let age = fs::symlink_metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
        .and_then(|modified| SystemTime::now().duration_since(modified).ok());
    if age.is_some_and(|age| age > STALE) {
        let _ = fs::remove_file(path);
    }
}
