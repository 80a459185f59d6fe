//! The decisions of two-node-ha, as pure functions and plain values: what a node sees
//! ([`observation`]), what is remembered ([`record`]), what one node tells the other ([`report`]), and
//! what follows from all of it ([`plan`]), and when ([`machine`]). No thread, no clock, no path, no file.

mod database;
mod decision;
mod log;
pub mod machine;
pub mod observation;
pub mod plan;
pub mod record;
pub mod report;
pub mod split_brain;
mod step;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod two_nodes;
#[cfg(any(test, feature = "world"))]
pub mod world;

pub use database::Database;
pub use decision::{Decision, State};
pub use plan::plan;
pub use step::{Step, Target};
