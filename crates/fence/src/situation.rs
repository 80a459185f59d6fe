//! What the decision of fence-peer rests on, as one value.

use std::time::Duration;

use two_node_ha_pacemaker::FencingConstraint;

use crate::disks::Disks;
use crate::view::{Subject, View};

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
    /// Whether the time is up: what is left of it is for taking the constraint away.
    pub last: bool,
    /// Whether not even for that there is time any more.
    pub over: bool,
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
    /// What this call has placed, or may have: without an answer, whether it was made is known to the
    /// cluster alone.
    pub tried: Vec<FencingConstraint>,
    /// What became of taking it away again.
    pub removal: Removal,
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

/// What became of taking the constraint away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Removal {
    /// It was not tried.
    #[default]
    NotTried,
    /// It was tried, and whether the constraint is gone is not known.
    Failed,
    /// It is gone, or somebody else relies on it.
    Settled,
}

/// What the fencer remembers of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fencing {
    /// That it has powered it off, how and when.
    Confirmed(String),
    /// Something else, or nothing.
    Unconfirmed(String),
}
