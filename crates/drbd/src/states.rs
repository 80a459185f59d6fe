//! DRBD's state names, as both generations print them (`drbd_strings.c` of drbd-utils 8.4 and 9).

use crate::words::words;

words! {
    /// A resource's role on one node.
    #[derive(Default)]
    Role {
        /// May be written here.
        Primary = "Primary",
        /// Follows.
        Secondary = "Secondary",
        /// Not known: of a peer that is not connected.
        #[default]
        Unknown = "Unknown",
    }
}

words! {
    /// State of a volume's disk, one's own or the peer's.
    #[derive(Default)]
    DiskState {
        /// No backing device.
        Diskless = "Diskless",
        /// Reading the metadata.
        Attaching = "Attaching",
        /// DRBD 9: letting go of the backing device.
        Detaching = "Detaching",
        /// The backing device failed.
        Failed = "Failed",
        /// Attached while connected: the nodes are finding out whose data is newer.
        Negotiating = "Negotiating",
        /// Target of an unfinished resync: not usable.
        Inconsistent = "Inconsistent",
        /// Known to be older than the peer's.
        Outdated = "Outdated",
        /// The peer's disk while it is not connected.
        #[default]
        DUnknown = "DUnknown",
        /// Consistent; whether it is outdated shows once connected.
        Consistent = "Consistent",
        /// Current.
        UpToDate = "UpToDate",
    }
}

words! {
    /// State of the connection to a peer.
    #[derive(Default)]
    ConnectionState {
        /// Not connected and not trying: on purpose, or after a split brain.
        #[default]
        StandAlone = "StandAlone",
        /// On the way to stand-alone.
        Disconnecting = "Disconnecting",
        /// On the way to the next attempt.
        Unconnected = "Unconnected",
        /// The peer did not answer in time.
        Timeout = "Timeout",
        /// The connection was lost.
        BrokenPipe = "BrokenPipe",
        /// The connection was lost.
        NetworkFailure = "NetworkFailure",
        /// The peer spoke nonsense.
        ProtocolError = "ProtocolError",
        /// The peer is closing the connection.
        TearDown = "TearDown",
        /// Waiting for the peer (8.4: `WFConnection`).
        Connecting = "Connecting" | "WFConnection",
        /// 8.4: connected, first handshake packets on their way. Its `events2` prints it as
        /// connected with replication off.
        WfReportParams = "WFReportParams",
        /// Connected.
        Connected = "Connected",
    }
}

words! {
    /// What flows between a volume and the peer's.
    #[derive(Default)]
    ReplicationState {
        /// Nothing: not connected.
        #[default]
        Off = "Off",
        /// Writes are replicated, nothing is left to sync.
        Established = "Established",
        /// A full resync towards the peer begins.
        StartingSyncS = "StartingSyncS",
        /// A full resync from the peer begins.
        StartingSyncT = "StartingSyncT",
        /// Exchange of bitmaps, as the source.
        WfBitMapS = "WFBitMapS",
        /// Exchange of bitmaps, as the target.
        WfBitMapT = "WFBitMapT",
        /// The target waits for the source's UUID.
        WfSyncUuid = "WFSyncUUID",
        /// Resync: this node's data goes to the peer.
        SyncSource = "SyncSource",
        /// Resync: this node's data is being overwritten by the peer's.
        SyncTarget = "SyncTarget",
        /// Online verification, as the source.
        VerifyS = "VerifyS",
        /// Online verification, as the target.
        VerifyT = "VerifyT",
        /// Resync as the source, on hold.
        PausedSyncS = "PausedSyncS",
        /// Resync as the target, on hold.
        PausedSyncT = "PausedSyncT",
        /// This node writes ahead of a congested link.
        Ahead = "Ahead",
        /// The peer writes ahead of a congested link.
        Behind = "Behind",
    }
}

impl ReplicationState {
    /// Whether a resync runs, begins or is on hold; a verification is none.
    #[must_use]
    pub fn is_resync(&self) -> bool {
        self.is_resync_source() || self.is_resync_target()
    }

    /// Whether the peer's data is being, or about to be, overwritten by this node's.
    #[must_use]
    pub fn is_resync_source(&self) -> bool {
        matches!(
            self,
            Self::StartingSyncS | Self::WfBitMapS | Self::SyncSource | Self::PausedSyncS
        )
    }

    /// Whether this node's data is being, or about to be, overwritten by the peer's.
    #[must_use]
    pub fn is_resync_target(&self) -> bool {
        matches!(
            self,
            Self::StartingSyncT
                | Self::WfBitMapT
                | Self::WfSyncUuid
                | Self::SyncTarget
                | Self::PausedSyncT
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_and_prints_as_drbd_9_prints_it() {
        for name in Role::NAMES {
            assert_eq!(Role::parse(name).as_str(), *name);
        }
        for name in DiskState::NAMES {
            assert_eq!(DiskState::parse(name).as_str(), *name);
        }
        for name in ReplicationState::NAMES {
            assert_eq!(ReplicationState::parse(name).as_str(), *name);
        }
        for name in ConnectionState::NAMES {
            let state = ConnectionState::parse(name);
            assert!(!matches!(state, ConnectionState::Unrecognised(_)), "{name}");
        }
        assert_eq!(
            ConnectionState::parse("WFConnection").as_str(),
            "Connecting"
        );
    }

    #[test]
    fn an_unknown_name_is_kept_and_not_mistaken() {
        let state = DiskState::parse("uptodate");
        assert_eq!(state, DiskState::Unrecognised("uptodate".into()));
        assert_eq!(state.to_string(), "uptodate");
    }

    #[test]
    fn states_are_saved_by_their_names() {
        let json = serde_json::to_string(&ReplicationState::WfBitMapT).unwrap();
        assert_eq!(json, "\"WFBitMapT\"");
        assert_eq!(
            serde_json::from_str::<ReplicationState>(&json)
                .unwrap()
                .as_str(),
            "WFBitMapT"
        );
    }
}
