//! `<node_state>`: what the DC has recorded of a node.
//!
//! Up to Pacemaker 2.1.6 `in_ccm` is `true` or `false` and `crmd` `online` or `offline`. From 2.1.7
//! on (feature set 3.18) both are the second since when it is so, and 0 when it is not so. Both
//! spellings may stand in one CIB, while a cluster is being upgraded.
//!
//! Source: Pacemaker, `lib/pengine/unpack.c`, `determine_online_status_fencing`.

use roxmltree::Node as Element;
use serde::{Deserialize, Serialize};

use crate::verdict::PeerNode;
use crate::xml::boolean;

/// The state of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Corosync's node id. `None` where it is absent, which no schema allows.
    pub id: Option<String>,
    /// The node's name.
    pub name: String,
    /// `in_ccm`: whether it is a member of the corosync membership. `None` where it is absent or
    /// makes no sense: the cluster has not seen the node.
    pub member: Option<bool>,
    /// `crmd`: whether its controller takes part in the process group.
    pub online: bool,
    /// `join`: how far it is in joining Pacemaker's cluster.
    pub join: Join,
    /// `expected`: whether it should be there. `None` where it is absent.
    pub expected_up: Option<bool>,
    /// Whether somebody has asked for it to be fenced (the attribute `terminate`).
    pub terminate: bool,
}

/// How far a node is in joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    /// A member.
    Member,
    /// In the middle of it.
    Pending,
    /// Not there.
    Down,
    /// Refused.
    Banned,
    /// Absent, or a word that this crate does not know.
    Unrecognised,
}

impl NodeState {
    /// Reads a `<node_state>`; `None` for one of a remote node or without a name.
    pub(crate) fn of(element: Element<'_, '_>) -> Option<Self> {
        if element.attribute("remote_node").and_then(boolean) == Some(true) {
            return None;
        }
        Some(Self {
            id: element.attribute("id").map(str::to_owned),
            name: element.attribute("uname")?.to_owned(),
            member: element.attribute("in_ccm").and_then(since),
            online: element.attribute("crmd").and_then(since).unwrap_or(false),
            join: match element.attribute("join") {
                Some("member") => Join::Member,
                Some("pending") => Join::Pending,
                Some("down") => Join::Down,
                Some("banned") => Join::Banned,
                _ => Join::Unrecognised,
            },
            expected_up: match element.attribute("expected") {
                Some("member") => Some(true),
                Some("down") => Some(false),
                _ => None,
            },
            terminate: terminates(element),
        })
    }

    /// What became of the node. With fencing disabled Pacemaker's own judgement is milder: it calls
    /// a lost node clean, since it would not fence it anyway. This one is not.
    #[must_use]
    pub fn judge(&self) -> PeerNode {
        let here = self.member == Some(true);
        if self.member.is_none() || self.join == Join::Banned {
            return PeerNode::UncleanOffline;
        }
        if self.terminate {
            // `terminate` stays until the node comes back: that it is gone tells that it was done.
            return match (here, self.online, self.join) {
                (false, false, Join::Down) => PeerNode::CleanOffline,
                _ => PeerNode::UncleanOffline,
            };
        }
        match (self.expected_up, self.online, self.join) {
            // Its Pacemaker has left in good order, or it was fenced. Corosync may still, or
            // already, run there: whoever starts Pacemaker there again gets this CIB first.
            (Some(false), false, Join::Down) => PeerNode::CleanOffline,
            (Some(false), false, _) if !here => PeerNode::CleanOffline,
            (Some(false), _, _) => PeerNode::Pending,
            _ if !here || !self.online => PeerNode::UncleanOffline,
            (_, _, Join::Member) => PeerNode::Online,
            (_, _, Join::Pending | Join::Down) => PeerNode::Pending,
            (_, _, Join::Banned | Join::Unrecognised) => PeerNode::UncleanOffline,
        }
    }
}

/// `true`, `online` or the second since when: yes. `false`, `offline` or 0: no.
fn since(text: &str) -> Option<bool> {
    match text {
        "online" => Some(true),
        "offline" => Some(false),
        _ => boolean(text).or_else(|| text.parse::<u64>().ok().map(|since| since > 0)),
    }
}

/// The transient attribute `terminate`: a boolean, or the time when it was asked for.
fn terminates(state: Element<'_, '_>) -> bool {
    state
        .children()
        .filter(|element| element.has_tag_name("transient_attributes"))
        .flat_map(|attributes| attributes.descendants())
        .filter(|element| element.has_tag_name("nvpair"))
        .filter(|pair| pair.attribute("name") == Some("terminate"))
        .filter_map(|pair| pair.attribute("value").and_then(since))
        .any(|asked| asked)
}
