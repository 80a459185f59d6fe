//! What a fence handler reads in the CIB.
//!
//! A handler asks the CIB and not `crm_mon`, because it may have to judge while the cluster is
//! falling apart: `cibadmin --query --local` answers from this node's own copy, with or without a
//! DC, and the same document holds the constraint.

use roxmltree::Node as Element;
use serde::{Deserialize, Serialize};

use crate::constraint::{self, FencingConstraint};
use crate::node_state::NodeState;
use crate::parse::{Error, document, required};
use crate::verdict::PeerNode;
use crate::xml::{boolean, child, children};

/// The parts of a CIB that decide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cib {
    /// `validate-with`: the schema, such as `pacemaker-3.9`.
    pub schema: Option<String>,
    /// `have-quorum`, as the last DC has written it. `None` where it does not say.
    pub quorum: Option<bool>,
    /// `dc-uuid`: the node id of the DC, or of the last one: it stays while a new one is elected.
    pub dc: Option<String>,
    /// `stonith-enabled`, or `fencing-enabled` from 3.0.2 on. On where it is not said.
    pub fencing_enabled: bool,
    /// `maintenance-mode`
    pub maintenance_mode: bool,
    /// The configured cluster nodes.
    pub nodes: Vec<CibNode>,
    /// What the DC has recorded of each node.
    pub states: Vec<NodeState>,
    /// The clones of DRBD resources.
    pub clones: Vec<DrbdClone>,
    /// The constraints of fence handlers, of every resource.
    pub constraints: Vec<FencingConstraint>,
}

/// A configured node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CibNode {
    /// Corosync's node id. `None` where it is absent, which no schema allows.
    pub id: Option<String>,
    /// The node's name.
    pub name: String,
}

/// A clone (`<master>` in old CIBs) around a primitive with a `drbd_resource`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrbdClone {
    /// Its id.
    pub id: String,
    /// The DRBD resource.
    pub resource: String,
}

impl Cib {
    /// Id of the clone that promotes this DRBD resource.
    #[must_use]
    pub fn clone_of(&self, resource: &str) -> Option<&str> {
        self.clones
            .iter()
            .find(|clone| clone.resource == resource)
            .map(|clone| clone.id.as_str())
    }

    /// The handlers' constraints of this DRBD resource.
    pub fn fencing<'a>(&'a self, resource: &str) -> impl Iterator<Item = &'a FencingConstraint> {
        self.constraints
            .iter()
            .filter(move |constraint| constraint::belongs(&constraint.id, resource))
    }

    /// Whether a node of that name is configured.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.name == name)
    }

    /// What became of the node of that name.
    ///
    /// A cluster that has lived through a change of node ids keeps an entry of each id, and the
    /// states of them. A state belongs to the entry of its id; but which of several entries of one
    /// name is the machine that is meant, nobody here can know, and so the worst counts: of every
    /// entry, of every state under its id or its name, and of an entry without a state.
    #[must_use]
    pub fn peer_state(&self, name: &str) -> PeerNode {
        if self.dc.is_none() || !self.knows(name) {
            return PeerNode::Unknown;
        }
        let entries = || self.nodes.iter().filter(|node| node.name == name);
        let of = |entry: &CibNode, state: &NodeState| match (&entry.id, &state.id) {
            (Some(entry), Some(state)) => entry == state,
            (None, _) | (_, None) => state.name == entry.name,
        };
        // Never seen since this cluster started: it may run all the same.
        let unseen = entries().any(|entry| !self.states.iter().any(|state| of(entry, state)));
        self.states
            .iter()
            .filter(|state| state.name == name || entries().any(|entry| of(entry, state)))
            .map(NodeState::judge)
            .chain(unseen.then_some(PeerNode::UncleanOffline))
            .max_by_key(|state| state.badness())
            .unwrap_or(PeerNode::UncleanOffline)
    }

    /// The schema's word for the role that only one instance has. `Promoted` came with 3.7
    /// (Pacemaker 2.1); a cluster that was upgraded keeps its older schema and refuses the word.
    /// Every schema up to 4.0 still takes `Master`.
    #[must_use]
    pub fn promoted_role(&self) -> &'static str {
        let version = self
            .schema
            .as_deref()
            .and_then(|schema| schema.strip_prefix("pacemaker-"))
            .and_then(|version| version.split_once('.'))
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        match version {
            Some(version) if version >= (3_u32, 7_u32) => "Promoted",
            _ => "Master",
        }
    }
}

