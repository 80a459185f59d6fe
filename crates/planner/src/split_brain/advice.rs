//! Which node to keep, and why; or why that cannot be told.
//!
//! Only what is certain counts: that one side has lost its data, has written nothing to the
//! databases, or has every entry of the other's. How long a log is says nothing about what is worth
//! more, and is shown, not weighed.

use serde::Serialize;
use two_node_ha_dqlite::{Parting, Relation as Order, parting};

use super::generation::{Relation, compare};
use super::plan::healed;
use super::side::{Disk, Link, Log, Side};
use crate::Database;

/// Two sides next to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What DRBD makes of the two copies; `None` where an identifier is not known.
    pub relation: Option<Relation>,
    /// What the two logs of each database are to each other.
    pub logs: Vec<(Database, Logs)>,
    /// The advice.
    pub advice: Advice,
}

/// Two logs of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logs {
    /// Compared entry by entry.
    Compared(Parting),
    /// One of them cannot be read: why.
    Unknown(String),
}

/// The advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Advice {
    /// There is no split brain.
    None {
        /// Why not.
        reasons: Vec<String>,
    },
    /// Keep this node's data.
    Keep {
        /// The node.
        node: String,
        /// Why.
        reasons: Vec<String>,
    },
    /// Nothing here says which.
    CannotTell {
        /// Why not.
        reasons: Vec<String>,
    },
}

/// Compares two sides.
#[must_use]
pub fn advise(a: &Side, b: &Side) -> Comparison {
    let relation = match (&a.generation, &b.generation) {
        (Ok(a), Ok(b)) => Some(compare(a, b)),
        _ => None,
    };
    let logs: Vec<_> = Database::ALL
        .into_iter()
        .map(|database| (database, logs(a, b, database)))
        .collect();
    let advice = no_split_brain(a, b, relation).unwrap_or_else(|| weigh(a, b, &logs));
    Comparison {
        relation,
        logs,
        advice,
    }
}

fn logs(a: &Side, b: &Side, database: Database) -> Logs {
    let of = |side: &Side| {
        let unknown = || Log::Unknown("nothing is known of it".into());
        side.logs.get(&database).cloned().unwrap_or_else(unknown)
    };
    match (of(a), of(b)) {
        (Log::Unknown(why), _) => Logs::Unknown(format!("{}: {why}", a.node)),
        (_, Log::Unknown(why)) => Logs::Unknown(format!("{}: {why}", b.node)),
        (Log::Read(first), Log::Read(second)) => Logs::Compared(parting(&first, &second)),
    }
}

fn no_split_brain(a: &Side, b: &Side, relation: Option<Relation>) -> Option<Advice> {
    let none = |reason: String| {
        Some(Advice::None {
            reasons: vec![reason],
        })
    };
    if healed(a, b) {
        return none("the nodes are connected, and both copies are current".into());
    }
    if [a, b].iter().any(|side| side.link == Link::Resyncing) {
        return none("the nodes are connected, and one copy is being overwritten".into());
    }
    let only = |ahead: &Side, behind: &Side| {
        none(format!(
            "{} has all that {} has: DRBD brings {} up to date once they are connected",
            ahead.node, behind.node, behind.node
        ))
    };
    match relation {
        Some(Relation::Same) => none("both copies are of the same generation".into()),
        Some(Relation::FirstAhead) => only(a, b),
        Some(Relation::SecondAhead) => only(b, a),
        None if a.evidence.is_empty() && b.evidence.is_empty() => {
            none("DRBD has called no handler for a split brain".into())
        }
        Some(Relation::SplitBrain | Relation::Unrelated) | None => None,
    }
}

fn weigh(a: &Side, b: &Side, logs: &[(Database, Logs)]) -> Advice {
    let (mut for_a, mut for_b) = (in_favour(a, b), in_favour(b, a));
    match behind(logs) {
        Some(Order::AAhead) => for_a.push(holds_all(a, b)),
        Some(Order::BAhead) => for_b.push(holds_all(b, a)),
        _ => {}
    }
    let keep = |side: &Side, reasons: Vec<String>| Advice::Keep {
        node: side.node.clone(),
        reasons,
    };
    match (for_a.is_empty(), for_b.is_empty()) {
        (false, true) => keep(a, for_a),
        (true, false) => keep(b, for_b),
        (false, false) => Advice::CannotTell {
            reasons: for_a.into_iter().chain(for_b).collect(),
        },
        (true, true) => Advice::CannotTell {
            reasons: vec![format!(
                "both nodes have written to their copy, and nothing that can be seen says whose \
                 writes are worth more: compare what {} and {} have done since they lost each other",
                a.node, b.node
            )],
        },
    }
}

/// Which side has every entry of both databases, where one has; [`Order::Same`] where both have.
fn behind(logs: &[(Database, Logs)]) -> Option<Order> {
    let mut all = Order::Same;
    for (_, logs) in logs {
        let Logs::Compared(parting) = logs else {
            return None;
        };
        all = match (all, parting.relation) {
            (all, Order::Same) => all,
            (Order::Same | Order::AAhead, Order::AAhead) => Order::AAhead,
            (Order::Same | Order::BAhead, Order::BAhead) => Order::BAhead,
            (_, Order::AAhead | Order::BAhead | Order::Diverged | Order::Unconnected) => {
                return None;
            }
        };
    }
    Some(all)
}

fn holds_all(ahead: &Side, behind: &Side) -> String {
    format!(
        "the databases on {} hold every entry of those on {}, and more",
        ahead.node, behind.node
    )
}

/// Why `side` should be kept and not `other`.
fn in_favour(side: &Side, other: &Side) -> Vec<String> {
    let mut reasons = Vec::new();
    let whole = |side: &Side| matches!(side.disk, Disk::UpToDate | Disk::Consistent);
    if whole(side) && !whole(other) {
        reasons.push(format!(
            "the copy of {} is not whole ({})",
            other.node, other.summary
        ));
    }
    if let (Some(mine), Some(theirs)) = (&side.volume, &other.volume) {
        if mine.owner == side.node && theirs.owner == side.node && theirs.epoch <= mine.epoch {
            reasons.push(format!(
                "the databases on the copy of {} still belong to {} (epoch {}): {} has never taken \
             them over, and so has written nothing to them",
                other.node, side.node, theirs.epoch, other.node
            ));
        }
    }
    reasons
}
