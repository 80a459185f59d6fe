//! A drop-in for every service of the snap, so that none starts before the role is settled.
//!
//! `systemctl disable` does not hold them: k8sd starts and enables services by itself, and
//! `snap start k8s` starts every service, disabled ones too. A drop-in with a condition holds
//! whoever asks, and survives a refresh of the snap.

use two_node_ha_config::Config;

use super::Origin;
use crate::salvage::Salvage;
use crate::tree::Tree;
use crate::unit::{DROP_IN, Refused, Unit};

/// Exists only while the agent allows the services of the snap to run.
pub const TOKEN: &str = "/run/two-node-ha/k8s.allowed";

/// The service that hands its role to another node when it is asked to stop.
const HANDS_OVER: &str = "k8s-dqlite";

/// The services to gate, their names checked.
pub struct Services<'a> {
    snap: &'a str,
    all: Vec<&'a str>,
    datastore: Vec<&'a str>,
}

impl<'a> Services<'a> {
    /// Those of a configuration.
    ///
    /// # Errors
    /// A name that cannot be part of a unit's name.
    pub fn of(config: &'a Config) -> Result<Self, Refused> {
        let k8s = &config.k8s;
        let mut all: Vec<&str> = Vec::with_capacity(k8s.services.len());
        for service in k8s.services.iter().chain(&k8s.datastore_services) {
            if !all.contains(&service.as_str()) {
                all.push(service);
            }
        }
        for name in all.iter().chain([&k8s.snap.as_str()]) {
            if !is_name(name) {
                return Err(Refused(format!(
                    "{name:?} cannot be the name of a snap or of one of its services"
                )));
            }
        }
        Ok(Self {
            snap: &k8s.snap,
            all,
            datastore: k8s.datastore_services.iter().map(String::as_str).collect(),
        })
    }

    /// Those of a broken file: what could be read of it, and the default ones in any case.
    pub fn salvaged(salvage: &'a Salvage) -> Self {
        Self {
            snap: &salvage.snap,
            all: salvage.services.iter().map(String::as_str).collect(),
            datastore: salvage
                .datastore_services
                .iter()
                .map(String::as_str)
                .collect(),
        }
    }
}

/// Whether a string may be a snap's or a service's part of `snap.SNAP.SERVICE.service`. Snapd
/// itself allows less.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 80
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Writes the gates.
pub fn write(tree: &mut Tree, services: &Services<'_>, origin: Origin<'_>) {
    for service in &services.all {
        let datastore = services.datastore.contains(service);
        tree.file(
            format!("snap.{}.{service}.service.d/{DROP_IN}", services.snap),
            gate(service, datastore, origin),
        );
    }
}

fn gate(service: &str, datastore: bool, origin: Origin<'_>) -> String {
    let mut unit = Unit::new(
        origin.source,
        "This service starts only once two-node-ha has settled which node is the voter.",
    );
    unit.set("ConditionPathExists", TOKEN);
    if datastore {
        unit.comment(
            "Stopped before Pacemaker unmounts the volume: stopping is the reverse of starting.",
        );
        unit.set("After", "two-node-ha-k8s.service pacemaker.service");
    } else {
        // Not after Pacemaker: its stop, and with it the failover, would wait for all of them.
        unit.set("After", "two-node-ha-k8s.service");
    }
    if service == HANDS_OVER {
        unit.section("Service");
        unit.comment(
            "Asked to stop, it would make the other node the voter, and new writes would go to\n\
             a disk that is not replicated. Killed, it leaves the volume as a power cut does.",
        );
        unit.set("ExecStop", "");
        unit.set("KillSignal", "SIGKILL");
        unit.set("SendSIGKILL", "yes");
        unit.set("SuccessExitStatus", "SIGKILL");
        unit.comment("Killed by someone else it shall come back, success or not.");
        unit.set("RestartForceExitStatus", "SIGKILL");
    }
    unit.finish()
}
