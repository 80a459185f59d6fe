//! From what both sides are to the next step of a resolution. Pure: no clock, no disk, no network.
//!
//! It is asked again after every step with fresh sides, so that a crash anywhere, and a start on
//! either node, is nothing but another question. What cannot be seen is in the loser's
//! [`Resolution`](crate::record::Resolution): the copy, of which generation it is, and that DRBD was
//! told to discard.
//!
//! The order, and why:
//!
//! 1. Both nodes note the resolution, the loser first.
//! 2. Pacemaker is kept from promoting the loser, by a constraint of our own. It then takes the
//!    volume away from it in its usual order (failover unit, file system, promotion), as in a planned
//!    move; DRBD stays up there. A stand-by would stop DRBD itself, a maintenance mode would leave
//!    the services running.
//! 3. The loser disconnects, so that nothing changes its data any more; the copy is made.
//! 4. Both nodes forget the epochs that exist on the loser only: without that the winner's volume
//!    would count as the older copy, and the agents would block.
//! 5. The loser connects with `--discard-my-data`, the winner connects. DRBD overwrites the loser.
//! 6. When both copies are equal the constraint goes, and both nodes forget the resolution.

use serde::{Deserialize, Serialize};

use super::generation::{Relation, compare};
use super::side::{Cluster, Disk, Link, Side};
use crate::observation::{Known, Mount, Role};
use crate::record::Resolution;

/// What the operator asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Whether the loser's data may be given up without a copy.
    pub without_copy: bool,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum On {
    /// The node whose data stays.
    Winner,
    /// The node whose data is given up.
    Loser,
}

/// One step, taken by one node on itself. Each is idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Note the resolution.
    Begin,
    /// Keep Pacemaker from promoting the loser.
    // As the agents of the version before call it, which may be the peer's. So with `unban`.
    #[serde(rename = "bar")]
    Ban,
    /// Make DRBD secondary, where no Pacemaker does it.
    Demote,
    /// Cut DRBD's connection.
    Disconnect,
    /// Keep a copy of this node's data.
    Copy,
    /// Forget the epochs above this one.
    Forget(u64),
    /// Note that this node's data is given up, and connect with `--discard-my-data`.
    Discard,
    /// Connect.
    Connect,
    /// Let Pacemaker promote again.
    #[serde(rename = "unbar")]
    Unban,
    /// Let Pacemaker try again what failed in between; forget the resolution.
    Finish,
}

