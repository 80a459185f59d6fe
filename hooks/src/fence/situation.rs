//! What the decision of fence-peer rests on, as one value.

use std::time::Duration;

use super::disks::Disks;
use super::view::{Subject, View};

/// Everything that a decision rests on.
#[derive(Debug)]
pub struct Situation<'a> {
    /// Who and what it is about.
    pub subject: &'a Subject,
    /// DRBD's state, or why it cannot be read.
    pub disks: &'a Result<Disks, String>,
    /// The cluster's.
    pub cluster: &'a Cluster,
    /// What this call has done and found out.
    pub done: &'a Done,
    /// How long it has taken.
    pub elapsed: Duration,
    /// Whether this is the last time that it is asked.
    pub last: bool,
}

/// What the cluster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// The CIB.
    Seen(View),
    /// Nothing.
    Silent {
        /// Why.
        why: String,
        /// Whether Pacemaker runs on this node, as far as that is known.
        running: bool,
    },
}

/// What this call has done and found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// The constraint was there when this call began.
    pub found: bool,
    /// This call has placed it.
    pub placed: bool,
    /// This call has tried to take it away again.
    pub removed: bool,
    /// The marks that this call has put into the constraint, or has tried to: by placing it and by
    /// renewing it.
    pub marks: Vec<String>,
    /// Whether the peer's controller answered, or why not; since the last look at the cluster.
    pub alive: Option<Result<(), String>>,
    /// What the fencer remembers.
    pub fenced: Option<Fencing>,
    /// Why the last change of the CIB failed.
    pub trouble: Option<String>,
}

/// What the fencer remembers of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fencing {
    /// That it has powered it off, how and when.
    Confirmed(String),
    /// Something else, or nothing.
    Unconfirmed(String),
}
