//! How good the data is on both sides of a resource, as DRBD knows it.

use two_node_ha_drbd::DiskState;

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
