//! The commands, one file each.

pub mod agent;
pub mod check;
pub mod completions;
pub mod copies;
pub mod failover;
pub mod gate;
pub mod loopdev;
pub mod r#move;
pub mod peer;
pub mod plan;
pub mod raft;
pub mod render;
pub mod split_brain;
pub mod status;

pub mod agent_socket;
mod config_file;

pub use config_file::{Selection, choose, load};
