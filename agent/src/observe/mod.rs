//! The agent's eyes: what a decision rests on, read from the system.

pub mod evidence;
pub mod live;
pub mod logs;
pub mod mounts;
pub mod split_brain;
pub mod units;
pub mod volume;
