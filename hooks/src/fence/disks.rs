//! DRBD's state, as far as a fence handler needs it, and read as is safe inside one.
//!
//! On 8.4 fence-peer may be called inside `drbdadm primary`, with the resource's lock held: only
//! `/proc/drbd` and `events2 --now` answer then. `/proc/drbd` costs no process.

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::Runner;
use two_node_ha_drbd::{Generation, Role, parse_proc_drbd, query};
use two_node_ha_fence::Disks;

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
