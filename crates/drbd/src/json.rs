//! `drbdsetup status --json` of DRBD 9. (8.4 has no such thing.)

use serde::Deserialize;
use thiserror::Error;

use crate::event::{is_said, percent};
use crate::{
    ConnectionState, DiskState, Path, Peer, PeerVolume, ReplicationState, Resource, Role, State,
    Suspension, Volume,
};

/// A text that is not what `drbdsetup status --json` prints.
#[derive(Debug, Error)]
#[error("cannot read the output of drbdsetup status --json")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads what `drbdsetup status --json` prints.
///
/// # Errors
/// On anything else. Keys that are new are ignored, and only those that carry the state are
/// required.
pub fn parse_status_json(text: &[u8]) -> Result<State, JsonError> {
    let resources: Vec<JsonResource> = serde_json::from_slice(text)?;
    Ok(State {
        version: None,
        resources: resources.into_iter().map(Into::into).collect(),
        stale: false,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonResource {
    name: String,
    role: Role,
    #[serde(default)]
    suspended: bool,
    #[serde(default)]
    suspended_user: bool,
    #[serde(default)]
    suspended_no_data: bool,
    #[serde(default)]
    suspended_fencing: bool,
    #[serde(default)]
    suspended_quorum: bool,
    devices: Vec<JsonDevice>,
    connections: Vec<JsonConnection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonDevice {
    volume: u32,
    minor: u32,
    disk_state: DiskState,
    client: Option<bool>,
    open: Option<bool>,
    quorum: Option<bool>,
    size: Option<u64>,
    #[serde(rename = "backing_dev", alias = "backing-dev")]
    backing_dev: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonConnection {
    peer_node_id: u32,
    name: String,
    connection_state: ConnectionState,
    peer_role: Role,
    congested: Option<bool>,
    #[serde(default)]
    paths: Vec<JsonPath>,
    #[serde(rename = "peer_devices")]
    peer_devices: Vec<JsonPeerDevice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonPeerDevice {
    volume: u32,
    replication_state: ReplicationState,
    peer_disk_state: DiskState,
    peer_client: Option<bool>,
    resync_suspended: Option<String>,
    out_of_sync: Option<u64>,
    percent_resync_done: Option<f32>,
}

#[derive(Deserialize)]
struct JsonPath {
    #[serde(rename = "this_host")]
    local: JsonAddress,
    #[serde(rename = "remote_host")]
    peer: JsonAddress,
    #[serde(default)]
    established: bool,
}

#[derive(Deserialize)]
struct JsonAddress {
    address: String,
    port: u16,
    family: String,
}

impl From<JsonResource> for Resource {
    fn from(json: JsonResource) -> Self {
        Self {
            name: json.name,
            role: json.role,
            suspended: json.suspended,
            suspended_by: Suspension {
                user: json.suspended_user,
                no_data: json.suspended_no_data,
                fencing: json.suspended_fencing,
                quorum: json.suspended_quorum,
            },
            may_promote: None,
            promotion_score: None,
            volumes: json.devices.into_iter().map(Into::into).collect(),
            peers: json.connections.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<JsonDevice> for Volume {
    fn from(json: JsonDevice) -> Self {
        Self {
            number: json.volume,
            minor: json.minor,
            disk: json.disk_state,
            size_kib: json.size.filter(is_said),
            backing_dev: json.backing_dev.filter(|device| device != "none"),
            client: json.client,
            open: json.open,
            quorum: json.quorum,
        }
    }
}

impl From<JsonConnection> for Peer {
    fn from(json: JsonConnection) -> Self {
        Self {
            name: json.name,
            node_id: json.peer_node_id,
            connection: json.connection_state,
            role: json.peer_role,
            congested: json.congested,
            volumes: json.peer_devices.into_iter().map(Into::into).collect(),
            paths: json.paths.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<JsonPeerDevice> for PeerVolume {
    fn from(json: JsonPeerDevice) -> Self {
        let resync_done = json
            .percent_resync_done
            .and_then(percent)
            .filter(|_| json.replication_state.is_resync());
        Self {
            number: json.volume,
            replication: json.replication_state,
            peer_disk: json.peer_disk_state,
            peer_client: json.peer_client,
            resync_suspended: json.resync_suspended.filter(|by| by != "no"),
            resync_done,
            out_of_sync_kib: json.out_of_sync.filter(is_said),
        }
    }
}

impl From<JsonPath> for Path {
    fn from(json: JsonPath) -> Self {
        Self {
            local: json.local.to_string(),
            peer: json.peer.to_string(),
            established: json.established,
        }
    }
}

/// As `events2` prints addresses.
impl std::fmt::Display for JsonAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            address,
            port,
            family,
        } = self;
        if address.contains(':') {
            write!(f, "{family}:[{address}]:{port}")
        } else {
            write!(f, "{family}:{address}:{port}")
        }
    }
}
