//! What each handler may take, answers when it is late, and is found by in the journal.

use std::time::Duration;

use two_node_ha_drbd::Handler;
use two_node_ha_fence::answer::{Code, Fence, Resync};

/// What every handler has here. What it is called by is DRBD's, and in `two_node_ha_drbd`.
pub trait Terms {
    /// How long it may take where the configuration does not say. drbd-utils gives handlers no
    /// time-out at all.
    fn default_deadline(&self) -> Duration;

    /// What is answered when the deadline has come, or when something unforeseen stops us:
    /// whatever leaves DRBD as safe as without a handler.
    fn fallback(&self) -> Code;

    /// The journal's `MESSAGE_ID` of its records: to find them all, and for a catalog.
    fn message_id(&self) -> &'static str;
}

impl Terms for Handler {
    fn default_deadline(&self) -> Duration {
        let seconds = match self {
            // Below Pacemaker's time-out for the promotion that may wait for this.
            Self::FencePeer => 60,
            // The receiver stands still, and with it the peer's writes; after 42 s the link drops.
            Self::BeforeResyncTarget | Self::BeforeResyncSource | Self::AfterResyncTarget => 20,
            // The connection is over: nothing waits for these but it. The evidence and the alerts
            // have deadlines of their own below.
            Self::SplitBrain | Self::InitialSplitBrain => 15,
            Self::UnfencePeer
            | Self::LocalIoError
            | Self::PriLost
            | Self::PriLostAfterSb
            | Self::PriOnInconDegr
            | Self::OutOfSync
            | Self::QuorumLost
            | Self::Disconnected
            | Self::Udev
            | Self::Unrecognised(_) => 10,
        };
        Duration::from_secs(seconds)
    }

    fn fallback(&self) -> Code {
        match self {
            // "Broken": DRBD keeps I/O suspended (or goes on, under its policy resource-only), but
            // takes nothing about the peer for granted.
            Self::FencePeer => Code::Fence(Fence::Broken),
            // The resync happens: refusing it would leave the peer's data the only copy. Once the
            // configuration has been read, its `hooks.no_copy` decides ([`Settings::fallback`]).
            //
            // [`Settings::fallback`]: crate::settings::Settings::fallback
            Self::BeforeResyncTarget | Self::BeforeResyncSource => Code::Resync(Resync::Proceed),
            Self::AfterResyncTarget
            | Self::SplitBrain
            | Self::InitialSplitBrain
            | Self::UnfencePeer
            | Self::LocalIoError
            | Self::PriLost
            | Self::PriLostAfterSb
            | Self::PriOnInconDegr
            | Self::OutOfSync
            | Self::QuorumLost
            | Self::Disconnected
            | Self::Udev
            | Self::Unrecognised(_) => Code::Ignored,
        }
    }

    fn message_id(&self) -> &'static str {
        match self {
            Self::BeforeResyncTarget => "05646c3dadaa402e97960986a2e0ac69",
            Self::BeforeResyncSource => "18959b58e35d4dea9793355bcb5c0dea",
            Self::AfterResyncTarget => "c0441170b70f4937beadf6abd4dfa27c",
            Self::SplitBrain => "d95f0e286b45445795ac807fbedf24a6",
            Self::InitialSplitBrain => "d0b25537d6f0472c990ee38b702c91b9",
            Self::FencePeer => "11604920b1cd4b4bbe6b98c5d2b6a1e2",
            Self::UnfencePeer => "946b2f5cf2ab4008985aa478dd5c472b",
            Self::LocalIoError => "85fa192533c346b09e0595694ea521e4",
            Self::PriLost => "0f700360a3b64c388e8136e867cc1f08",
            Self::PriLostAfterSb => "b37b2b58ef1a423eaa30336ce720309a",
            Self::PriOnInconDegr => "6be3f5bb52104dc2881dd2b77aa8fcec",
            Self::OutOfSync => "b4de17f6f3b6472eac62b2ce3f069aee",
            Self::QuorumLost => "f04b185b46e5444587f7bb665c5044af",
            Self::Disconnected => "c875133c4d4b4051b997d389b9bb03cc",
            Self::Udev => "d3919ab80ff94e31b52b33824c32f3c8",
            Self::Unrecognised(_) => "e59284e527574f9c9f786c9ce03c0a70",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handler_has_its_own_message_id() {
        let mut ids: Vec<_> = Handler::KNOWN.iter().map(Terms::message_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Handler::KNOWN.len());
    }

    #[test]
    fn the_catalog_explains_every_handler_of_drbd_and_nothing_else() {
        const CATALOG: &str = include_str!("../../packaging/two-node-ha.catalog");
        let mut explained: Vec<_> = CATALOG
            .lines()
            .filter_map(|line| line.strip_prefix("-- "))
            .collect();
        explained.sort_unstable();
        let unknown = Handler::Unrecognised(String::new());
        // What udev says is frequent, and asks nothing of anybody.
        let named = Handler::KNOWN.iter().filter(|h| **h != Handler::Udev);
        let mut ids: Vec<_> = named.map(Terms::message_id).collect();
        ids.push(unknown.message_id());
        ids.sort_unstable();
        assert_eq!(explained, ids);
    }

    #[test]
    fn the_fallback_of_fence_peer_is_never_zero_and_no_other_fallback_is_above() {
        for handler in Handler::KNOWN {
            let zero = handler.fallback().number() == 0;
            assert_eq!(zero, *handler != Handler::FencePeer, "{}", handler.as_str());
        }
    }
}
