//! Making a copy: the best way that works here.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::{Error, Refused, io_error};
use crate::record::{Method, Record, VERSION, Why};
use crate::source::Source;
use crate::space::Space;
use crate::store::{Copy, part};
use crate::{Copies, effects, lvm, sparse, sys, time};

/// How long it may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// When it must be done; `None`: whenever.
    pub until: Option<Instant>,
}

impl Limits {
    /// Until then.
    #[must_use]
    pub fn until(until: Instant) -> Self {
        Self { until: Some(until) }
    }

    /// What is left, from a moment on.
    pub(crate) fn left(&self, from: Instant) -> Option<Duration> {
        self.until
            .map(|until| until.saturating_duration_since(from))
    }

    /// What another program may take.
    pub(crate) fn of_program(&self) -> Duration {
        let left = self.left(Instant::now());
        left.map_or(lvm::DEADLINE, |left| left.min(lvm::DEADLINE))
    }
}

/// Hears how far it is.
pub trait Progress {
    /// So many bytes of so many.
    fn step(&mut self, done: u64, total: u64);

    /// Whether the copy is wanted no more, for now; asked after each step.
    fn is_over(&self) -> bool {
        false
    }
}

/// Nobody listens.
impl Progress for () {
    fn step(&mut self, _: u64, _: u64) {}
}

/// What DRBD says of the data that is copied.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Its name of the disk state.
    pub disk: Option<String>,
    /// Whether that means whole data.
    pub consistent: Option<bool>,
}

/// A way that is not there, or one that failed.
enum Way {
    /// Not here: another file system, no logical volume.
    None,
    /// Here, but.
    Failed(Refused),
}

impl Copies {
    /// Makes a copy of the data as it is now, whatever `hooks.copies` says. When this returns, it
    /// is whole and on the disk. Nothing else may write the backing data meanwhile: the resource
    /// is secondary, or down.
    ///
    /// # Errors
    /// Why there is none; nothing of it is left then.
    pub fn make(
        &self,
        why: Why,
        limits: Limits,
        progress: &mut dyn Progress,
    ) -> Result<Copy, Refused> {
        let _lock = self.lock(limits.until)?;
        // What cannot be cleared away is in nobody's way but that of space.
        let _ = self.clear(limits.of_program());
        self.make_locked(why, &State::default(), limits, progress)
    }

    pub(crate) fn make_locked(
        &self,
        why: Why,
        state: &State,
        limits: Limits,
        progress: &mut dyn Progress,
    ) -> Result<Copy, Refused> {
        let began = Instant::now();
        let source = Source::open(&self.backing)?;
        let generation = source.generation();
        let now = time::now();
        let name = self.new_name(now);
        let mut record = Record {
            format: VERSION,
            resource: self.resource.clone(),
            time: now,
            made: time::text(now),
            why,
            method: Method::Sparse,
            backing: self.backing.clone(),
            size: source.size,
            disk_state: state.disk.clone(),
            consistent: state
                .consistent
                .or(generation.as_ref().map(|generation| generation.consistent)),
            generation,
            snapshot: None,
            checksum: None,
            took_ms: 0,
        };
        let made = self.best_way(&name, &source, &mut record, limits, progress);
        let made = made.and_then(|()| {
            let took = began.elapsed().as_millis();
            record.took_ms = u64::try_from(took).unwrap_or(u64::MAX);
            Ok(self.finish(&name, &record)?)
        });
        if let Err(refused) = made {
            self.undo(&name, &record, limits);
            return Err(refused);
        }
        Ok(self.get(&name)?)
    }

    /// Leaves the image (or snapshot) and, for a snapshot, the record under a temporary name.
    fn best_way(
        &self,
        name: &str,
        source: &Source,
        record: &mut Record,
        limits: Limits,
        progress: &mut dyn Progress,
    ) -> Result<(), Refused> {
        let first = if source.device {
            self.snapshot(name, source, record, limits)
        } else {
            self.reflink(name, source, record)
        };
        let before = match first {
            Ok(()) => return Ok(()),
            Err(Way::None) => None,
            Err(Way::Failed(refused)) => Some(refused),
        };
        match (self.sparse(name, source, record, limits, progress), before) {
            (Ok(()), _) => Ok(()),
            // What keeps the better way from working is what there is to do something about.
            (Err(Refused::Space { .. } | Refused::Slow { .. }), Some(before)) => Err(before),
            (Err(refused), _) => Err(refused),
        }
    }

    fn reflink(&self, name: &str, source: &Source, record: &mut Record) -> Result<(), Way> {
        let path = part(&self.image_path(name));
        let failed = |doing| {
            let path = &path;
            move |error| Way::Failed(Refused::Failed(io_error(doing, path)(error)))
        };
        let file = effects::create(&path).map_err(failed("create"))?;
        let cloned = sys::like(&source.file, &file)
            .and_then(|()| effects::clone(&source.file, &file, &path));
        if let Err(error) = cloned {
            effects::remove(&path).map_err(failed("remove"))?;
            return Err(match error.raw_os_error().map(Errno::from_raw) {
                // Not on this file system, not across two, not these two files.
                Some(
                    Errno::EOPNOTSUPP
                    | Errno::EXDEV
                    | Errno::EINVAL
                    | Errno::ENOTTY
                    | Errno::ENOSYS
                    | Errno::EPERM
                    | Errno::ETXTBSY,
                ) => Way::None,
                _ => failed("clone the backing file to")(error),
            });
        }
        // The copy takes no room; each block of the backing file that changes from now on does,
        // and DRBD, which knows nothing of that, would get the write error.
        if let Err(refused) = self.room_for(source.allocated.min(source.size), record.why) {
            effects::remove(&path).map_err(failed("remove"))?;
            return Err(Way::Failed(refused));
        }
        effects::sync(&file, &path).map_err(failed("sync"))?;
        record.method = Method::Reflink;
        Ok(())
    }

