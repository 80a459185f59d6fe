//! Taking the steps, each of which leaves a directory that dqlite starts on with all that it had.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;
use two_node_ha_disk::{atomic, effects, remove_file_if_there};

use super::configuration::{MembershipError, encoded};
use super::plan::{Closing, Plan};
use crate::configuration::Server;
use crate::encode::encode_batch;
use crate::entry::EntryType;
use crate::metadata::FORMAT;
use crate::remedy::closed_name;
use crate::report::Position;

/// The file that a node of dqlite 1.16.5 or later keeps locked while it runs, and `raft_recover` too.
const LOCK_FILE: &str = "dqlite-lock";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// How many open segments were closed.
    pub closed: usize,
    /// How many open segments without an entry were removed.
    pub removed: usize,
    /// The entry that was added; `None` where the last one was this configuration already.
    pub added: Option<Position>,
}

/// Why a recovery did not come to its end. The log is as it was, or has the new entry: planning and
/// applying again goes on from there.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The system said no.
    #[error(
        "cannot {doing} {}: {source}. Nothing of the log is lost: mend that and run the recovery again",
        path.display()
    )]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The new membership cannot be written. Nothing was changed.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// A node holds dqlite's lock. Nothing was changed.
    #[error(
        "somebody holds the lock {}: a node is running there, or another recovery. Stop it first",
        .0.display()
    )]
    Running(PathBuf),
    /// The directory is not the one that was planned for.
    #[error(
        "{} has changed since it was looked at: stop whatever writes to it, and run the recovery again",
        .0.display()
    )]
    Changed(PathBuf),
}

/// Carries out a plan, with these members. Nobody else may use the directory meanwhile: a node that runs
/// with dqlite's lock is noticed, and an older one or one that is started now is not.
///
/// # Errors
/// See [`ApplyError`].
pub fn apply(plan: &Plan, configuration: &[Server]) -> Result<Applied, ApplyError> {
    let dir = plan.directory.as_path();
    let content = segment(plan.term, &encoded(configuration)?);
    let _lock = lock(&dir.join(LOCK_FILE))?;
    let neighbour = dir.join(plan.neighbour);
    let neighbour = fs::metadata(&neighbour).map_err(doing("look at", &neighbour))?;
    let mut applied = Applied::default();
    for closing in &plan.closings {
        match closing {
            Closing::Close {
                file,
                size,
                keep,
                to,
            } => {
                close(dir, &dir.join(file), *size, *keep, &dir.join(to))?;
                applied.closed += 1;
            }
            Closing::Remove { file, size } => {
                let path = dir.join(file);
                let meta = fs::metadata(&path).map_err(doing("look at", &path))?;
                unchanged(&path, &meta, *size)?;
                effects::remove_file(&path).map_err(doing("remove the unused", &path))?;
                applied.removed += 1;
            }
        }
    }
    for file in &plan.leftovers {
        let path = dir.join(file);
        remove_file_if_there(&path).map_err(doing("remove the leftover", &path))?;
    }
    if plan.is_done(configuration) {
        // Its name may be there and not yet on the disk, where an earlier recovery was cut off.
        effects::sync_directory(dir).map_err(doing("sync", dir))?;
        return Ok(applied);
    }
    let index = plan.last.index.saturating_add(1);
    let path = dir.join(closed_name(index, 1));
    let made = atomic::create_like(&path, &content, &neighbour).map_err(doing("write", &path))?;
    if !made {
        return Err(ApplyError::Changed(path));
    }
    applied.added = Some(Position {
        term: plan.term,
        index,
    });
    Ok(applied)
}

/// A closed segment with one entry, as `uvWriteClosedSegment` writes it, but for the term.
fn segment(term: u64, configuration: &[u8]) -> Vec<u8> {
    let mut content = FORMAT.to_le_bytes().to_vec();
    content.extend(encode_batch(&[(term, EntryType::Change, configuration)]));
    content
}

/// An open segment becomes a closed one (`UvFsTruncateAndRenameFile`).
///
/// Cut off and not renamed, it still is an open segment with all of its entries. Its name is made durable
/// before that of the next one is changed: of two that are renamed at once a power cut may keep the
/// second alone, and that would be past the log's end.
fn close(dir: &Path, path: &Path, size: u64, keep: u64, to: &Path) -> Result<(), ApplyError> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(doing("open", path))?;
    let meta = file.metadata().map_err(doing("look at", path))?;
    unchanged(path, &meta, size)?;
    if keep != size {
        effects::set_size(&file, keep).map_err(doing("cut off", path))?;
    }
    // Where nothing is cut off, too: whoever wrote it may have been killed before it was on the disk.
    effects::sync(&file).map_err(doing("sync", path))?;
    match effects::rename_new(path, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ApplyError::Changed(to.to_owned()));
        }
        renamed => renamed.map_err(doing("close", path))?,
    }
    effects::sync_directory(dir).map_err(doing("sync", dir))
}

fn unchanged(path: &Path, meta: &Metadata, size: u64) -> Result<(), ApplyError> {
    if meta.is_file() && meta.len() == size {
        Ok(())
    } else {
        Err(ApplyError::Changed(path.to_owned()))
    }
}

/// dqlite's lock, held until the recovery is done. Where there is no such file, no node that knows it
/// has ever run.
fn lock(path: &Path) -> Result<Option<Flock<File>>, ApplyError> {
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(doing("open", path))?,
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Err(ApplyError::Running(path.to_owned())),
        Err((_, errno)) => Err(doing("lock", path)(errno.into())),
    }
}

fn doing(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ApplyError {
    let path = path.to_owned();
    move |source| ApplyError::Io {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Role;

    /// The bytes of a segment that a recovery writes for two members, as libdqlite writes them: what
    /// `tests/recovered_starts.rs` compares with its own.
    #[test]
    fn the_new_segment_is_that_of_libdqlite_byte_for_byte() {
        let members = [(1, 1, Role::Spare), (2, 2, Role::Voter)].map(|(id, host, role)| Server {
            id,
            address: format!("10.0.0.1{host}:9000"),
            role,
        });
        let content = segment(7, &encoded(&members).unwrap());
        let mut expected: Vec<u8> = Vec::new();
        // The format.
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        // The checksums of header and data.
        expected.extend([0; 8]);
        // One entry: of term 7, a CHANGE, of 64 bytes.
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([3, 0, 0, 0, 64, 0, 0, 0]);
        // The encoding, and two members: id, address and role each.
        expected.push(1);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(b"10.0.0.11:9000\0");
        expected.push(2);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(b"10.0.0.12:9000\0");
        expected.push(1);
        expected.extend([0; 7]);
        let sum = |range: std::ops::Range<usize>| crate::crc32(&content[range]).to_le_bytes();
        expected[8..12].copy_from_slice(&sum(16..40));
        expected[12..16].copy_from_slice(&sum(40..104));
        assert_eq!(content.len(), 104);
        assert_eq!(content, expected);
    }
}
