//! The cluster's resources and constraints: one model, three ways of writing it down.
//!
//! What differs from the guide, and why:
//! - `clone … promotable=true` and the role `Promoted`, which Pacemaker 2.1 and 3.0 both know; 3.0 has
//!   dropped `master`.
//! - The failover unit goes *with* the file system and that with the promoted DRBD. The guide had it
//!   the other way round, so that one failed start dragged the primary away. The identifiers are the
//!   guide's, so that applying this to a cluster set up by it turns its constraint round.
//! - Monitors everywhere, and time-outs from the configuration: an operation without one has 20 s.
//! - One failed start is not fatal; `migration-threshold` says how many are.
//! - The file system's agent asks nobody to end: k8s-dqlite hands its role over when it is asked.

pub mod cib;
pub mod crm;
pub mod pcs;

mod operations;

use std::time::Duration;

use two_node_ha_config::{Config, FencingMode};

/// The instance that is DRBD's primary.
const PROMOTED: &str = "Promoted";

/// What its agents recommend (`crm_resource --show-metadata`), where the configuration has no key.
const DRBD_START: Duration = Duration::from_secs(240);
const DRBD_STOP: Duration = Duration::from_secs(100);
const DRBD_DEMOTE: Duration = Duration::from_secs(90);
const DRBD_NOTIFY: Duration = Duration::from_secs(90);
const DRBD_MONITOR: Duration = Duration::from_secs(30);
const FS_START: Duration = Duration::from_secs(60);
const FS_MONITOR_INTERVAL: Duration = Duration::from_secs(20);
const FS_MONITOR: Duration = Duration::from_secs(40);
/// A monitor of a systemd unit is one D-Bus call.
const UNIT_MONITOR_INTERVAL: Duration = Duration::from_secs(15);
const UNIT_MONITOR: Duration = Duration::from_secs(30);
/// Each is a visit to a management controller, which are slow and dislike many.
const FENCE_MONITOR_INTERVAL: Duration = Duration::from_secs(60);
const FENCE_MONITOR: Duration = Duration::from_secs(60);
const FENCE_START: Duration = Duration::from_secs(60);

/// What `ocf:heartbeat:Filesystem` can be told about the processes that it finds on the volume when it
/// unmounts it. By the time it does, the failover unit has seen to it that there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounting {
    /// resource-agents 4.13 and later: which signals it sends first (`term_signals`).
    Signals,
    /// Before: SIGTERM comes first, always. So none at all may be sent, and it tries for as long as its
    /// stop may take.
    NoSignals,
}

/// A name and its value.
type Pair = (String, String);

/// Everything that is asked of Pacemaker.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    /// Cluster properties.
    pub properties: Vec<Pair>,
    /// Primitives, the DRBD one first.
    pub resources: Vec<Resource>,
    /// The clone over the first of them.
    pub clone: PromotableClone,
    /// Where and in which order they run.
    pub constraints: Vec<Constraint>,
}

/// A primitive.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its id.
    pub id: String,
    /// `ocf`, `systemd` or `stonith`.
    pub class: &'static str,
    /// The provider of an `ocf` agent.
    pub provider: Option<&'static str>,
    /// The agent.
    pub agent: String,
    /// Instance attributes.
    pub params: Vec<Pair>,
    /// Operations.
    pub operations: Vec<Operation>,
    /// Meta attributes.
    pub meta: Vec<Pair>,
}

/// An operation of a primitive.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// `start`, `monitor`, …
    pub name: &'static str,
    /// Zero for all but monitors.
    pub interval: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// The role that a monitor is for.
    pub role: Option<&'static str>,
    /// What follows a failure, where not Pacemaker's default.
    pub on_fail: Option<&'static str>,
}

/// The promotable clone.
#[derive(Debug, PartialEq, Eq)]
pub struct PromotableClone {
    /// Its id.
    pub id: String,
    /// The primitive in it.
    pub of: String,
    /// Meta attributes.
    pub meta: Vec<Pair>,
}

