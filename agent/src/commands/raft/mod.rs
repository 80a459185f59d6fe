//! `two-node-ha raft`: dqlite's files, offline and without libdqlite.

mod compare;
mod give_up;
mod inspect;
mod repair;
mod sources;
mod table;
mod verify;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use two_node_ha_dqlite::{Loss, Report, Verdict, assess, scan};

use crate::exit;

/// What to do with a state directory.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Print what is in a dqlite state directory
    ///
    /// Term and index of the last entry, who is the voter by raft's own record, snapshots and the
    /// databases in them, and segments. Nothing is written, no lock is taken, and the node may be
    /// running. Exits with 0, or with 3 where there is no dqlite directory or it cannot be read.
    Inspect(Args),
    /// Say whether dqlite would start on a state directory with all that is in it
    ///
    /// Checks every checksum, the order of the segments, the terms, names against content, and
    /// info.yaml, cluster.yaml and join. Nothing is written, no lock is taken, and the node may be
    /// running. Exits with 0 if it is sound, with 1 if it is damaged and can be repaired without
    /// loss, with 2 if something is lost, and with 3 where there is no dqlite directory or it cannot
    /// be read.
    Verify(Args),
    /// Say which of two state directories has more, and where their logs part
    ///
    /// Entries that both have are compared byte by byte: terms and indexes alone do not tell, since
    /// the two sides of a split brain can use the same ones. Nothing is written. Exits with 0 if both
    /// hold the same, with 1 if one is ahead, with 2 if each has what the other has not or if that
    /// cannot be told, and with 3 where one is no dqlite directory or cannot be read.
    Compare(compare::Args),
    /// Repair a state directory the way that loses the least
    ///
    /// A copy is repaired and verified, and then takes the directory's place; the original is kept
    /// beside it. Nothing is done while a process uses the directory, without --yes, or at the price
    /// of entries without --allow-loss. Exits with 0 if it is done or there is nothing to do, with 1
    /// if it failed or was not confirmed, with 2 if it would lose something, and with 3 where there
    /// is no dqlite directory or it cannot be read. With --dry-run, 1 says that it can be repaired
    /// without loss.
    Repair(repair::Args),
    /// Give a repaired directory's place back to the original
    ///
    /// What the repair made of it, and whatever was written there since, is kept in the original's
    /// place.
    Undo(repair::Undo),
    /// Give up what a node's own log has, and the volume lacks
    ///
    /// Where the voter role was handed over to a node's own disk, and that disk is lost or its log has
    /// parted from the volume's, nobody becomes the voter before the operator has said so. To be run
    /// on the node where the volume is mounted. Without --yes it only says what would be given up. What
    /// there is of it on this node is kept aside.
    GiveUp(give_up::Args),
}

/// Arguments of the two that look at one directory.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The state directory, or a copy of one
    dir: PathBuf,
    /// Print one JSON object for a program
    #[arg(long)]
    json: bool,
}

/// Runs it.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    match command {
        Command::Inspect(args) => match look(args, inspect::text) {
            Verdict::NotDqlite => exit::NOT_DQLITE.into(),
            Verdict::Sound | Verdict::Repairable | Verdict::Lossy(_) => ExitCode::SUCCESS,
        },
        Command::Verify(args) => match look(args, verify::text) {
            Verdict::Sound => ExitCode::SUCCESS,
            Verdict::Repairable => exit::REPAIRABLE.into(),
            Verdict::Lossy(_) => exit::LOSSY.into(),
            Verdict::NotDqlite => exit::NOT_DQLITE.into(),
        },
        Command::Compare(args) => compare::run(args),
        Command::Repair(args) => repair::repair(args),
        Command::Undo(args) => repair::undo(args),
        Command::GiveUp(args) => give_up::run(args),
    }
}

/// Reads a directory and prints what is to be said about it. What cannot be read counts as none.
fn look(args: &Args, text: fn(&Path, &Report) -> String) -> Verdict {
    let report = match scan(&args.dir) {
        Ok(scan) => assess(&scan),
        Err(error) => {
            eprintln!("error: {error}");
            return Verdict::NotDqlite;
        }
    };
    let text = if args.json {
        match serde_json::to_string(&report) {
            Ok(json) => json + "\n",
            Err(error) => {
                eprintln!("error: cannot write the report as JSON: {error}");
                return Verdict::NotDqlite;
            }
        }
    } else if report.verdict == Verdict::NotDqlite {
        eprintln!(
            "error: {} is no dqlite directory: it has neither metadata1, nor a segment, nor \
             info.yaml. Of k8s-dqlite that is the state directory itself, of k8sd its folder \
             `database`",
            args.dir.display()
        );
        String::new()
    } else {
        text(&args.dir, &report)
    };
    // Whoever closed the pipe has seen enough; the exit code tells the rest.
    let _ = io::stdout().write_all(text.as_bytes());
    report.verdict
}

/// A verdict in a few words.
fn words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Sound => "sound".to_owned(),
        Verdict::Repairable => "DAMAGED, and can be repaired without loss".to_owned(),
        Verdict::Lossy(lost) => {
            let are = if lost.entries() > 1 { "are" } else { "is" };
            format!(
                "DAMAGED, and {} {are} lost unless found elsewhere",
                at_least(lost)
            )
        }
        Verdict::NotDqlite => "no dqlite directory".to_owned(),
    }
}

fn at_least(lost: Loss) -> String {
    format!("at least {lost}")
}

/// The problems and notes of a report, a line each.
fn findings(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |label: &str, file: &Option<String>, detail: &str| {
        let file = file
            .as_ref()
            .map_or(String::new(), |file| format!("{file}: "));
        text += &format!("{label:<10}{file}{detail}\n");
    };
    for problem in &report.problems {
        let mut detail = problem.detail.clone();
        match (problem.lossless, problem.lost) {
            (true, _) => {}
            (false, Some(lost)) => detail += &format!(". Lost: {}", at_least(lost)),
            (false, None) => detail += ". Lost: unknown",
        }
        line(
            if problem.lossless { "problem" } else { "LOSS" },
            &problem.file,
            &detail,
        );
    }
    for note in &report.notes {
        line("note", &note.file, &note.detail);
    }
    text
}
