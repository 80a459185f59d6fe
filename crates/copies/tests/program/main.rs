//! Copies of real files, file systems and devices.
#![allow(clippy::unwrap_used)] // A test that panics has failed.

mod anything;
mod bench;
mod real;