/// Reads what `cibadmin --query` prints: a whole CIB.
///
/// # Errors
/// When the text is not XML, or no CIB.
pub fn parse_cib(xml: &str) -> Result<Cib, Error> {
    let document = document(xml)?;
    let root = document.root_element();
    if !root.has_tag_name("cib") {
        return Err(Error::Schema(format!(
            "it begins with <{}>, not <cib>",
            root.tag_name().name()
        )));
    }
    let configuration = child(root, "configuration")?;
    let properties = Properties::of(child(configuration, "crm_config")?);
    let status = child(root, "status")?;
    Ok(Cib {
        schema: root.attribute("validate-with").map(str::to_owned),
        quorum: root.attribute("have-quorum").and_then(boolean),
        dc: root
            .attribute("dc-uuid")
            .filter(|dc| !dc.is_empty())
            .map(str::to_owned),
        // A value that is no boolean is Pacemaker's default.
        fencing_enabled: properties
            .boolean(&["fencing-enabled", "stonith-enabled"])
            .unwrap_or(true),
        maintenance_mode: properties.boolean(&["maintenance-mode"]).unwrap_or(false),
        nodes: children(child(configuration, "nodes")?, "node")
            .filter(|node| matches!(node.attribute("type"), None | Some("member" | "normal")))
            .map(|node| {
                Ok(CibNode {
                    id: node.attribute("id").map(str::to_owned),
                    name: required(node, "uname")?.to_owned(),
                })
            })
            .collect::<Result<_, Error>>()?,
        states: children(status, "node_state")
            .filter_map(NodeState::of)
            .collect(),
        clones: clones(child(configuration, "resources")?),
        constraints: constraint::all(child(configuration, "constraints")?),
    })
}

/// Reads the handlers' constraints, of every resource, in a CIB that may have no `<status>`: what
/// Pacemaker keeps on the disk has none.
///
/// # Errors
/// When the text is not XML, or no CIB.
pub fn parse_constraints(xml: &str) -> Result<Vec<FencingConstraint>, Error> {
    let document = document(xml)?;
    let configuration = child(document.root_element(), "configuration")?;
    Ok(constraint::all(child(configuration, "constraints")?))
}

fn clones(resources: Element<'_, '_>) -> Vec<DrbdClone> {
    resources
        .descendants()
        .filter(|element| element.has_tag_name("clone") || element.has_tag_name("master"))
        .filter_map(|clone| {
            // Class and type may come from a template; the parameter is what tells.
            let resource = clone
                .descendants()
                .filter(|element| element.has_tag_name("nvpair"))
                .find(|pair| pair.attribute("name") == Some("drbd_resource"))?
                .attribute("value")?;
            Some(DrbdClone {
                id: clone.attribute("id")?.to_owned(),
                resource: resource.to_owned(),
            })
        })
        .collect()
}

/// The cluster's properties.
struct Properties<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Properties<'a> {
    fn of(section: Element<'a, '_>) -> Self {
        let mut sets: Vec<_> = children(section, "cluster_property_set").collect();
        // Pacemaker's own set comes before all others (`lib/pengine/rules.c`).
        sets.sort_by_key(|set| set.attribute("id") != Some("cib-bootstrap-options"));
        Self(
            sets.into_iter()
                .flat_map(|set| children(set, "nvpair"))
                .filter_map(|pair| Some((pair.attribute("name")?, pair.attribute("value")?)))
                .collect(),
        )
    }

    /// The first of these names that is set, old spelling (`stonith_enabled`) included.
    fn boolean(&self, names: &[&str]) -> Option<bool> {
        names.iter().find_map(|name| {
            let (_, value) = self
                .0
                .iter()
                .find(|(key, _)| key.replace('_', "-") == *name)?;
            boolean(value)
        })
    }
}
