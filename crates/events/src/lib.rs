//! The event files between the hooks and the agent.
//!
//! A hook leaves one file for each call of a handler; the agent takes them in their order, acts,
//! and only then removes them ([`Pending::ack`]). Nothing has to run for an event to be kept, and
//! none is lost when either side is killed at any point: a file appears whole, by rename, or not
//! at all.
//!
//! The directory (`/var/lib/two-node-ha/events`, 0700) holds:
//!
//! - `TIME-PID-SEQ-NAME.json`, 0600: microseconds since 1970, the hook's process, its count, the
//!   handler's name. Sorted by name they are in the order of their time.
//! - `.tmp…`: being written, or left by a hook that was killed in the middle.
//! - `unreadable/`: what could not be read, kept for a person, and only so many of them.

mod event;
mod store;
mod watch;

pub use event::{Event, VERSION};
pub use store::{Error, Pending, SIZE_LIMIT, Taken, UNREADABLE, take_all, write};
pub use watch::Watcher;

/// Where the event files are.
pub const DIR: &str = "/var/lib/two-node-ha/events";
