//! The messages of two-node-ha, each a line of JSON: between the agents of both nodes ([`peer`]), and
//! between an agent and the commands and the failover unit beside it ([`control`]).

pub mod control;
pub mod peer;
