//! Taking over a directory whose voters are gone: raft's part of `k8sd cluster-recover`, in place.
//!
//! [`Plan::of`] reads and changes nothing. [`apply`] does what libdqlite's `raft_recover` does
//! (`uvRecover` of `uv.c`, `uvSegmentLoadOpen` and `uvSegmentCreateClosedWithConfiguration` of
//! `uv_segment.c`, alike in 1.11 and 1.18): every open segment is cut off behind its last entry and
//! gets the name of a closed one, what is unused goes, and one closed segment is added that holds one
//! CHANGE entry with the new configuration. `info.yaml` and `cluster.yaml` are the caller's.
//!
//! Four things are done otherwise than there:
//! - The entry has the log's term, see [`Plan::term`]; libdqlite's always has term 1.
//! - The new segment gets its name when it is whole and on the disk. libdqlite writes it under that name,
//!   and a crash there leaves a directory on which dqlite does not start, or not with all of it.
//! - The snapshot's data half is not read, so that it takes as long for a database of a gigabyte as for a
//!   small one. libdqlite loads it.
//! - What libdqlite would move away as `corrupt-*` in silence, with the entries in it, is refused.
//!
//! A cut at any point leaves the log as it was, or with the new entry behind it: never less. Planning and
//! applying again then goes on from there, and adds no second entry.

mod apply;
mod configuration;
mod plan;

pub use apply::{Applied, ApplyError, apply};
pub use configuration::{MembershipError, sole_voter};
pub use plan::{Closing, Plan, PlanError};
