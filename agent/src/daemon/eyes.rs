//! The eyes: everything that is seen of this node, in one look. They change nothing.

use std::sync::{Arc, Mutex, PoisonError};

use two_node_ha_pacemaker::lock;
use two_node_ha_planner::machine::Sight;
use two_node_ha_planner::observation::Mount;

use super::shared::Shared;
use crate::act::{Actor, FAILOVER_UNIT};
use crate::observe::logs::Looks;
use crate::observe::volume::Reader;
use crate::observe::{live, units, volume};

/// What a look goes on from.
#[derive(Debug, Default)]
pub(super) struct Eyes {
    /// The look at the volume.
    volume: Reader,
    /// What was seen of the logs there, and of those on this node's own disk. Apart, since a look at
    /// the volume may not come back.
    volume_looks: Arc<Mutex<Looks>>,
    looks: Looks,
}

impl Eyes {
    /// Looks, through the doors of the hands, which are still meanwhile.
    pub(super) fn look(&mut self, actor: &Actor, shared: &Shared) -> Sight {
        let (request, hold) = shared.asked();
        let Self {
            volume,
            volume_looks,
            looks,
        } = self;
        let (paths, config) = (&actor.paths, &actor.config);
        let mount = match live::mount(paths, config) {
            Ok(mount) => mount,
            Err(error) => Mount::Foreign(format!("unknown: {error}")),
        };
        let systemd = units::look(&*actor.systemd, config, FAILOVER_UNIT);
        let drbd = live::drbd(&*actor.runner, config);
        let (on_volume, volume_silent) = if mount == Mount::ReadWrite {
            let (paths, config) = (paths.clone(), Arc::clone(config));
            let looks = Arc::clone(volume_looks);
            volume.look(drbd.suspended.is_some(), volume::PATIENCE, move || {
                // One look at a time; one that panicked has left plain values behind.
                let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
                live::volume(&paths, &config, &mut looks)
            })
        } else {
            (volume.unmounted(), false)
        };
        Sight {
            mount_point: live::mount_point(paths, config, &mount),
            request,
            hold,
            failover_unit: systemd.failover,
            shutting_down: actor.systemd.shutting_down(),
            databases: live::databases(paths, config, &on_volume, looks),
            epoch: on_volume.epoch,
            volume_silent,
            handler_at_work: lock::is_held(&paths.run(), &config.volume.resource),
            own_disconnect: paths.own_disconnect().exists(),
            journal: actor.journal.clone(),
            services: systemd.services,
            down: systemd.down,
            token: paths.token().exists(),
            resolution: live::resolution(paths),
            split_brain_reported: !drbd.connected && live::split_brain_reported(paths),
            drbd,
            mount,
        }
    }
}
