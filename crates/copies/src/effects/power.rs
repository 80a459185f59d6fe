//! Cutting a sequence of changes short, in this thread: by the death of the process, which leaves
//! what it wrote, or by that of the machine, which leaves what was made durable.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Change;

/// What ends the sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The process.
    Process,
    /// The machine.
    Power,
}

struct Cut {
    /// Changes that are still to happen.
    left: usize,
    end: End,
    over: bool,
    /// Written and not synced.
    dirty: Vec<PathBuf>,
    /// Renamed, and the directory not synced.
    renamed: Vec<(PathBuf, PathBuf)>,
}

thread_local! {
    static CUT: RefCell<Option<Cut>> = const { RefCell::new(None) };
}

/// Runs `body` up to its change number `after`; true when it was cut off there.
pub fn cut_after<T>(after: usize, end: End, body: impl FnOnce() -> T) -> (bool, T) {
    CUT.with_borrow_mut(|cut| {
        *cut = Some(Cut {
            left: after,
            end,
            over: false,
            dirty: Vec::new(),
            renamed: Vec::new(),
        });
    });
    let value = body();
    let over = CUT.with_borrow_mut(|cut| cut.take().is_some_and(|cut| cut.over));
    (over, value)
}

/// Takes the change, unless the sequence is over.
pub fn pass<T>(change: Change<'_>, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let cut = CUT.with_borrow_mut(|cut| cut.as_mut().is_some_and(Cut::step));
    if cut {
        return Err(io::Error::other("cut off by the test"));
    }
    let value = take()?;
    CUT.with_borrow_mut(|cut| {
        if let Some(cut) = cut {
            cut.note(&change);
        }
    });
    Ok(value)
}

impl Cut {
    /// Whether it is over.
    fn step(&mut self) -> bool {
        if self.over {
            return true;
        }
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        self.over = true;
        if self.end == End::Power {
            for (from, to) in self.renamed.drain(..).rev() {
                let _ = fs::rename(&to, &from);
                for dirty in self.dirty.iter_mut().filter(|dirty| **dirty == to) {
                    dirty.clone_from(&from);
                }
            }
            for path in self.dirty.drain(..) {
                if let Ok(file) = fs::File::options().write(true).open(&path) {
                    let _ = file.set_len(0);
                }
            }
        }
        true
    }

    fn note(&mut self, change: &Change<'_>) {
        let same = |one: &Path, other: &Path| one == other;
        match change {
            Change::Write(path) => self.dirty.push(path.to_path_buf()),
            Change::Sync(path) => self.dirty.retain(|dirty| !same(dirty, path)),
            Change::Rename(from, to) => {
                for dirty in self.dirty.iter_mut().filter(|dirty| same(dirty, from)) {
                    dirty.clone_from(&to.to_path_buf());
                }
                self.renamed.push((from.to_path_buf(), to.to_path_buf()));
            }
            Change::SyncDirectory(path) => {
                self.renamed.retain(|(_, to)| to.parent() != Some(*path));
            }
            Change::Make(_) | Change::Remove(_) | Change::Other => {}
        }
    }
}
