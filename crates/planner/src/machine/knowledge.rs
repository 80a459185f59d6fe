//! What is known of the other node and of Pacemaker in this round, and what is being asked.

use two_node_ha_config::{Difference, Facts, differences};

use super::event::Moment;
use crate::observation::{Asked, PeerNode, Promotion};
use crate::report::{Report, digest};

/// What the peer has told of its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Compared {
    /// In what it differs from this node's.
    pub(super) differences: Vec<Difference>,
    /// The digest of what was heard.
    pub(super) heard: Option<String>,
}

impl Compared {
    /// Compares the peer's configuration with this node's. An older agent tells nothing.
    pub(super) fn with(own: &Facts, theirs: &Facts) -> Self {
        if theirs.is_empty() {
            return Self::default();
        }
        Self {
            differences: differences(own, theirs),
            heard: Some(digest(theirs)),
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Knowledge {
    pub(super) report: Asked<Report>,
    pub(super) node: Asked<PeerNode>,
    pub(super) promotion: Asked<Promotion>,
    /// Whether the peer's databases are stopped.
    pub(super) stopped: bool,
    /// Since when it has been silent, while this node is to be the voter.
    pub(super) silent_since: Option<Moment>,
    /// Whether its logs were fetched after it had stopped.
    pub(super) logs_fetched: bool,
    /// What it has last told of its configuration, and when does not matter: it holds until it tells
    /// another.
    pub(super) configuration: Compared,
    /// Whether DRBD holds writes back for an answer of fence-peer.
    pub(super) suspended: bool,
    /// Whether it has asked in this round.
    pub(super) fence_peer_asked: bool,
    pub(super) asking_peer: bool,
    pub(super) asking_pacemaker: bool,
    pub(super) asking_promotion: bool,
    /// Raised whenever what was learnt is forgotten.
    pub(super) round: u64,
}

impl Knowledge {
    /// What was learnt is old; a question that is under way is still welcome.
    pub(super) fn forget(&mut self) {
        self.report = Asked::NotYet;
        self.node = Asked::NotYet;
        self.stopped = false;
        self.logs_fetched = false;
        self.fence_peer_asked = false;
        self.forget_promotion();
    }

    /// That the peer was dead says little about it once time has passed without DRBD being primary here.
    pub(super) fn forget_a_dead_peer(&mut self) {
        if self.node == Asked::Answer(PeerNode::Down) {
            self.node = Asked::NotYet;
        }
    }

    /// What it said of its databases before holds, but that they run.
    pub(super) fn peer_has_stopped(&mut self) {
        self.stopped = true;
        self.logs_fetched = false;
        if let Asked::Answer(report) = &mut self.report {
            report.datastore_running = false;
        }
    }

    /// The patience is with a member of the cluster. One that was fenced has it anew once it has booted:
    /// its agent is up later than its Corosync, and a takeover may take longer than the boot.
    pub(super) fn a_peer_that_is_away_is_not_silent(&mut self) {
        match &self.node {
            Asked::Answer(PeerNode::Down | PeerNode::Lost) => self.silent_since = None,
            Asked::Answer(PeerNode::Online | PeerNode::Unknown)
            | Asked::NotYet
            | Asked::Silent(_) => {}
        }
    }

    /// DRBD holds writes back now, or does not. It has asked at the moment when it began to, and the
    /// handler is about to start; what Pacemaker knew of the peer was so before that.
    pub(super) fn drbd_waits(&mut self, suspended: bool) {
        if suspended && !self.suspended {
            self.node = Asked::NotYet;
            self.fence_peer_asked = true;
        }
        self.suspended = suspended;
    }

    /// A handler may have placed its constraint since: an answer that is under way is old, too.
    pub(super) fn forget_promotion(&mut self) {
        self.promotion = Asked::NotYet;
        self.round += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_patience_with_a_silent_peer_begins_anew_once_it_was_away() {
        let since = Some(Duration::from_secs(1));
        let after = |node| {
            let mut knowledge = Knowledge {
                node,
                silent_since: since,
                ..Knowledge::default()
            };
            knowledge.a_peer_that_is_away_is_not_silent();
            knowledge.silent_since
        };
        assert_eq!(after(Asked::Answer(PeerNode::Online)), since);
        assert_eq!(after(Asked::Answer(PeerNode::Unknown)), since);
        assert_eq!(after(Asked::Silent("no answer".into())), since);
        assert_eq!(after(Asked::Answer(PeerNode::Down)), None);
        assert_eq!(after(Asked::Answer(PeerNode::Lost)), None);
    }

    #[test]
    fn when_writes_begin_to_stand_still_drbd_has_just_asked_and_what_was_known_of_the_peer_is_old()
    {
        let mut knowledge = Knowledge {
            node: Asked::Answer(PeerNode::Online),
            ..Knowledge::default()
        };
        knowledge.drbd_waits(false);
        assert_eq!(knowledge.node, Asked::Answer(PeerNode::Online));
        assert!(!knowledge.fence_peer_asked);
        knowledge.drbd_waits(true);
        assert_eq!(knowledge.node, Asked::NotYet);
        assert!(knowledge.fence_peer_asked);
        // The next round; it still waits.
        knowledge.forget();
        knowledge.node = Asked::Answer(PeerNode::Down);
        knowledge.drbd_waits(true);
        assert_eq!(knowledge.node, Asked::Answer(PeerNode::Down));
        assert!(!knowledge.fence_peer_asked);
        // And another time.
        knowledge.drbd_waits(false);
        knowledge.drbd_waits(true);
        assert!(knowledge.fence_peer_asked);
    }
}
