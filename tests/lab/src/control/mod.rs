//! The hands of the lab in a node, at the other end of a serial line.

pub mod fence;
pub mod guest;
pub mod wire;
