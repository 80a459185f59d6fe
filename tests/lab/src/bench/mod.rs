//! What takes time on a running cluster, measured in one run against the way that stands beside it: our
//! fence handlers against drbd-utils', and takeovers by `recovery = "native"` against `"k8sd"`.
//!
//! Nothing is asserted of a time. A run fails where something is lost, or is not there.

mod fill;
mod handlers;
mod sampler;
mod table;
mod takeover;

use crate::form::Room;
use crate::places::Places;
use crate::scenario::{Length, Stage};
use crate::{artefacts, up};
use anyhow::Result;
use clap::ValueEnum;

/// What is measured, and with how much in the database.
#[derive(Debug, clap::Args)]
pub struct Order {
    /// What to measure; both without it
    #[arg(value_enum)]
    what: Vec<What>,
    /// MB in the datastore when takeovers are measured; one after the other where there are several
    /// [default: 1 and 100]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..=500))]
    size: Vec<u32>,
    /// Only takeovers by these [default: both]
    #[arg(long, value_enum)]
    recovery: Vec<Recovery>,
    /// Only these occasions of a takeover [default: all]
    #[arg(long, value_enum)]
    case: Vec<Case>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// fence-peer and unfence-peer
    Handlers,
    /// From a power cut, or an order to move, to the first write
    Takeover,
}

/// `k8s.recovery` of the TOML file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Recovery {
    /// In raft's own files
    Native,
    /// By `k8sd cluster-recover`
    K8sd,
}

impl Recovery {
    const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::K8sd => "k8sd",
        }
    }
}

/// What makes the other node take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Case {
    /// `two-node-ha move`
    Move,
    /// The voter loses its power
    Cut,
    /// The same, and what is sent to the dead node is answered by nobody, not even by ARP
    Dropped,
}

impl Case {
    const fn name(self) -> &'static str {
        match self {
            Self::Move => "planned move",
            Self::Cut => "power cut",
            Self::Dropped => "power cut, packets to the dead dropped",
        }
    }
}

/// Those that were asked for, or all.
fn chosen<T: Clone>(asked: &[T], all: &[T]) -> Vec<T> {
    if asked.is_empty() { all } else { asked }.to_vec()
}

impl Order {
    /// In ascending order: the database only grows.
    fn sizes(&self) -> Vec<u32> {
        let mut sizes = chosen(&self.size, &[1, 100]);
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    fn recoveries(&self) -> Vec<Recovery> {
        chosen(&self.recovery, Recovery::value_variants())
    }

    fn cases(&self) -> Vec<Case> {
        chosen(&self.case, Case::value_variants())
    }

    fn measures(&self, what: What) -> bool {
        self.what.is_empty() || self.what.contains(&what)
    }

    /// Nodes for the largest database that is asked for.
    fn make_room(&self, plan: &mut up::Plan) {
        let largest = self.sizes().last().copied().unwrap_or_default();
        if !self.measures(What::Takeover) || largest <= 1 {
            return;
        }
        // On the volume: two snapshots, the log behind them, the same again in the copy of before a
        // takeover that a recovery by k8sd makes the original differ from, and its tarball.
        let volume = Room::default().volume + 10 * largest;
        plan.room = Room {
            volume,
            // Beside the volume itself: k8sd's own tarballs, the bundle of one, and two spare
            // directories that are made from it.
            beyond: 10 * largest + 12 * largest,
        };
        // dqlite keeps the database and the log behind the last snapshot in memory, and a snapshot while
        // it is written.
        plan.memory += 6 * largest;
    }
}

/// Brings up a lab of its own, measures, and ends it.
///
/// # Errors
/// When the lab does not come up, something is lost, or is not there.
pub fn run(places: &Places, mut plan: up::Plan, order: &Order) -> Result<()> {
    order.make_room(&mut plan);
    let mut stage = Stage::raise(places, &plan, Length::Smoke)?;
    let measured = measure(&mut stage, order);
    if measured.is_err() {
        artefacts::collect(&stage.lab, "bench");
    }
    measured
}

fn measure(stage: &mut Stage, order: &Order) -> Result<()> {
    stage.settle()?;
    if order.measures(What::Handlers) {
        handlers::run(&stage.lab)?;
    }
    if order.measures(What::Takeover) {
        takeover::run(stage, order)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        order: Order,
    }

    fn order(words: &[&str]) -> Order {
        let words = ["bench"].iter().chain(words);
        Line::try_parse_from(words).unwrap().order
    }

    fn plan() -> up::Plan {
        up::Plan {
            memory: 768,
            package: None,
            room: Room::default(),
        }
    }

    #[test]
    fn everything_is_measured_unless_something_is_named() {
        let all = order(&[]);
        assert!(all.measures(What::Handlers) && all.measures(What::Takeover));
        assert_eq!(all.sizes(), [1, 100]);
        assert_eq!(all.recoveries(), [Recovery::Native, Recovery::K8sd]);
        assert_eq!(all.cases(), [Case::Move, Case::Cut, Case::Dropped]);
        let some = order(&["takeover", "--size", "500", "--size", "1", "--case", "cut"]);
        assert!(!some.measures(What::Handlers));
        assert_eq!(some.sizes(), [1, 500]);
        assert_eq!(some.cases(), [Case::Cut]);
    }

    #[test]
    fn the_nodes_are_the_usual_ones_unless_a_large_database_is_to_be_in_them() {
        for words in [&["handlers"][..], &["takeover", "--size", "1"]] {
            let mut usual = plan();
            order(words).make_room(&mut usual);
            assert_eq!((usual.memory, usual.room.beyond), (768, 0), "{words:?}");
        }
        let mut large = plan();
        order(&[]).make_room(&mut large);
        assert_eq!((large.memory, large.room.volume), (1368, 1192));
        // The disk holds the volume that it was made larger for.
        assert!(large.room.beyond > large.room.volume);
    }
}
