//! Waking the agent when an event arrives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use inotify::{Inotify, WatchMask};

use crate::store::{Error, SUFFIX};

/// Watches the directory of the event files. Its file descriptor ([`AsFd`]) becomes readable when
/// an event has arrived; the owner polls it with its others.
#[derive(Debug)]
pub struct Watcher {
    inotify: Inotify,
    dir: PathBuf,
}

impl Watcher {
    /// Watches a directory, and creates it where it is not there yet. Events that are there
    /// already do not wake: take them once, *after* this.
    ///
    /// # Errors
    /// When the system fails.
    pub fn new(dir: &Path) -> Result<Self, Error> {
        crate::store::create(dir)?;
        let watch = || -> io::Result<Inotify> {
            let inotify = Inotify::init()?;
            // A file arrives by rename or, without replacing one, by link: never half written.
            // Its removal by ourselves wakes nobody.
            let mask = WatchMask::MOVED_TO
                | WatchMask::CREATE
                | WatchMask::MOVE_SELF
                | WatchMask::DELETE_SELF
                | WatchMask::ONLYDIR;
            inotify.watches().add(dir, mask)?;
            Ok(inotify)
        };
        let inotify = watch().map_err(|source| Error::Io {
            doing: "watch",
            path: dir.to_owned(),
            source,
        })?;
        Ok(Self {
            inotify,
            dir: dir.to_owned(),
        })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Empties what made the descriptor readable, without blocking. Says whether anything did;
    /// what it was, [`take_all`](crate::take_all) tells.
    ///
    /// # Errors
    /// When the system fails, or the directory has been removed or moved away: then nothing will
    /// wake any more, and a new watcher is needed.
    pub fn drain(&mut self) -> Result<bool, Error> {
        let mut buffer = [0; 4096];
        let mut woken = false;
        let failed = |source| Error::Io {
            doing: "watch",
            path: self.dir.clone(),
            source,
        };
        loop {
            match self.inotify.read_events(&mut buffer) {
                Ok(events) => {
                    for event in events {
                        let gone = inotify::EventMask::IGNORED
                            | inotify::EventMask::MOVE_SELF
                            | inotify::EventMask::DELETE_SELF;
                        if event.mask.intersects(gone) {
                            return Err(failed(io::ErrorKind::NotFound.into()));
                        }
                        // Not the temporary file that every event begins as.
                        woken |= event
                            .name
                            .is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(woken),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
