//! A drop-in for every service of the snap, so that none starts before the role is settled.
//!
//! `systemctl disable` does not hold them: k8sd starts and enables services by itself, and
//! `snap start k8s` starts every service, disabled ones too. A drop-in with a condition holds
//! whoever asks, and survives a refresh of the snap.

use std::path::Path;

use two_node_ha_config::Config;
use two_node_ha_node::TOKEN;

use super::Origin;
use crate::salvage::Salvage;
use crate::tree::Tree;
use crate::unit::{DROP_IN, Refused, Unit, argument, is_name, value};

/// The service that hands its role to another node when it is asked to stop.
const HANDS_OVER: &str = "k8s-dqlite";

/// The section that `two-node-ha failover --release` reads: the way down finds by it what to kill,
/// whatever has become of the configuration. systemd ignores what begins with `X-`.
const FOR_US: &str = "X-TwoNodeHA";

/// The services to gate, their names and paths checked.
pub struct Services<'a> {
    snap: &'a str,
    all: Vec<&'a str>,
    datastore: Vec<&'a str>,
    /// State directories by service, each as an argument and as a value.
    directories: Vec<(&'static str, String, String)>,
    /// Of the volume's device, where it is known.
    minor: Option<u32>,
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
        let directory = |service, key: &str, path: &Path| {
            let path = path.to_string_lossy();
            Ok((service, argument(key, &path)?, value(key, &path)?))
        };
        Ok(Self {
            snap: &k8s.snap,
            all,
            datastore: k8s.datastore_services.iter().map(String::as_str).collect(),
            directories: vec![
                directory(HANDS_OVER, "k8s.k8s_dqlite_dir", &k8s.k8s_dqlite_dir)?,
                directory("k8sd", "k8s.k8sd_dir", &k8s.k8sd_dir)?,
            ],
            minor: Some(config.volume.minor),
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
            // A wrong directory would be worse than none: the gate then goes by the volume alone.
            directories: Vec::new(),
            minor: None,
        }
    }
}

/// Writes the gates.
pub fn write(tree: &mut Tree, services: &Services<'_>, origin: Origin<'_>) {
    for service in &services.all {
        let datastore = services.datastore.contains(service);
        tree.file(
            format!("snap.{}.{service}.service.d/{DROP_IN}", services.snap),
            gate(service, datastore, services, origin),
        );
    }
}

fn gate(service: &str, datastore: bool, services: &Services<'_>, origin: Origin<'_>) -> String {
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
    if !datastore {
        return unit.finish();
    }
    let directory = services
        .directories
        .iter()
        .find(|(of, ..)| *of == service)
        .map(|(_, argument, value)| (argument, value));
    unit.section("Service");
    unit.comment(
        "The token says what the agent wanted when it gave it. This asks the kernel, at the very\n\
         start: is the volume mounted here, and does the failover unit hold the role?",
    );
    let mut ask = String::from(":+/usr/bin/two-node-ha gate");
    if let Some((argument, _)) = directory {
        ask.push_str(" --database ");
        ask.push_str(argument);
    }
    if let Some(minor) = services.minor {
        ask.push_str(" --minor ");
        ask.push_str(&minor.to_string());
    }
    unit.set("ExecCondition", &ask);
    if service == HANDS_OVER {
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
    unit.section(FOR_US);
    unit.comment("Killed by `two-node-ha failover --release` before the volume is unmounted.");
    unit.set("WritesDatabase", "yes");
    if let Some((_, value)) = directory {
        unit.set("StateDirectory", value);
    }
    unit.finish()
}