impl Step {
    /// Whether it ends early, and can be taken again, when the role is wanted back on the node: what may
    /// take long, or wait for a program that does not answer, and leaves nothing half done.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        match self {
            Self::Ban | Self::Copy | Self::Unban | Self::Finish => true,
            // DRBD's state, and records.
            Self::Begin
            | Self::Demote
            | Self::Disconnect
            | Self::Forget(_)
            | Self::Discard
            | Self::Connect => false,
        }
    }

    /// In words, with the node that takes it.
    #[must_use]
    pub fn describe(&self, node: &str, loser: &str) -> String {
        match self {
            Self::Begin => format!("note on {node} that the data of {loser} is given up"),
            Self::Ban => format!("keep Pacemaker from promoting {loser}"),
            Self::Demote => format!("make DRBD secondary on {node}"),
            Self::Disconnect => format!("disconnect DRBD on {node}"),
            Self::Copy => format!("copy the data of {node}"),
            Self::Forget(epoch) => {
                format!("forget on {node} the epochs above {epoch}, which are given up")
            }
            Self::Discard => format!("connect DRBD on {node}, discarding its data"),
            Self::Connect => format!("connect DRBD on {node}"),
            Self::Unban => format!("let Pacemaker promote {loser} again"),
            Self::Finish => format!("end the resolution on {node}"),
        }
    }
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A step.
    Take(On, Step),
    /// Nothing to do but to look again: why.
    Wait(String),
    /// There is no split brain, or none any more.
    Done,
    /// It cannot go on without a person.
    Refuse {
        /// Why.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

fn refuse(reason: impl Into<String>, remedy: impl Into<String>) -> Next {
    Next::Refuse {
        reason: reason.into(),
        remedy: remedy.into(),
    }
}

/// Whether both copies are equal, and both nodes know it.
#[must_use]
pub fn healed(a: &Side, b: &Side) -> bool {
    let whole = |side: &Side| side.link == Link::Connected && side.disk == Disk::UpToDate;
    whole(a) && whole(b)
}

/// The next step of giving up the loser's data for the winner's.
#[must_use]
pub fn next(winner: &Side, loser: &Side, order: &Order) -> Next {
    for side in [winner, loser] {
        if let Known::Unreadable(why) = &side.resolution {
            return refuse(
                format!("what was noted on {} cannot be read: {why}", side.node),
                "see two-node-ha(8), section SPLIT BRAIN",
            );
        }
    }
    if healed(winner, loser) {
        return finish(winner, loser);
    }
    if let Some(next) = foreign(winner, loser) {
        return next;
    }
    // A copy, and the word to discard, are of the data of that time.
    let noted = loser.noted().filter(|noted| !is_stale(noted, loser));
    if noted.is_none() {
        if let Some(next) = not_now(winner, loser) {
            return next;
        }
    }
    let Some(noted) = noted.filter(|noted| covers(noted, order)) else {
        return Next::Take(On::Loser, Step::Begin);
    };
    // One of before, on the winner, would let a late step of then pass there. One without a mark is of
    // an older version, which does not know them.
    let same = |own: &Resolution| own.mark == noted.mark || own.mark.is_empty();
    if !winner.noted().is_some_and(same) {
        return Next::Take(On::Winner, Step::Begin);
    }
    if let Some(next) = quiet(winner, loser) {
        return next;
    }
    if noted.discarding.is_some() {
        discarded(winner, loser)
    } else {
        prepare(winner, loser, noted)
    }
}

/// What the node is asked for with a step, which is decided on these sides: it compares that with what
/// it has noted by then. `fresh` is the mark of a resolution that begins.
#[must_use]
pub fn asked(
    winner: &Side,
    loser: &Side,
    (on, step): (On, &Step),
    order: &Order,
    fresh: impl FnOnce() -> String,
) -> Resolution {
    let seen = |side: &Side| side.noted().map_or_else(String::new, |n| n.mark.clone());
    let resolution = Resolution::new(&winner.node, &loser.node, order.without_copy);
    match (step, on) {
        (Step::Begin, On::Loser) => resolution.marked(&fresh()).over(&seen(loser)),
        // The loser's comes first, and both have the same.
        (Step::Begin, On::Winner) => {
            let loser_has = loser.noted().filter(|noted| noted.winner == winner.node);
            let mark = loser_has.map_or_else(fresh, |noted| noted.mark.clone());
            resolution.marked(&mark).over(&seen(winner))
        }
        (_, On::Loser) => resolution.marked(&seen(loser)),
        (_, On::Winner) => resolution.marked(&seen(winner)),
    }
}

/// A resolution the other way round.
fn foreign(winner: &Side, loser: &Side) -> Option<Next> {
    for (on, side) in [(On::Loser, loser), (On::Winner, winner)] {
        let Some(noted) = side.noted().filter(|noted| noted.winner != winner.node) else {
            continue;
        };
        // Its loser is the winner of this one, and may be half overwritten.
        let discarding = winner
            .noted()
            .is_some_and(|own| own.discarding.is_some() && !is_stale(own, winner));
        return Some(if discarding {
            refuse(
                format!(
                    "a resolution that keeps {} has begun to discard the data of {}",
                    noted.winner, noted.loser
                ),
                format!(
                    "finish it: `two-node-ha split-brain resolve --keep {}`",
                    noted.winner
                ),
            )
        } else {
            Next::Take(on, Step::Begin)
        });
    }
    None
}

/// Why there is nothing to resolve, or not this way.
fn not_now(winner: &Side, loser: &Side) -> Option<Next> {
    let connected = |side: &Side| matches!(side.link, Link::Connected | Link::Resyncing);
    if connected(winner) || connected(loser) {
        // What an earlier resolution left goes once both copies are equal.
        let left = |side: &Side| {
            side.noted().is_some() || matches!(side.cluster, Cluster::Here { banned: Some(_) })
        };
        return Some(if left(winner) || left(loser) {
            Next::Wait("DRBD has connected the nodes by itself".into())
        } else {
            Next::Done
        });
    }
    let relation = match (&winner.generation, &loser.generation) {
        (Ok(a), Ok(b)) => Some(compare(a, b)),
        _ => None,
    };
    match relation {
        Some(Relation::SplitBrain) => {}
        Some(Relation::Unrelated) => {
            return Some(refuse(
                "the two copies never were copies of each other",
                "find out which disk is in which node before anything else",
            ));
        }
        Some(Relation::Same | Relation::FirstAhead | Relation::SecondAhead) => {
            return Some(refuse(
                "the nodes are not connected, but neither copy has what the other does not know: \
                 this is no split brain",
                "`drbdadm connect` the resource on both nodes; DRBD knows what to do",
            ));
        }
        None if winner.evidence.is_empty() && loser.evidence.is_empty() => {
            let why = [winner, loser]
                .into_iter()
                .find_map(|side| side.generation.as_ref().err().map(|e| (side, e)));
            let why = why.map_or_else(String::new, |(side, e)| format!(" ({}: {e})", side.node));
            return Some(refuse(
                format!(
                    "whether this is a split brain cannot be told{why}, and DRBD has called no handler for one"
                ),
                "bring the resource up on both nodes (`drbdadm up`) and see what DRBD says",
            ));
        }
        // DRBD itself has said so.
        None => {}
    }
    if !matches!(winner.disk, Disk::UpToDate | Disk::Consistent) {
        return Some(refuse(
            format!(
                "the copy of {}, which is to be kept, is not whole ({})",
                winner.node, winner.summary
            ),
            format!("keep {}, or repair the disk of {}", loser.node, winner.node),
        ));
    }
    None
}

/// Whether a resolution was begun with the operator's leave to go on without a copy, or needs none.
fn covers(noted: &Resolution, order: &Order) -> bool {
    noted.discarding.is_some() || noted.copy.is_some() || noted.without_copy == order.without_copy
}

/// Whether the loser has written since its data was copied, or given up: this is another split
/// brain.
fn is_stale(noted: &Resolution, loser: &Side) -> bool {
    // What is half overwritten is beyond that.
    if loser.disk != Disk::UpToDate {
        return false;
    }
    let Ok(now) = &loser.generation else {
        return false;
    };
    let other = |then: Option<u64>| then.is_some_and(|then| then != now.current);
    other(noted.discarding)
        || noted
            .copy
            .as_ref()
            .is_some_and(|copy| other(Some(copy.generation)) || copy.writes != loser.writes)
}

/// Until the loser is banned, and nothing of it is on the volume.
fn quiet(winner: &Side, loser: &Side) -> Option<Next> {
    for (on, side) in [(On::Loser, loser), (On::Winner, winner)] {
        match &side.cluster {
            Cluster::Absent => {}
            Cluster::Silent(why) => {
                return Some(Next::Wait(format!(
                    "Pacemaker on {} does not answer: {why}",
                    side.node
                )));
            }
            Cluster::Here { .. } if !side.bans(&loser.node) => {
                return Some(Next::Take(on, Step::Ban));
            }
            Cluster::Here { .. } => {}
        }
    }
    if loser.link == Link::Down {
        return Some(refuse(
            format!("DRBD's resource is not up on {}", loser.node),
            "`drbdadm up` it, or start Pacemaker there",
        ));
    }
    if winner.link == Link::Down {
        return Some(refuse(
            format!("DRBD's resource is not up on {}", winner.node),
            "`drbdadm up` it, or start Pacemaker there",
        ));
    }
    if !loser.busy() {
        return None;
    }
    Some(match (&loser.cluster, &loser.mount) {
        (Cluster::Here { .. }, _) => Next::Wait(format!(
            "Pacemaker is taking the volume away from {}",
            loser.node
        )),
        (_, Mount::None) if !loser.held && loser.role == Role::Primary => {
            Next::Take(On::Loser, Step::Demote)
        }
        _ => refuse(
            format!(
                "the volume is in use on {}, and Pacemaker does not run there",
                loser.node
            ),
            "stop what uses it and unmount it there, or start Pacemaker",
        ),
    })
}

/// The loser is quiet: until its data may be given up.
fn prepare(winner: &Side, loser: &Side, noted: &Resolution) -> Next {
    if matches!(loser.link, Link::Connected | Link::Resyncing) {
        return Next::Wait("DRBD has connected the nodes by itself".into());
    }
    if loser.link != Link::StandAlone {
        return Next::Take(On::Loser, Step::Disconnect);
    }
    if noted.copy.is_none() && !noted.without_copy {
        return Next::Take(On::Loser, Step::Copy);
    }
    if let Some(volume) = &winner.volume {
        for (on, side) in [(On::Loser, loser), (On::Winner, winner)] {
            if side.highest_epoch > volume.epoch {
                return Next::Take(on, Step::Forget(volume.epoch));
            }
        }
    }
    Next::Take(On::Loser, Step::Discard)
}

/// DRBD was told to discard the loser's data: until it has.
fn discarded(winner: &Side, loser: &Side) -> Next {
    match (loser.link, winner.link) {
        // Cut again before the handshake, or DRBD was restarted.
        (Link::StandAlone, _) => Next::Take(On::Loser, Step::Discard),
        (Link::Connecting, Link::StandAlone) => Next::Take(On::Winner, Step::Connect),
        (Link::Resyncing, _) | (_, Link::Resyncing) => Next::Wait(format!(
            "DRBD overwrites the data of {}: {}",
            loser.node, loser.summary
        )),
        (Link::Connecting | Link::Connected | Link::Down, _) => {
            Next::Wait(format!("DRBD connects: {}", loser.summary))
        }
    }
}

/// Both copies are equal: clears away what the resolution left.
fn finish(winner: &Side, loser: &Side) -> Next {
    for (on, side) in [(On::Loser, loser), (On::Winner, winner)] {
        let banned = matches!(&side.cluster, Cluster::Here { banned: Some(_) });
        if banned {
            return Next::Take(on, Step::Unban);
        }
    }
    for (on, side) in [(On::Winner, winner), (On::Loser, loser)] {
        if side.noted().is_some() || !side.evidence.is_empty() {
            return Next::Take(on, Step::Finish);
        }
    }
    Next::Done
}
