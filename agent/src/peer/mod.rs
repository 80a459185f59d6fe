//! The channel between the two agents: ssh with one forced command, typed requests.

pub mod client;
pub mod keys;
pub mod server;
