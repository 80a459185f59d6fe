//! What the cluster knows of the peer: the question that every take-over turns on.

use serde::{Deserialize, Serialize};

use crate::status::{FenceEvent, FenceStatus, Node, Status};

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PeerNode {
    /// Member, and Pacemaker runs there.
    Online,
    /// Gone, and nobody expects it: it was shut down, or fenced.
    CleanOffline,
    /// Lost: it may still be running. Also a node that is still member but no longer answers,
    /// and one that was never seen since this node started.
    UncleanOffline,
    /// Joining.
    Pending,
    /// Not a node of this cluster, or there is no DC whose word could be taken.
    Unknown,
}

impl PeerNode {
    /// How bad it is, where several entries of one name say different things: what may be writing
    /// unseen is worst, what certainly runs nothing is best.
    pub(crate) fn badness(self) -> u8 {
        match self {
            Self::CleanOffline => 0,
            Self::Online => 1,
            Self::Pending => 2,
            Self::UncleanOffline => 3,
            Self::Unknown => 4,
        }
    }
}

/// The peer's state, and whether fencing it has been confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerVerdict {
    /// What became of it.
    pub state: PeerNode,
    /// Whether it is off because a fence device said so: fencing is enabled, the node is offline
    /// and clean, and the last that the history knows of it is a successful `off` or `reboot`.
    pub fenced: bool,
    /// Whether fencing it is under way.
    pub fencing: bool,
}

impl PeerVerdict {
    /// Whether the node certainly runs nothing: it is off because it was fenced or because it
    /// left in good order.
    #[must_use]
    pub fn certainly_down(self) -> bool {
        self.fenced || self.state == PeerNode::CleanOffline
    }
}

impl Node {
    /// What became of this node, if the status can be believed (there is a DC).
    #[must_use]
    pub fn peer_state(&self) -> PeerNode {
        if self.unclean {
            PeerNode::UncleanOffline
        } else if self.pending {
            PeerNode::Pending
        } else if self.online {
            PeerNode::Online
        } else if self.expected_up {
            // With fencing disabled Pacemaker calls a lost node clean, for it would not fence it
            // anyway; that it is still expected tells.
            PeerNode::UncleanOffline
        } else {
            PeerNode::CleanOffline
        }
    }
}

impl Status {
    /// What became of the node of that name.
    #[must_use]
    pub fn peer_state(&self, name: &str) -> PeerNode {
        // Without a DC the node states are what the last one left: old.
        match self.node(name) {
            Some(node) if self.dc.is_some() => node.peer_state(),
            _ => PeerNode::Unknown,
        }
    }

    /// What became of the node of that name, and whether it has been fenced.
    #[must_use]
    pub fn peer_verdict(&self, name: &str) -> PeerVerdict {
        let state = self.peer_state(name);
        let fencing = self
            .fence_events(name)
            .any(|event| event.status == FenceStatus::Pending);
        let fenced = state == PeerNode::CleanOffline
            && self.stonith_enabled == Some(true)
            && !fencing
            && self
                .fence_events(name)
                .next()
                .is_some_and(FenceEvent::powered_off);
        PeerVerdict {
            state,
            fenced,
            fencing,
        }
    }

    /// The fencing history of a node, the newest first.
    pub fn fence_events<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a FenceEvent> {
        self.fence_history
            .iter()
            .filter(move |event| event.target == name)
    }
}
