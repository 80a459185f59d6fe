//! `two-node-ha raft compare A B`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use two_node_ha_dqlite::{
    Comparison, Divergence, Outline, Range, Relation, Side, Verdict, compare,
};

use crate::exit;

/// Arguments of `raft compare`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// One state directory, or a copy of one
    a: PathBuf,
    /// Another one
    b: PathBuf,
    /// Print one JSON object for a program
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    let comparison = match compare(&args.a, &args.b) {
        Ok(comparison) => comparison,
        Err(error) => {
            eprintln!("error: {error}");
            return exit::NOT_DQLITE.into();
        }
    };
    for (dir, side) in [(&args.a, &comparison.a), (&args.b, &comparison.b)] {
        if side.verdict == Verdict::NotDqlite {
            eprintln!("error: {} is no dqlite directory", dir.display());
            return exit::NOT_DQLITE.into();
        }
    }
    let text = if args.json {
        match serde_json::to_string(&comparison) {
            Ok(json) => json + "\n",
            Err(error) => {
                eprintln!("error: cannot write the comparison as JSON: {error}");
                return exit::NOT_DQLITE.into();
            }
        }
    } else {
        text(&args.a, &args.b, &comparison)
    };
    let _ = io::stdout().write_all(text.as_bytes());
    match comparison.relation {
        Relation::Same => ExitCode::SUCCESS,
        Relation::AAhead | Relation::BAhead => exit::AHEAD.into(),
        Relation::Diverged | Relation::Unconnected => exit::DIVERGED.into(),
    }
}

/// The comparison for people.
fn text(a: &Path, b: &Path, comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut line = |label: &str, words: String| text += &format!("{label:<10}{words}\n");
    line("A", side(a, &comparison.a));
    line("B", side(b, &comparison.b));
    line(
        "same",
        match (comparison.same, comparison.relation) {
            (Some(range), _) => format!("{range} (byte for byte)"),
            (None, Relation::Same) => "the snapshots (byte for byte)".to_owned(),
            (None, _) => "no entry that both still have in their segments".to_owned(),
        },
    );
    if let Some(divergence) = &comparison.divergence {
        line("parted", parted(divergence));
    }
    for (label, range) in [
        ("only in A", comparison.only_a),
        ("only in B", comparison.only_b),
    ] {
        if let Some(range) = range {
            line(label, range.to_string());
        }
    }
    line("", String::new());
    text.truncate(text.trim_end().len());
    text + "\n\n" + conclusion(comparison)
}

fn side(dir: &Path, side: &Side) -> String {
    let log = |range: Option<Range>| match range {
        Some(range) => format!("segments from index {}", range.first),
        None => "no segments with entries".to_owned(),
    };
    let snapshot = side.snapshot.map_or("no snapshot".to_owned(), |snapshot| {
        format!("snapshot at {}", snapshot.index)
    });
    format!(
        "{}: {}; last entry index {}, term {}; {snapshot}, {}",
        dir.display(),
        super::words(side.verdict),
        side.last_index,
        side.last_term,
        log(side.log)
    )
}

fn parted(divergence: &Divergence) -> String {
    let outline = |entry: &Outline| {
        format!(
            "a {} of term {}, {} bytes",
            entry.kind, entry.term, entry.size
        )
    };
    let (a, b) = (outline(&divergence.a), outline(&divergence.b));
    let note = if a == b { ", with other content" } else { "" };
    format!("at index {}: A has {a}; B has {b}{note}", divergence.index)
}

fn conclusion(comparison: &Comparison) -> &'static str {
    match comparison.relation {
        Relation::Same => "Both hold the same.\n",
        Relation::AAhead => "A is ahead: it has all that B has, and more.\n",
        Relation::BAhead => "B is ahead: it has all that A has, and more.\n",
        Relation::Diverged => {
            "SPLIT: each holds writes that the other one has not, and they cannot be merged. Keep \
             both; one of them can be carried on.\n"
        }
        Relation::Unconnected => {
            "CANNOT TELL: the older entries of one are gone into its snapshot, and the other ends \
             before that. A higher index alone proves nothing. Compare with a copy that reaches \
             further back.\n"
        }
    }
}
