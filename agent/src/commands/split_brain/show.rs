//! `two-node-ha split-brain show`.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use two_node_ha_dqlite::{Parting, Range, Relation as Order};
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Known, Mount};
use two_node_ha_planner::split_brain::advice::{Advice, Comparison, Logs, advise};
use two_node_ha_planner::split_brain::generation::Relation;
use two_node_ha_planner::split_brain::{Cluster, Log, Side};

use super::{Nodes, Selection};
use crate::exit;

/// Arguments of `show`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: Selection,
}

/// The version of what is printed as JSON; fields may be added without raising it.
const VERSION: u32 = 1;

/// What is printed as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    format: u32,
    sides: Vec<&'a Side>,
    /// Why the other node is not among them.
    silent: Option<&'a str>,
    /// The other side is from the evidence, and not from now.
    earlier: bool,
    comparison: Option<&'a Comparison>,
}

/// Prints both sides. Exit 0 when there is no split brain, 3 when there is one, 4 when the other
/// node cannot be asked.
///
/// # Errors
/// When this node cannot be described.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let nodes = Nodes::open(&args.selection)?;
    let mut here = nodes.side_here(true)?;
    let (mut there, silent) = match nodes.side_there(true) {
        Ok(side) => (Some(side), None),
        Err(why) => (earlier(&nodes), Some(why)),
    };
    let comparison = there.as_ref().map(|there| advise(&here, there));
    let code = code(comparison.as_ref(), silent.is_some());
    // Thousands of checksums say nothing to a reader.
    for side in there.iter_mut().chain([&mut here]) {
        for log in side.logs.values_mut() {
            if let Log::Read(prints) = log {
                prints.entries.clear();
            }
        }
    }
    let sides: Vec<&Side> = [Some(&here), there.as_ref()]
        .into_iter()
        .flatten()
        .collect();
    if args.json {
        let shown = Shown {
            format: VERSION,
            sides,
            silent: silent.as_deref(),
            earlier: silent.is_some() && there.is_some(),
            comparison: comparison.as_ref(),
        };
        let text = serde_json::to_string(&shown).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        print!("{}", describe(&sides, comparison.as_ref()));
        if let Some(why) = &silent {
            println!("\n{} cannot be asked now: {why}", nodes.there);
            if there.is_some() {
                println!("what is said of it is from the evidence of this node");
            }
        }
    }
    Ok(code.into())
}

fn code(comparison: Option<&Comparison>, silent: bool) -> u8 {
    match comparison.map(|c| &c.advice) {
        _ if silent => exit::UNFINISHED,
        None => exit::UNFINISHED,
        Some(Advice::None { .. }) => 0,
        Some(Advice::Keep { .. } | Advice::CannotTell { .. }) => exit::SPLIT,
    }
}

/// The other side as it was when the split brain was seen.
fn earlier(nodes: &Nodes) -> Option<Side> {
    let unresolved = two_node_ha_evidence::unresolved(&nodes.paths.evidence()).ok()?;
    unresolved.into_iter().rev().find_map(|(_, evidence)| {
        let sides: Vec<Side> = evidence.sides?.known()?;
        sides.into_iter().find(|side| side.node == nodes.there)
    })
}

