//! Pacemaker's status as typed values, read from its XML.
//!
//! [`parse_crm_mon`] reads what `crm_mon --output-as=xml -1` of Pacemaker 2.1 and 3.0 prints, as
//! XML and never by searching its text (whose wording changes between versions).
//! [`parse_fencing_constraints`] picks out of a CIB what DRBD's handlers left there.
//! [`parse_cib`] reads of a CIB what a fence handler decides on.
//! [`query`] is the door to the running cluster that only reads; [`fence`] the one of the fence
//! handlers, which place and remove their one constraint and change nothing else.
//!
//! The XML parser is roxmltree: a status is a few dozen KiB that is read once into a tree and
//! asked by element and attribute name, as its schema (`crm_mon-*.rng`) is written. It has no
//! unsafe code, no dependencies of weight, and refuses DTDs, so that entities cannot explode.

mod ban;
mod cib;
mod constraint;
pub mod fence;
pub mod lock;
mod node_state;
mod parse;
pub mod query;
mod status;
mod verdict;

pub use ban::{ban, ban_against, parse_ban};
pub use cib::{Cib, CibNode, DrbdClone, parse_cib};
pub use constraint::{FencingConstraint, parse_fencing_constraints};
pub use node_state::{Join, NodeState};
pub use parse::{Error, parse_crm_mon};
pub use status::{Failure, FenceEvent, FenceStatus, Node, ResourceInstance, ResourceRole, Status};
pub use verdict::{PeerNode, PeerVerdict};
