//! DRBD's state, typed: one model for the 8.4 of mainline kernels and for LINBIT's DRBD 9.
//!
//! Text in, values out: [`parse_events2`], [`Event`], [`parse_status`], [`parse_status_json`],
//! [`parse_proc_drbd`].
//! The one door to the running system is [`query`]; it only ever reads, by a call that is safe
//! everywhere, inside a handler too. There is no code in this crate that changes DRBD's state.
//! [`ReadOnly`] is a runner that cannot: whoever runs programs through it is kept from every other
//! call of DRBD's programs.
//!
//! Nothing here panics on any input, and a state name that this crate does not know is kept as
//! `Unrecognised`, never mistaken for a known one.

mod apply;
mod event;
mod generation;
mod handler;
mod json;
mod model;
mod proc;
pub mod query;
mod read_only;
pub mod request;
mod states;
mod status;
mod words;

pub use apply::{Applied, parse_events2};
pub use event::{Event, HelperStatus, Key, ParseError, Snapshot, Target};
pub use generation::{Generation, Version};
pub use handler::{Decision, Handler};
pub use json::{JsonError, parse_status_json};
pub use model::{Path, Peer, PeerVolume, Resource, State, Volume};
pub use proc::{ProcDrbd, ProcMinor, parse_proc_drbd};
pub use read_only::ReadOnly;
pub use states::{ConnectionState, DiskState, ReplicationState, Role, Suspension};
pub use status::parse_status;
