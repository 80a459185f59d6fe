//! Repairing a dqlite state directory: a whole copy of it is repaired and verified, and then takes
//! the original's place in one rename. The original is never written to, and is kept.
//!
//! Everything happens in a folder beside the directory, `NAME.repair-DATE`, on the same file system:
//!
//! | | |
//! |---|---|
//! | `journal.json` | how far it has come |
//! | `state` | the copy while it is being made; the original once the two have changed places |
//!
//! A crash before the exchange has changed nothing, one behind it everything: the next call for the
//! same directory clears away what was being made, or finishes what only had to be recorded.

mod busy;
mod exchange;
mod journal;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use two_node_ha_command::Interrupt;
use two_node_ha_dqlite::repair::{ApplyError, Plan, PlanError, apply};
use two_node_ha_dqlite::{Report, ScanError, Verdict, assess, scan};

pub use exchange::{Fingerprint, fingerprint, undo};
pub use journal::is_aside;
use journal::{Inode, Journal, Phase};
use two_node_ha_disk::{self as disk, effects, tree};

/// Why a directory was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No copy could be made.
    #[error("no copy could be made, and nothing was changed: {0}")]
    Copy(#[from] disk::Error),
    /// There is no way to repair it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The copy could not be repaired.
    #[error("the copy could not be repaired, and nothing was changed: {0}")]
    Apply(#[from] ApplyError),
    /// The directory cannot be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The repaired copy is not what the plan says.
    #[error(
        "the repaired copy in {} is not what was expected ({}), and nothing was changed: please \
         report this, with the output of `two-node-ha raft inspect` of both",
        copy.display(), detail
    )]
    Unexpected {
        /// The copy, which is kept.
        copy: PathBuf,
        /// What it is.
        detail: String,
    },
    /// A process uses the directory.
    #[error(
        "{} is in use: {user}. Stop it, and see to it that nothing starts it again (of the snap: \
         `snap stop k8s`, and on a node of the cluster `crm node standby` first)",
        dir.display()
    )]
    Busy {
        /// The directory.
        dir: PathBuf,
        /// Who uses it.
        user: String,
    },
    /// It is no place for an exchange.
    #[error(
        "{} is a mount point, so that no copy can take its place: repair a copy of it, or mount it \
         elsewhere",
        .0.display()
    )]
    MountPoint(PathBuf),
    /// It has changed since it was looked at.
    #[error("{} has changed while its copy was repaired: nothing was done, try again", .0.display())]
    Changed(PathBuf),
    /// There is no room for a copy.
    #[error(
        "a copy of {} needs {needed} bytes more than the {free} that are free beside it: nothing \
         was done",
        dir.display()
    )]
    NoRoom {
        /// The directory.
        dir: PathBuf,
        /// How much is lacking.
        needed: u64,
        /// How much there is.
        free: u64,
    },
    /// The journal of a repair makes no sense.
    #[error("{} makes no sense: {detail}. It was not touched", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// There is nothing to undo.
    #[error("{}: {detail}", aside.display())]
    NothingToUndo {
        /// The folder beside the directory.
        aside: PathBuf,
        /// Why.
        detail: String,
    },
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        doing,
        path,
        source,
    }
}

/// What a repair has come to.
#[derive(Debug)]
pub struct Repaired {
    /// The directory as it is now.
    pub report: Report,
    /// The folder with the original in it.
    pub aside: PathBuf,
}

impl Repaired {
    /// Where the original is.
    #[must_use]
    pub fn original(&self) -> PathBuf {
        self.aside.join(STATE)
    }
}

/// What an earlier, interrupted call has left, and what became of it.
#[derive(Debug)]
pub enum Leftover {
    /// It had changed nothing; the copy that it was making is gone.
    Cleared(PathBuf),
    /// It had only not recorded that it was done.
    Finished(PathBuf),
}

const STATE: &str = "state";

/// The directory itself, whatever links lead to it, where it can be exchanged for another one.
///
/// # Errors
/// When it is not there, or is a mount point.
pub fn place(dir: &Path) -> Result<PathBuf, Error> {
    let real = dir.canonicalize().map_err(io("find", dir))?;
    let own = fs::metadata(&real).map_err(io("look at", &real))?;
    let parent = real
        .parent()
        .ok_or_else(|| Error::MountPoint(real.clone()))?;
    let above = fs::metadata(parent).map_err(io("look at", parent))?;
    if own.dev() != above.dev() {
        return Err(Error::MountPoint(real));
    }
    Ok(real)
}

/// Held while a repair is made or undone: what looks like a leftover may be another one's work.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
}

/// Keeps other repairs of what is in the same folder out. Nothing of it stays behind.
///
/// # Errors
/// [`Error::Busy`] when there is one.
pub fn lock(dir: &Path) -> Result<Lock, Error> {
    // Not the directory itself: it is another one after the exchange.
    let parent = dir.parent().unwrap_or(dir);
    let folder = File::open(parent).map_err(io("open", parent))?;
    match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Lock { _held: held }),
        Err((_, Errno::EWOULDBLOCK)) => Err(Error::Busy {
            dir: dir.to_owned(),
            user: format!("another repair in {} is under way", parent.display()),
        }),
        Err((_, errno)) => Err(io("lock", parent)(errno.into())),
    }
}