    fn snapshot(
        &self,
        name: &str,
        source: &Source,
        record: &mut Record,
        limits: Limits,
    ) -> Result<(), Way> {
        if !lvm::is_volume(&self.root, source.rdev) {
            return Err(Way::None);
        }
        let failed = |error| Way::Failed(Refused::Failed(error));
        let runner = &*self.runner;
        let answer = lvm::run(runner, &lvm::question(&self.backing, limits.of_program()));
        let volume = lvm::parse(&answer.map_err(failed)?).ok_or(Way::None)?;
        let needed = lvm::needed(&volume);
        if volume.free < needed {
            let space = Space {
                free: volume.free,
                reserve: 0,
            };
            return Err(Way::Failed(space.refusal(needed, Path::new(&volume.group))));
        }
        record.method = Method::LvmSnapshot;
        record.snapshot = Some(format!("{}/{name}", volume.group));
        // First, so that a crash leaves the snapshot's name.
        let path = part(&self.record_path(name));
        write_new(&path, record).map_err(|error| failed(io_error("write", &path)(error)))?;
        let call = lvm::creation(&volume, name, limits.of_program());
        let made = effects::pass(effects::Change::Other, || Ok(lvm::run(runner, &call)));
        let made = made
            .map_err(io_error("snapshot", &self.backing))
            .and_then(|made| made);
        if let Err(error) = made {
            self.undo(name, record, limits);
            record.method = Method::Sparse;
            record.snapshot = None;
            return Err(failed(error));
        }
        Ok(())
    }

    fn sparse(
        &self,
        name: &str,
        source: &Source,
        record: &mut Record,
        limits: Limits,
        progress: &mut dyn Progress,
    ) -> Result<(), Refused> {
        let path = part(&self.image_path(name));
        self.room_for(
            data_size(source).map_err(io_error("look for data in", &self.backing))?,
            record.why,
        )?;
        let file: File = effects::create(&path).map_err(io_error("create", &path))?;
        let digest = sparse::copy(source, &file, &path, &limits, progress)?;
        record.checksum = Some(digest.text());
        Ok(())
    }

    /// Sees to it that so many bytes can be written; drops what this copy displaces anyway, where
    /// that makes the difference.
    fn room_for(&self, needed: u64, why: Why) -> Result<(), Refused> {
        let space = Space::of(&self.dir)?;
        if space.usable() >= needed {
            return Ok(());
        }
        if why == Why::BeforeResync {
            let displaced = self.surplus(self.keep.saturating_sub(1))?;
            let more: u64 = displaced.iter().filter_map(|copy| copy.stored).sum();
            if space.usable().saturating_add(more) >= needed {
                for copy in &displaced {
                    self.remove(copy, lvm::DEADLINE)?;
                }
                return Ok(());
            }
        }
        Err(space.refusal(needed, &self.dir))
    }

    /// Gives image and record their names: the record last.
    fn finish(&self, name: &str, record: &Record) -> Result<(), Error> {
        let image = self.image_path(name);
        if record.method != Method::LvmSnapshot {
            effects::rename(&part(&image), &image).map_err(io_error("name", &image))?;
            // It must not be the record alone that has its name after a power cut.
            effects::sync_directory(&self.dir).map_err(io_error("sync", &self.dir))?;
        }
        let path = self.record_path(name);
        let content = serde_json::to_vec(record).unwrap_or_default();
        effects::replace(&path, &part(&path), &content).map_err(io_error("write", &path))
    }

    /// Removes what was made of a copy that failed; what cannot be removed now, the next call
    /// clears away.
    fn undo(&self, name: &str, record: &Record, limits: Limits) {
        let image = self.image_path(name);
        let _ = effects::remove(&part(&image));
        let _ = effects::remove(&image);
        let parts = part(&self.record_path(name));
        let mut gone = true;
        if let Some(snapshot) = &record.snapshot {
            if self.snapshot_path(snapshot).exists() {
                gone = self
                    .remove_snapshot(name, snapshot, limits.of_program())
                    .is_ok();
            }
        }
        if gone {
            let _ = effects::remove(&parts);
        }
    }
}

/// Writes a record to a file that is not there yet.
fn write_new(path: &Path, record: &Record) -> io::Result<()> {
    let content = serde_json::to_vec(record).unwrap_or_default();
    let file = effects::create(path)?;
    effects::write(&file, path, &content, 0)?;
    effects::sync(&file, path)?;
    effects::sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Bytes that may have to be copied.
fn data_size(source: &Source) -> io::Result<u64> {
    let (mut at, mut size) = (0, 0_u64);
    while let Some((begin, end)) = source.data(at)? {
        size = size.saturating_add(end.saturating_sub(begin));
        // Progress even where a file system answers nonsense.
        at = end.max(at.saturating_add(1));
    }
    Ok(size)
}
