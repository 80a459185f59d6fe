//! What a fence handler sees of the cluster: the CIB, reduced to what decides.

use two_node_ha_config::FencingMode;
use two_node_ha_pacemaker::{Cib, FencingConstraint, PeerNode};

/// Who and what a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The DRBD resource.
    pub resource: String,
    /// This node's name in Pacemaker.
    pub me: String,
    /// The peer's.
    pub peer: String,
    /// `fencing.mode`
    pub mode: FencingMode,
}

/// The CIB at one time, from the side of one resource and its two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What became of the peer.
    pub peer: PeerNode,
    /// Whether there has been a DC at all.
    pub dc: bool,
    /// Whether this partition has quorum.
    pub quorum: bool,
    /// Whether the cluster fences lost nodes.
    pub fencing_enabled: bool,
    /// Whether Pacemaker keeps its hands off all resources.
    pub maintenance: bool,
    /// Whether Pacemaker has nodes of both names.
    pub knows: Known,
    /// The constraint that this handler places; `None` without a clone to place it on.
    pub ours: Option<FencingConstraint>,
    /// The schema's word for the promoted role.
    pub role: &'static str,
    /// What there is already.
    pub standing: Standing,
}

/// Whether the names are those of nodes of the cluster. A constraint that names none would forbid
/// promotion everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Both.
    Both,
    /// This node is not.
    NotMe,
    /// The peer is not.
    NotPeer,
}

/// The fencing constraint of this resource that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// None.
    Absent,
    /// It lets this node alone be promoted.
    Mine(FencingConstraint),
    /// It forbids this node.
    AgainstMe(FencingConstraint),
    /// It forbids neither this node nor the peer, or names no node.
    Loose(FencingConstraint),
}

impl Standing {
    /// The constraint that stands.
    pub fn constraint(&self) -> Option<&FencingConstraint> {
        match self {
            Self::Absent => None,
            Self::Mine(constraint) | Self::AgainstMe(constraint) | Self::Loose(constraint) => {
                Some(constraint)
            }
        }
    }
}

impl View {
    /// The CIB from that side.
    pub fn of(cib: &Cib, subject: &Subject) -> Self {
        let Subject {
            resource, me, peer, ..
        } = subject;
        let known = |name: &String| cib.knows(name);
        let ours = cib
            .clone_of(resource)
            .map(|clone| FencingConstraint::new(resource, clone, me));
        // One that forbids this node counts before all others: it takes but one to forbid.
        let forbidding = cib.fencing(resource).find(|c| c.forbids(me));
        let binding = cib.fencing(resource).find(|c| c.forbids(peer));
        let standing = match (forbidding, binding, cib.fencing(resource).next()) {
            (Some(constraint), _, _) => Standing::AgainstMe(constraint.clone()),
            (None, Some(constraint), _) => Standing::Mine(constraint.clone()),
            (None, None, Some(constraint)) => Standing::Loose(constraint.clone()),
            (None, None, None) => Standing::Absent,
        };
        Self {
            peer: cib.peer_state(peer),
            dc: cib.dc.is_some(),
            // Pacemaker writes it from the first membership on.
            quorum: cib.quorum.unwrap_or(false),
            fencing_enabled: cib.fencing_enabled,
            maintenance: cib.maintenance_mode,
            knows: match (known(me), known(peer)) {
                (false, _) => Known::NotMe,
                (true, false) => Known::NotPeer,
                (true, true) => Known::Both,
            },
            ours,
            role: cib.promoted_role(),
            standing,
        }
    }

    /// Id of the constraint that this handler places.
    pub fn id(&self) -> &str {
        self.ours.as_ref().map_or("", |ours| ours.id.as_str())
    }
}
