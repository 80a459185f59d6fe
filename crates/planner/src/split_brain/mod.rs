//! Split brain: both nodes have written to their copy of the volume since they last saw each other.
//!
//! Each node says what it knows of itself ([`Side`]); [`advice`] puts two sides next to each other
//! and says which node to keep, and why, or that it cannot tell; [`plan`] gives the next step of a
//! resolution, and the agent takes it on the node that it is about. The command that resolves
//! (`two-node-ha split-brain resolve`) only asks and tells: nothing is lost with it.

pub mod admission;
pub mod advice;
pub mod generation;
pub mod plan;
pub mod predict;
pub mod side;
#[cfg(test)]
mod tests;

pub use side::{Cluster, Log, Side};

/// Id of the constraint that keeps Pacemaker from promoting the loser.
#[must_use]
pub fn ban_id(resource: &str) -> String {
    format!("two-node-ha-split-brain-{resource}")
}
