//! Dropping copies, and clearing away what is none.

use std::time::Duration;

use two_node_ha_disk as disk;
use two_node_ha_disk::effects::{self, Change};

use crate::error::{Error, io_error};
use crate::record::{Method, Why};
use crate::store::{Copy, part, read_record};
use crate::{Copies, lvm};

impl Copies {
    /// Drops a copy.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be removed; a damaged one can.
    pub fn drop_copy(&self, name: &str) -> Result<(), Error> {
        let _lock = self.lock(None)?;
        match self.get(name) {
            Ok(copy) => self.remove(&copy, lvm::DEADLINE),
            Err(Error::Damaged { .. }) => {
                // Only the names are certain.
                for path in [self.record_path(name), self.image_path(name)] {
                    disk::remove_file_if_there(&path).map_err(io_error("remove", &path))?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Drops what a crash left.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn drop_leftovers(&self) -> Result<(), Error> {
        let _lock = self.lock(None)?;
        self.clear(lvm::DEADLINE)
    }

    /// The copies from before a resync beyond the newest `keep`. The newest one of data that was
    /// whole is none of them, however many of half-synchronised data came after it.
    pub(crate) fn surplus(&self, keep: u32) -> Result<Vec<Copy>, Error> {
        let mut copies = self.list()?.copies;
        copies.retain(|copy| copy.record.why == Why::BeforeResync);
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let kept = copies.split_off(copies.len().saturating_sub(keep));
        let whole = |copy: &Copy| copy.record.consistent != Some(false);
        if keep > 0 && !kept.iter().any(whole) {
            if let Some(newest) = copies.iter().rposition(whole) {
                copies.remove(newest);
            }
        }
        Ok(copies)
    }

    /// Removes a copy: its record first, so that what is listed is whole.
    pub(crate) fn remove(&self, copy: &Copy, deadline: Duration) -> Result<(), Error> {
        let record = self.record_path(&copy.name);
        let sync = || disk::sync_directory(&self.dir).map_err(io_error("sync", &self.dir));
        if copy.record.method == Method::LvmSnapshot {
            // Under a temporary name, which keeps that of the snapshot for another try.
            let parts = part(&record);
            effects::rename(&record, &parts).map_err(io_error("remove", &record))?;
            sync()?;
            let snapshot = copy.record.snapshot.as_deref().unwrap_or_default();
            if let Err(error) = self.remove_snapshot(&copy.name, snapshot, deadline) {
                // In use, perhaps: then it is a copy as before.
                effects::rename(&parts, &record).map_err(io_error("rename", &parts))?;
                return Err(error);
            }
            disk::remove_file_if_there(&parts).map_err(io_error("remove", &parts))?;
            return sync();
        }
        disk::remove_file_if_there(&record).map_err(io_error("remove", &record))?;
        sync()?;
        disk::remove_file_if_there(&copy.path).map_err(io_error("remove", &copy.path))?;
        sync()
    }

    /// Removes what a crash left. The lock is held: nobody is making any of it.
    pub(crate) fn clear(&self, deadline: Duration) -> Result<(), Error> {
        for path in self.list()?.leftovers {
            // What has not even its temporary name tells nothing that this one does not.
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.and_then(|name| name.strip_suffix(".json.part")) {
                let snapshot = read_record(&path).ok().and_then(|record| record.snapshot);
                if let Some(snapshot) = snapshot {
                    if self.snapshot_path(&snapshot).exists() {
                        self.remove_snapshot(name, &snapshot, deadline)?;
                    }
                }
            }
            disk::remove_file_if_there(&path).map_err(io_error("remove", &path))?;
        }
        Ok(())
    }

    /// Removes the snapshot of a copy. Never anything else, whatever a record says.
    pub(crate) fn remove_snapshot(
        &self,
        name: &str,
        snapshot: &str,
        deadline: Duration,
    ) -> Result<(), Error> {
        if snapshot.rsplit('/').next() != Some(name) {
            return Err(Error::Lvm(format!(
                "the record of {name} names {snapshot}, which is no copy; it stays"
            )));
        }
        let path = self.snapshot_path(snapshot);
        let removal = lvm::removal(snapshot, deadline);
        effects::pass(Change::Other("remove the snapshot", &path), || {
            Ok(lvm::run(&*self.runner, &removal))
        })
        .map_err(io_error("remove", &path))?
        .map(|_| ())
    }
}