fn describe(sides: &[&Side], comparison: Option<&Comparison>) -> String {
    let mut text = String::new();
    let mut row = |label: &str, of: &dyn Fn(&Side) -> String| {
        let _ = write!(text, "{label:<12}");
        let cells: Vec<String> = sides.iter().map(|side| of(side)).collect();
        match cells.as_slice() {
            [one, other] => {
                let _ = writeln!(text, "{one:<36}  {other}");
            }
            cells => {
                let _ = writeln!(text, "{}", cells.join("  "));
            }
        }
    };
    row("", &|side| side.node.clone());
    row("drbd", &|side| side.summary.clone());
    row("generation", &|side| match &side.generation {
        Ok(generation) => format!("{:016X}", generation.current),
        Err(_) => "not known".into(),
    });
    row("since", &|side| match &side.generation {
        Ok(generation) if generation.bitmap != 0 => format!("{:016X}", generation.bitmap),
        Ok(_) | Err(_) => "-".into(),
    });
    row("volume", &|side| match &side.mount {
        Mount::None => "not mounted".into(),
        Mount::ReadWrite => "mounted".into(),
        Mount::ReadOnly => "mounted READ-ONLY".into(),
        Mount::Foreign(what) => format!("{what} in its place"),
    });
    row("role", &|side| {
        if side.held { "voter" } else { "not the voter" }.into()
    });
    row("databases", &|side| match &side.volume {
        Some(owned) => format!("of {}, epoch {}", owned.owner, owned.epoch),
        None => "not known".into(),
    });
    for database in Database::ALL {
        row(database.name(), &|side| match side.logs.get(&database) {
            Some(Log::Read(prints)) => {
                format!("to index {}, term {}", prints.last_index, prints.last_term)
            }
            Some(Log::Unknown(_)) | None => "cannot be read now".into(),
        });
    }
    row("pacemaker", &|side| match &side.cluster {
        Cluster::Absent => "does not run".into(),
        Cluster::Silent(_) => "does not answer".into(),
        Cluster::Here { banned: None } => "runs".into(),
        Cluster::Here { banned: Some(node) } => format!("runs; does not promote {node}"),
    });
    row("evidence", &|side| match side.evidence.len() {
        0 => "none".into(),
        1 => "1 file".into(),
        n => format!("{n} files"),
    });
    row("resolving", &|side| match &side.resolution {
        Known::Absent => "no".into(),
        Known::Present(noted) => format!("yes, keeps {}", noted.winner),
        Known::Unreadable(_) => "its record cannot be read".into(),
    });
    if let Some(comparison) = comparison {
        conclude(&mut text, sides, comparison);
    }
    text
}

fn conclude(text: &mut String, sides: &[&Side], comparison: &Comparison) {
    let [a, b] = sides else { return };
    let _ = writeln!(text);
    let relation = match comparison.relation {
        None => "cannot be told from the identifiers".to_owned(),
        Some(Relation::Same) => "the same".into(),
        Some(Relation::FirstAhead) => format!("{} is ahead", a.node),
        Some(Relation::SecondAhead) => format!("{} is ahead", b.node),
        Some(Relation::SplitBrain) => "each has what the other does not know".into(),
        Some(Relation::Unrelated) => "never were copies of each other".into(),
    };
    let _ = writeln!(text, "{:<12}{relation}", "copies");
    for (database, logs) in &comparison.logs {
        let words = match logs {
            Logs::Unknown(why) => format!("not compared: {why}"),
            Logs::Compared(parting) => parted(parting, &a.node, &b.node),
        };
        let _ = writeln!(text, "{:<12}{words}", database.name());
    }
    let _ = writeln!(text);
    let (headline, reasons) = match &comparison.advice {
        Advice::None { reasons } => ("no split brain".to_owned(), reasons),
        Advice::Keep { node, reasons } => (format!("keep {node}"), reasons),
        Advice::CannotTell { reasons } => ("cannot tell which node to keep".into(), reasons),
    };
    let _ = writeln!(text, "{headline}");
    for reason in reasons {
        let _ = writeln!(text, "  {reason}");
    }
    let keep = match &comparison.advice {
        Advice::None { .. } => return,
        Advice::Keep { node, .. } => node,
        Advice::CannotTell { .. } => "NODE",
    };
    let _ = writeln!(text, "  two-node-ha split-brain resolve --keep {keep}");
}

fn parted(parting: &Parting, a: &str, b: &str) -> String {
    let only = |range: &Option<Range>, node: &str| {
        range.map_or_else(
            || format!("nothing on {node} alone"),
            |range| format!("on {node} alone {range}"),
        )
    };
    let apart = format!("{}; {}", only(&parting.only_a, a), only(&parting.only_b, b));
    match (parting.relation, parting.differs) {
        (Order::Same, _) => "the same on both".into(),
        (Order::Unconnected, _) => "too far apart to be compared".into(),
        (Order::Diverged, Some(index)) => format!("parted at index {index}: {apart}"),
        (Order::AAhead | Order::BAhead | Order::Diverged, _) => apart,
    }
}
