//! The real program, in one program of tests, which share the machine that it is called on.
#![allow(clippy::unwrap_used)] // A test that panics has failed.

mod calls;
mod fence;
mod machine;
mod no_change;
