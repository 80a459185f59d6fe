//! The state of DRBD on this node.

use serde::{Deserialize, Serialize};

use crate::{
    ConnectionState, DiskState, Generation, ProcDrbd, ReplicationState, Role, Suspension, Version,
};

/// All that is known of DRBD on this node at one time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of the kernel module; `None` when it is not loaded, or when the state was parsed
    /// from a text that does not say.
    pub version: Option<Version>,
    /// The resources that are up, in the order in which DRBD named them.
    pub resources: Vec<Resource>,
    /// Set when an event was lost or did not fit: the state must be read again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// A resource that is up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Its role here.
    pub role: Role,
    /// Whether I/O is suspended, for whatever reason.
    pub suspended: bool,
    /// For which reasons.
    pub suspended_by: Suspension,
    /// Whether it could be made primary now. DRBD 9 only.
    pub may_promote: Option<bool>,
    /// How good a candidate this node is. DRBD 9 only.
    pub promotion_score: Option<i64>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// Its connections; with 8.4 there is one. (A stand-alone one is in what `events2 --now` of
    /// 8.4 prints, but its live stream reports it as destroyed.)
    pub peers: Vec<Peer>,
}

/// A volume of a resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Volume number within the resource.
    pub number: u32,
    /// `N` of `/dev/drbdN`.
    pub minor: u32,
    /// State of its disk here.
    pub disk: DiskState,
    /// Size in KiB. With statistics only.
    pub size_kib: Option<u64>,
    /// The device underneath. DRBD 9 only; `None` also when it has none.
    pub backing_dev: Option<String>,
    /// Whether it is diskless on purpose. DRBD 9 only.
    pub client: Option<bool>,
    /// Whether something has the device open. DRBD 9 only.
    pub open: Option<bool>,
    /// Whether it has DRBD's quorum. DRBD 9 only.
    pub quorum: Option<bool>,
}

/// A connection, and what is known of the node behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Name of the connection: the peer's host name on DRBD 9, always `peer` on 8.4.
    pub name: String,
    /// The peer's node id; always 0 on 8.4, which has none.
    pub node_id: u32,
    /// State of the connection.
    pub connection: ConnectionState,
    /// The peer's role.
    pub role: Role,
    /// Whether the link is congested. With statistics only.
    pub congested: Option<bool>,
    /// The peer's volumes.
    pub volumes: Vec<PeerVolume>,
    /// The connection's paths. DRBD 9 only.
    pub paths: Vec<Path>,
}

/// A volume as seen across one connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerVolume {
    /// Volume number within the resource.
    pub number: u32,
    /// What flows.
    pub replication: ReplicationState,
    /// State of the peer's disk.
    pub peer_disk: DiskState,
    /// Whether the peer is diskless on purpose. DRBD 9 only.
    pub peer_client: Option<bool>,
    /// Who put the resync on hold: a comma-separated list of `user`, `peer`, `dependency`;
    /// `None` when nobody did.
    pub resync_suspended: Option<String>,
    /// How far a running resync is, in percent.
    pub resync_done: Option<f32>,
    /// What differs, in KiB; `None` where it was not said.
    pub out_of_sync_kib: Option<u64>,
}

/// A network path of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// This node's end, such as `ipv4:10.0.0.1:7788`.
    pub local: String,
    /// The peer's end.
    pub peer: String,
    /// Whether it carries the connection.
    pub established: bool,
}

impl State {
    /// The generation of the kernel module, where the state says it.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.version.as_ref().map(Version::generation)
    }

    /// The resource of that name; `None` when it is not up.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }

    /// The resource that a minor belongs to.
    #[must_use]
    pub fn resource_of_minor(&self, minor: u32) -> Option<&Resource> {
        self.resources
            .iter()
            .find(|r| r.volumes.iter().any(|v| v.minor == minor))
    }

    /// Takes a resync's progress and the amount out of sync from `/proc/drbd`, which is the only
    /// place where 8.4 says them.
    pub fn merge_proc(&mut self, proc: &ProcDrbd) {
        for resource in &mut self.resources {
            for volume in &resource.volumes {
                let Some(minor) = proc.minor(volume.minor) else {
                    continue;
                };
                // 8.4 has one peer, and only it prints these lines.
                let Some(peer) = resource.peers.first_mut() else {
                    continue;
                };
                for seen in peer
                    .volumes
                    .iter_mut()
                    .filter(|v| v.number == volume.number)
                {
                    seen.resync_done = minor.resync_done.or(seen.resync_done);
                    seen.out_of_sync_kib = minor.out_of_sync_kib.or(seen.out_of_sync_kib);
                }
            }
        }
    }
}

impl Resource {
    /// Whether this node is primary.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }

    /// Whether every volume's data here is current. False without volumes.
    #[must_use]
    pub fn is_uptodate(&self) -> bool {
        !self.volumes.is_empty() && self.volumes.iter().all(|v| v.disk == DiskState::UpToDate)
    }

    /// Whether this node is primary on current data.
    #[must_use]
    pub fn is_primary_uptodate(&self) -> bool {
        self.is_primary() && self.is_uptodate()
    }

    /// Whether a peer is connected.
    #[must_use]
    pub fn peer_connected(&self) -> bool {
        self.peers
            .iter()
            .any(|peer| peer.connection == ConnectionState::Connected)
    }

    /// Whether a connected peer is primary.
    #[must_use]
    pub fn peer_primary(&self) -> bool {
        self.peers.iter().any(|peer| peer.role == Role::Primary)
    }

    /// Whether a peer is connected and every volume's data there is current.
    #[must_use]
    pub fn peer_uptodate(&self) -> bool {
        self.peers.iter().any(|peer| {
            peer.connection == ConnectionState::Connected
                && !peer.volumes.is_empty()
                && peer
                    .volumes
                    .iter()
                    .all(|v| v.peer_disk == DiskState::UpToDate)
        })
    }

    /// Whether this node and the connected peer hold the same, current data.
    #[must_use]
    pub fn all_uptodate(&self) -> bool {
        self.is_uptodate() && self.peer_uptodate()
    }

    /// Whether a resync concerns any volume, in either direction.
    #[must_use]
    pub fn resyncing(&self) -> bool {
        self.peer_volumes().any(|v| v.replication.is_resync())
    }

    /// Whether this node's data is being overwritten by the peer's.
    #[must_use]
    pub fn is_resync_target(&self) -> bool {
        self.peer_volumes()
            .any(|v| v.replication.is_resync_target())
    }

    /// How far the least advanced resync is, in percent, where one runs and says so.
    #[must_use]
    pub fn resync_done(&self) -> Option<f32> {
        self.peer_volumes()
            .filter(|v| v.replication.is_resync())
            .filter_map(|v| v.resync_done)
            .min_by(f32::total_cmp)
    }

    /// What differs over all volumes and peers, in KiB, where that is said.
    #[must_use]
    pub fn out_of_sync_kib(&self) -> Option<u64> {
        self.peer_volumes()
            .filter_map(|v| v.out_of_sync_kib)
            .reduce(u64::saturating_add)
    }

    /// The minors of its volumes.
    pub fn minors(&self) -> impl Iterator<Item = u32> + '_ {
        self.volumes.iter().map(|volume| volume.minor)
    }

    /// The volume of that number.
    #[must_use]
    pub fn volume(&self, number: u32) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.number == number)
    }

    fn peer_volumes(&self) -> impl Iterator<Item = &PeerVolume> {
        self.peers.iter().flat_map(|peer| &peer.volumes)
    }
}
