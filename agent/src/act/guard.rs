//! Invariants I1 and I3, asked again right before a step that could destroy something.

use super::{Actor, Error};
use crate::observe::Mount;
use crate::observe::live;
use crate::systemd::UnitState;

impl Actor {
    /// The volume, and nothing else, is mounted here read-write.
    pub(super) fn volume_mounted(&self) -> Result<(), Error> {
        match self.mount()? {
            Mount::ReadWrite => Ok(()),
            other => Err(Error::Guard(format!(
                "the volume is not mounted read-write on {} ({other:?})",
                self.config.volume.mount_point.display()
            ))),
        }
    }

    /// Nothing is mounted at the mount point.
    pub(super) fn nothing_mounted(&self) -> Result<(), Error> {
        match self.mount()? {
            Mount::None => Ok(()),
            other => Err(Error::Guard(format!(
                "something is mounted on {} ({other:?})",
                self.config.volume.mount_point.display()
            ))),
        }
    }

    fn mount(&self) -> Result<Mount, Error> {
        live::mount(&self.paths, &self.config)
            .map_err(|error| Error::Guard(format!("the mounts cannot be read: {error}")))
    }

    /// No service of the snap runs or is about to, and none may start.
    pub(super) fn services_stopped(&self) -> Result<(), Error> {
        if self.paths.token().exists() {
            return Err(Error::Guard(
                "the services are still allowed to start".into(),
            ));
        }
        let units = super::gated_units(&self.config);
        for (unit, state) in self.systemd.states(&units)? {
            match state {
                UnitState::NotThere | UnitState::Stopped => {}
                UnitState::Active | UnitState::Changing => {
                    return Err(Error::Guard(format!("{unit} still runs")));
                }
            }
        }
        Ok(())
    }
}