/// A constraint.
#[derive(Debug, PartialEq, Eq)]
pub enum Constraint {
    /// `what` runs only where `with` does.
    Colocation {
        /// Its id.
        id: &'static str,
        /// The resource that is placed.
        what: String,
        /// The one that was placed before it.
        with: String,
        /// In which role.
        role: Option<&'static str>,
    },
    /// `first` before `then`; at a stop the other way round.
    Order {
        /// Its id.
        id: &'static str,
        /// What comes first, and its action.
        first: (String, &'static str),
        /// What is started then.
        then: String,
    },
    /// `what` never runs on `node`.
    Never {
        /// Its id.
        id: String,
        /// The resource.
        what: String,
        /// The node.
        node: String,
    },
}

fn pair(name: &str, value: impl Into<String>) -> Pair {
    (name.to_owned(), value.into())
}

/// Whole seconds where there are, so that every version of every shell reads it.
fn time(d: Duration) -> String {
    if d.subsec_millis() == 0 {
        format!("{}s", d.as_secs())
    } else {
        format!("{}ms", d.as_millis())
    }
}

fn operation(name: &'static str, timeout: Duration) -> Operation {
    Operation {
        name,
        interval: Duration::ZERO,
        timeout,
        role: None,
        on_fail: None,
    }
}

fn monitor(interval: Duration, timeout: Duration, role: Option<&'static str>) -> Operation {
    Operation {
        interval,
        role,
        ..operation("monitor", timeout)
    }
}

/// A resource that cannot be stopped still writes: only fencing takes it off the volume. Without
/// fencing nothing else may be started, either.
fn stop(c: &Config, timeout: Duration) -> Operation {
    Operation {
        on_fail: Some(match c.fencing.mode {
            FencingMode::Stonith => "fence",
            FencingMode::Constraint | FencingMode::None => "block",
        }),
        ..operation("stop", timeout)
    }
}

/// The cluster that a configuration asks for.
#[must_use]
pub fn model(c: &Config, unmounting: Unmounting) -> Model {
    let p = &c.pacemaker;
    let stonith = c.fencing.mode == FencingMode::Stonith;
    let mut resources = vec![drbd(c), file_system(c, unmounting), failover(c)];
    let mut constraints = vec![
        Constraint::Colocation {
            id: "fs_drbd_colo",
            what: p.fs_resource.clone(),
            with: p.drbd_clone.clone(),
            role: Some(PROMOTED),
        },
        Constraint::Colocation {
            id: "fs_failover_colo",
            what: p.failover_resource.clone(),
            with: p.fs_resource.clone(),
            role: None,
        },
        Constraint::Order {
            id: "fs_after_drbd",
            first: (p.drbd_clone.clone(), "promote"),
            then: p.fs_resource.clone(),
        },
        Constraint::Order {
            id: "failover_after_fs",
            first: (p.fs_resource.clone(), "start"),
            then: p.failover_resource.clone(),
        },
    ];
    if stonith {
        for device in &c.fencing.devices {
            constraints.push(Constraint::Never {
                id: format!("{}_elsewhere", device.name),
                what: device.name.clone(),
                node: device.node.clone(),
            });
        }
        resources.extend(fence_devices(c));
    }
    Model {
        properties: vec![
            pair("stonith-enabled", stonith.to_string()),
            pair("no-quorum-policy", p.no_quorum_policy.as_str()),
            pair("start-failure-is-fatal", "false"),
        ],
        resources,
        clone: PromotableClone {
            id: p.drbd_clone.clone(),
            of: p.drbd_resource.clone(),
            meta: [
                ("promotable", "true"),
                ("promoted-max", "1"),
                ("promoted-node-max", "1"),
                ("clone-max", "2"),
                ("clone-node-max", "1"),
                ("notify", "true"),
                ("interleave", "true"),
            ]
            .map(|(name, value)| pair(name, value))
            .into(),
        },
        constraints,
    }
}

/// How failures are counted: without `start-failure-is-fatal`, a start that fails for ever would be
/// tried for ever.
fn failures(c: &Config) -> Vec<Pair> {
    vec![
        pair(
            "migration-threshold",
            c.pacemaker.migration_threshold.to_string(),
        ),
        pair("failure-timeout", time(c.pacemaker.failure_timeout)),
    ]
}

fn drbd(c: &Config) -> Resource {
    let p = &c.pacemaker;
    Resource {
        id: p.drbd_resource.clone(),
        class: "ocf",
        provider: Some("linbit"),
        agent: "drbd".to_owned(),
        params: vec![pair("drbd_resource", c.volume.resource.as_str())],
        operations: vec![
            operation("start", DRBD_START),
            operation("promote", p.promote_timeout),
            operation("demote", DRBD_DEMOTE),
            stop(c, DRBD_STOP),
            operation("notify", DRBD_NOTIFY),
            monitor(p.monitor_promoted, DRBD_MONITOR, Some(PROMOTED)),
            monitor(p.monitor_unpromoted, DRBD_MONITOR, Some("Unpromoted")),
        ],
        meta: failures(c),
    }
}

fn file_system(c: &Config, unmounting: Unmounting) -> Resource {
    let v = &c.volume;
    let mut params = vec![
        pair("device", v.device.to_string_lossy()),
        pair("directory", v.mount_point.to_string_lossy()),
        pair("fstype", v.fstype.as_str()),
    ];
    if !v.mount_options.is_empty() {
        params.push(pair("options", v.mount_options.join(",")));
    }
    match unmounting {
        Unmounting::Signals => params.push(pair("term_signals", "KILL")),
        // Without `fast_stop` it gives up after six seconds.
        Unmounting::NoSignals => {
            params.extend([pair("force_unmount", "false"), pair("fast_stop", "no")]);
        }
    }
    Resource {
        id: c.pacemaker.fs_resource.clone(),
        class: "ocf",
        provider: Some("heartbeat"),
        agent: "Filesystem".to_owned(),
        params,
        operations: vec![
            operation("start", FS_START),
            stop(c, FS_START),
            monitor(FS_MONITOR_INTERVAL, FS_MONITOR, None),
        ],
        meta: failures(c),
    }
}

fn failover(c: &Config) -> Resource {
    let p = &c.pacemaker;
    let mut meta = failures(c);
    // The node that comes back does not get the role back: each move is an interruption.
    meta.push(pair("resource-stickiness", "100"));
    Resource {
        id: p.failover_resource.clone(),
        class: "systemd",
        provider: None,
        agent: "two-node-ha-k8s-failover".to_owned(),
        params: Vec::new(),
        operations: vec![
            operation("start", p.failover_start_timeout),
            stop(c, p.failover_stop_timeout),
            monitor(UNIT_MONITOR_INTERVAL, UNIT_MONITOR, None),
        ],
        meta,
    }
}

fn fence_devices(c: &Config) -> impl Iterator<Item = Resource> {
    c.fencing.devices.iter().map(|device| {
        let mut params: Vec<Pair> = device
            .params
            .iter()
            .map(|(name, value)| pair(name, value.as_str()))
            .collect();
        params.push(pair("pcmk_host_list", device.node.as_str()));
        if !device.delay.is_zero() {
            // For this target by name: for a plain time some versions log at each fencing that it is
            // an empty mapping.
            let delay = format!("{}:{}", device.node, time(device.delay));
            params.push(pair("pcmk_delay_base", delay));
        }
        Resource {
            id: device.name.clone(),
            class: "stonith",
            provider: None,
            agent: device.agent.clone(),
            params,
            operations: vec![
                operation("start", FENCE_START),
                monitor(FENCE_MONITOR_INTERVAL, FENCE_MONITOR, None),
            ],
            meta: Vec::new(),
        }
    })
}
