//! DRBD's state, as far as a fence handler needs it, and read as is safe inside one.
//!
//! On 8.4 fence-peer may be called inside `drbdadm primary`, with the resource's lock held: only
//! `/proc/drbd` and `events2 --now` answer then. `/proc/drbd` costs no process.

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::Runner;
use two_node_ha_drbd::{DiskState, Generation, Role, parse_proc_drbd, query};

/// The disks of a resource's volumes, here and at the peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disks {
    /// Here. Empty: the resource is not up.
    pub local: Vec<DiskState>,
    /// At the peer, as DRBD knows them.
    pub peer: Vec<DiskState>,
    /// Whether this node is primary.
    pub primary: bool,
    /// Whether the peer is, or may be.
    pub peer_primary: bool,
}

/// How good this node's data is, over all volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// Not usable, or the resource is not up.
    Unusable,
    /// Consistent, but the peer's may be newer.
    Consistent,
    /// Current.
    UpToDate,
}

impl Disks {
    /// How good this node's data is.
    pub fn data(&self) -> Data {
        let all = |good: &[DiskState]| {
            !self.local.is_empty() && self.local.iter().all(|disk| good.contains(disk))
        };
        if all(&[DiskState::UpToDate]) {
            Data::UpToDate
        } else if all(&[DiskState::UpToDate, DiskState::Consistent]) {
            Data::Consistent
        } else {
            Data::Unusable
        }
    }

    /// Whether the peer's data is current on every volume, and so the peer connected.
    pub fn peer_up_to_date(&self) -> bool {
        self.peer_all(&[DiskState::UpToDate])
    }

    /// Whether every volume of the peer is one of these.
    pub fn peer_all(&self, states: &[DiskState]) -> bool {
        !self.peer.is_empty() && self.peer.iter().all(|disk| states.contains(disk))
    }

    /// For a sentence: `UpToDate`, `UpToDate and Inconsistent`.
    pub fn words(disks: &[DiskState]) -> String {
        let mut words: Vec<_> = disks.iter().map(DiskState::as_str).collect();
        words.dedup();
        match words.as_slice() {
            [] => "not up".into(),
            words => words.join(" and "),
        }
    }
}

/// The disks now.
///
/// # Errors
/// Why DRBD does not say, in words.
pub fn read(
    runner: &dyn Runner,
    resource: &str,
    minors: &[u32],
    limit: Duration,
) -> Result<Disks, String> {
    match query::generation(runner) {
        None => Ok(Disks::default()),
        Some(Generation::V84) if !minors.is_empty() => of_proc(runner, minors),
        Some(_) => of_events(runner, resource, limit),
    }
}

fn of_proc(runner: &dyn Runner, minors: &[u32]) -> Result<Disks, String> {
    let text = runner
        .read(Path::new("/proc/drbd"))
        .map_err(|error| format!("cannot read /proc/drbd: {error}"))?;
    let proc = parse_proc_drbd(&String::from_utf8_lossy(&text));
    // One volume that is not up leaves the resource's state unknown.
    let volumes: Option<Vec<_>> = minors.iter().map(|minor| proc.minor(*minor)).collect();
    let volumes = volumes.unwrap_or_default();
    Ok(Disks {
        local: volumes.iter().map(|volume| volume.disk.clone()).collect(),
        peer: volumes
            .iter()
            .map(|volume| volume.peer_disk.clone())
            .collect(),
        primary: volumes.iter().any(|volume| volume.role == Role::Primary),
        peer_primary: volumes
            .iter()
            .any(|volume| volume.peer_role != Role::Secondary),
    })
}

fn of_events(runner: &dyn Runner, resource: &str, limit: Duration) -> Result<Disks, String> {
    let state = query::now_within(runner, limit).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    })?;
    let Some(resource) = state.resources.iter().find(|r| r.name == resource) else {
        return Ok(Disks::default());
    };
    Ok(Disks {
        local: resource.volumes.iter().map(|v| v.disk.clone()).collect(),
        peer: resource
            .peers
            .iter()
            .flat_map(|peer| &peer.volumes)
            .map(|volume| volume.peer_disk.clone())
            .collect(),
        primary: resource.is_primary(),
        peer_primary: resource
            .peers
            .iter()
            .any(|peer| peer.role != Role::Secondary),
    })
}
