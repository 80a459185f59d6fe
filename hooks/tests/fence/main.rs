//! fence-peer and unfence-peer: the real program and the real cibadmin, on a CIB in a file. What
//! needs a running cluster (the peer's controller, the fencer) is a stand-in, and so is cibadmin
//! where the point is how it fails.
#![allow(clippy::unwrap_used)] // A test that panics has failed.

mod constraints;
mod deadlines;
#[path = "../machine/mod.rs"]
mod machine;
mod node;
