//! The real binary: whole trees of what it makes of a configuration, the sandbox that systemd runs it
//! in, and what systemd says of its units.

#![allow(clippy::unwrap_used)] // A test that panics has failed.

mod common;
mod golden;
mod sandbox;
mod verify;
