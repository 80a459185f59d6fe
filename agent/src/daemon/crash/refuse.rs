//! File systems of the bench that take no change from a certain moment on: full, or read-only.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use two_node_ha_disk::effects::Change;
use two_node_ha_disk::power;
use two_node_ha_disk::room::Fault as NoRoom;

use super::bench::Bench;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing new, and nothing longer.
    Full,
    /// No change at all.
    ReadOnly,
}

impl Fault {
    pub fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Full => libc::ENOSPC,
            Self::ReadOnly => libc::EROFS,
        })
    }

    pub fn refuses(self, change: &Change<'_>) -> bool {
        match change {
            Change::Sync(_) | Change::SyncDirectory(_) | Change::SyncAll(_) => false,
            Change::Make(_) | Change::Write(_) | Change::Other(..) => true,
            Change::Rename(..)
            | Change::Exchange(..)
            | Change::Remove(_)
            | Change::RemoveTree(_) => self == Self::ReadOnly,
        }
    }
}

/// A file system of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/`, without what follows.
    Root,
    /// `/var`, where it is apart.
    Var,
    /// `/run`
    Run,
    /// The volume, on whichever node it is.
    Volume,
}

/// Some file systems that take no change.
pub struct Refusing {
    /// Whose; the volume's node does not matter.
    pub node: usize,
    pub fault: Fault,
    pub places: &'static [Place],
    /// The change of any node from which on it is so, counted from 1.
    pub from: u64,
    seen: Cell<u64>,
}

impl Refusing {
    pub fn new(node: usize, fault: Fault, places: &'static [Place], from: u64) -> Self {
        Self {
            node,
            fault,
            places,
            from,
            seen: Cell::new(0),
        }
    }

    pub fn has_begun(&self) -> bool {
        self.seen.get() >= self.from
    }

    fn is_in(&self, bench: &Bench, index: usize, path: &Path) -> bool {
        place_of(bench, index, path).is_some_and(|place| {
            self.places.contains(&place) && (place == Place::Volume || index == self.node)
        })
    }

    /// Whether it refuses a change, once it has begun.
    pub fn would_refuse(&self, bench: &Bench, index: usize, change: &Change<'_>) -> bool {
        let paths = power::paths(change);
        self.fault.refuses(change) && paths.iter().any(|path| self.is_in(bench, index, path))
    }
}

/// The file system that a path of a node is on; none for what is beside the disks.
fn place_of(bench: &Bench, index: usize, path: &Path) -> Option<Place> {
    let node = &bench.nodes[index];
    let path = resolved(path);
    if bench.volume_on.get() == Some(index)
        && path.starts_with(node.paths.mount_point(&node.config))
    {
        return Some(Place::Volume);
    }
    let below = path.strip_prefix(node.paths.root()).ok()?;
    Some(if below.starts_with("run") {
        Place::Run
    } else if below.starts_with("var") {
        Place::Var
    } else {
        Place::Root
    })
}

/// Without the links on the way; the last part, where it is one, is what is changed.
fn resolved(path: &Path) -> PathBuf {
    if !path.is_symlink() {
        if let Ok(path) = fs::canonicalize(path) {
            return path;
        }
    }
    let parent = path
        .parent()
        .and_then(|parent| fs::canonicalize(parent).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_path_buf(),
    }
}

/// From the `from`th change on, of whichever node.
pub fn begin(
    bench: &Rc<Bench>,
    node: usize,
    fault: Fault,
    places: &'static [Place],
    from: u64,
) -> Rc<Refusing> {
    let refusing = Rc::new(Refusing::new(node, fault, places, from));
    *bench.refusing.borrow_mut() = Some(Rc::clone(&refusing));
    let (weak, mine) = (Rc::downgrade(bench), Rc::clone(&refusing));
    power::before_each(Some(Rc::new(move |index, change: &Change<'_>| {
        let Some(bench) = weak.upgrade() else {
            return Ok(());
        };
        mine.seen.set(mine.seen.get() + 1);
        if mine.has_begun() && mine.would_refuse(&bench, index, change) {
            return Err(mine.fault.error());
        }
        Ok(())
    })));
    let (weak, mine) = (Rc::downgrade(bench), Rc::clone(&refusing));
    power::rooms(Some(Rc::new(move |index, directory: &Path| {
        let bench = weak.upgrade().unwrap();
        // Whatever is above a directory that is not there yet is on the same.
        let place = place_of(&bench, index, &directory.join("x"));
        let fault = bench.takes_changes(index, directory).err();
        let fault = fault.map(|_| match mine.fault {
            Fault::Full => NoRoom::Full,
            Fault::ReadOnly => NoRoom::ReadOnly,
        });
        (place.map_or(0, |place| 1 + place as u64), fault)
    })));
    refusing
}

/// There is space again.
pub fn end(bench: &Bench) {
    power::before_each(None);
    power::rooms(None);
    *bench.refusing.borrow_mut() = None;
}

impl Bench {
    /// Whether a program of a node could change something in a directory.
    pub fn takes_changes(&self, index: usize, directory: &Path) -> io::Result<()> {
        match &*self.refusing.borrow() {
            Some(refusing)
                if refusing.has_begun() && refusing.is_in(self, index, &directory.join("x")) =>
            {
                Err(refusing.fault.error())
            }
            _ => Ok(()),
        }
    }
}

/// What a program of the snap, or its service, says of a change that a disk has refused; any other
/// error is the power's.
pub fn in_its_words<T>(said: io::Result<Result<T, String>>) -> io::Result<Result<T, String>> {
    match said {
        // As Go says it, in lower case.
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
            Ok(Err("Error: write: no space left on device".into()))
        }
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => {
            Ok(Err("Error: open: read-only file system".into()))
        }
        said => said,
    }
}