/// Says who uses a directory.
///
/// # Errors
/// [`Error::Busy`], or when that cannot be found out.
pub fn not_in_use(dir: &Path) -> Result<(), Error> {
    match busy::user(dir).map_err(io("see who uses", dir))? {
        None => Ok(()),
        Some(user) => Err(Error::Busy {
            dir: dir.to_owned(),
            user,
        }),
    }
}

/// Deals with what interrupted repairs of this directory have left. Only under its [`lock`].
///
/// # Errors
/// When it cannot be read or cleared away.
pub fn clear_up(dir: &Path) -> Result<Vec<Leftover>, Error> {
    let mut leftovers = Vec::new();
    for (aside, journal) in journal::all(dir)? {
        match journal.as_ref().map(|journal| (journal, journal.phase)) {
            Some((_, Phase::Done | Phase::Undone)) => {}
            Some((journal, Phase::Exchanging)) if exchange::is_done(dir, journal)? => {
                exchange::settle(dir, &aside, journal)?;
                leftovers.push(Leftover::Finished(aside));
            }
            Some((_, Phase::Building | Phase::Exchanging)) | None => {
                tree::remove_if_there(&aside).map_err(io("remove", &aside))?;
                leftovers.push(Leftover::Cleared(aside));
            }
        }
    }
    Ok(leftovers)
}

/// Carries a plan out, under the directory's [`lock`]. `progress` is called with the bytes copied so far;
/// `interrupt` ends the copying early, and then nothing is changed.
///
/// # Errors
/// See [`Error`]: then the directory is as it was, or, where the exchange has happened, the next
/// call finishes it.
pub fn repair(
    dir: &Path,
    plan: &Plan,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(u64),
) -> Result<Repaired, Error> {
    not_in_use(dir)?;
    let before = fingerprint(dir)?;
    room_for(dir)?;
    let original = Inode::of(dir)?;
    let aside = journal::new_aside(dir)?;
    let mut journal = Journal::new(dir, original, plan);
    journal.write(&aside)?;
    let copy = aside.join(STATE);
    let result = match build(dir, &copy, plan, (interrupt, progress)) {
        // Whoever wrote to it meanwhile has not been seen by the plan.
        _ if fingerprint(dir)? != before => Err(Error::Changed(dir.to_owned())),
        result => result.and_then(|()| not_in_use(dir)),
    };
    if let Err(error) = result {
        if !matches!(error, Error::Unexpected { .. }) {
            let _ = tree::remove_if_there(&aside);
        }
        return Err(error);
    }
    journal.phase = Phase::Exchanging;
    journal.other = Some(Inode::of(&copy)?);
    journal.write(&aside)?;
    if let Err(error) = effects::exchange(&copy, dir) {
        let _ = tree::remove_if_there(&aside);
        return Err(io("exchange for its copy", dir)(error));
    }
    exchange::settle(dir, &aside, &journal)?;
    let report = assess(&plan.part.of(scan(dir)?));
    Ok(Repaired { report, aside })
}

/// Makes the copy and repairs it.
fn build(
    dir: &Path,
    copy: &Path,
    plan: &Plan,
    (interrupt, progress): (&Interrupt, &mut dyn FnMut(u64)),
) -> Result<(), Error> {
    tree::copy(dir, copy, interrupt, progress)?;
    let mut applied = Ok(());
    effects::pass(effects::Change::Other("repair", copy), || {
        applied = apply(copy, plan);
        Ok(())
    })
    .map_err(io("repair", copy))?;
    applied?;
    let report = assess(&plan.part.of(scan(copy)?));
    // The names of foreign files aside, to which sockets belong.
    if report.verdict == Verdict::Sound
        && (report.last_index, report.last_term) == (plan.after.last_index, plan.after.last_term)
        && report.segments == plan.after.segments
        && report.configuration == plan.after.configuration
    {
        return Ok(());
    }
    Err(Error::Unexpected {
        copy: copy.to_owned(),
        detail: format!(
            "{:?}, last index {} of term {}, instead of {} of term {}",
            report.verdict,
            report.last_index,
            report.last_term,
            plan.after.last_index,
            plan.after.last_term
        ),
    })
}

/// Whether a copy fits beside the directory, with something to spare.
fn room_for(dir: &Path) -> Result<(), Error> {
    const SPARE: u64 = 16 << 20;
    let parent = dir.parent().unwrap_or(dir);
    let room = nix::sys::statvfs::statvfs(parent)
        .map_err(|errno| io("look at the free space of", parent)(errno.into()))?;
    let free = room.blocks_available().saturating_mul(room.fragment_size());
    let size = size(dir).map_err(io("read", dir))?.saturating_add(SPARE);
    match size.checked_sub(free) {
        None | Some(0) => Ok(()),
        Some(needed) => Err(Error::NoRoom {
            dir: dir.to_owned(),
            needed,
            free,
        }),
    }
}

fn size(dir: &Path) -> std::io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() {
            size(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(total)
}

#[cfg(test)]
pub mod tests;
