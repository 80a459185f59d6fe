//! `two-node-ha raft repair DIR` and `two-node-ha raft undo FOLDER`.

use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use two_node_ha_command::Interrupt;
use two_node_ha_dqlite::repair::{Kinship, Plan, PlanError, Planned};
use two_node_ha_dqlite::{Loss, Problem, ScanError, Step, Verdict};

use super::sources::{self, Found};
use crate::exit;
use crate::raft_repair::{self, Error, Leftover, Repaired};

/// Arguments of `raft repair`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The state directory
    dir: PathBuf,
    /// Another directory, or an archive of one (.tar, .tar.gz), that may have what is missing; may be
    /// given several times
    #[arg(long, value_name = "OTHER")]
    source: Vec<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Give up what cannot be had from anywhere
    #[arg(long)]
    allow_loss: bool,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Print one JSON object for a program
    #[arg(long)]
    json: bool,
}

/// Arguments of `raft undo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Undo {
    /// The folder that the repair has left beside the directory
    folder: PathBuf,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// What is said of a repair to a program.
#[derive(Serialize)]
struct Told<'a> {
    directory: &'a Path,
    before: Verdict,
    after: Verdict,
    last_index: u64,
    last_term: u64,
    problems: &'a [Problem],
    steps: &'a [Planned],
    lost: Option<Loss>,
    sources: Vec<ToldSource<'a>>,
    /// Whether it was done.
    repaired: bool,
    /// The folder with the original, once it was.
    folder: Option<&'a Path>,
}

#[derive(Serialize)]
struct ToldSource<'a> {
    directory: &'a Path,
    kinship: Kinship,
}

/// Runs `raft repair`.
pub fn repair(args: &Args) -> ExitCode {
    match go(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                Error::Scan(_) | Error::Plan(PlanError::Scan(_) | PlanError::NotDqlite) => {
                    exit::NOT_DQLITE.into()
                }
                _ => exit::FAILURE.into(),
            }
        }
    }
}

fn go(args: &Args) -> Result<ExitCode, Error> {
    let dir = match raft_repair::place(&args.dir) {
        Err(Error::Io { path, source, .. }) => {
            return Err(Error::Scan(ScanError::Io { path, source }));
        }
        other => other?,
    };
    let does_it = !args.dry_run && args.yes;
    let _lock = if does_it {
        Some(raft_repair::lock(&dir)?)
    } else {
        None
    };
    if does_it {
        for leftover in raft_repair::clear_up(&dir)? {
            eprintln!("{}", words_of(&leftover));
        }
    }
    let found = sources::open(&args.source).map_err(Error::Scan)?;
    let places: Vec<_> = found.iter().map(|found| found.dir.as_path()).collect();
    let plan = Plan::of(&dir, &places)?;
    let tell = |repaired: Option<&Repaired>| tell(args, &dir, &plan, &found, repaired);
    let lossless = plan.lost.is_none();
    if plan.steps.is_empty() {
        tell(None);
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        tell(None);
        return Ok(if lossless {
            exit::REPAIRABLE
        } else {
            exit::LOSSY
        }
        .into());
    }
    if let Some(lost) = plan.lost.filter(|_| !args.allow_loss) {
        tell(None);
        eprintln!(
            "error: it would lose at least {lost}, and nothing was done. Look for them beneath the \
             mount point, on the other node and in backups, and name what you find with --source; \
             to give them up, add --allow-loss"
        );
        return Ok(exit::LOSSY.into());
    }
    if !args.yes {
        tell(None);
        eprintln!("nothing was done: add --yes to have it done");
        return Ok(exit::FAILURE.into());
    }
    let repaired = raft_repair::repair(&dir, &plan, &Interrupt::default(), &mut progress())?;
    tell(Some(&repaired));
    Ok(ExitCode::SUCCESS)
}

fn words_of(leftover: &Leftover) -> String {
    match leftover {
        Leftover::Cleared(folder) => format!(
            "an earlier repair was interrupted before it changed anything; {} is gone",
            folder.display()
        ),
        Leftover::Finished(folder) => format!(
            "an earlier repair had come to its end but not said so; the original is in {}",
            folder.display()
        ),
    }
}

/// A line on the terminal, twice a second, for what takes longer than one.
fn progress() -> impl FnMut(u64) {
    let began = Instant::now();
    let mut last = began;
    let terminal = io::stderr().is_terminal();
    move |bytes| {
        let now = Instant::now();
        let late = now.duration_since(began) > Duration::from_secs(1);
        if terminal && late && now.duration_since(last) > Duration::from_millis(500) {
            last = now;
            eprint!("\rcopying: {} MiB\x1b[K\r", bytes >> 20);
        }
    }
}

fn tell(args: &Args, dir: &Path, plan: &Plan, found: &[Found], repaired: Option<&Repaired>) {
    let text = if args.json {
        let told = Told {
            directory: dir,
            before: plan.before.verdict,
            after: plan.after.verdict,
            last_index: plan.after.last_index,
            last_term: plan.after.last_term,
            problems: &plan.problems,
            steps: &plan.steps,
            lost: plan.lost,
            sources: plan
                .sources
                .iter()
                .zip(found)
                .map(|(source, found)| ToldSource {
                    directory: &found.given,
                    kinship: source.kinship,
                })
                .collect(),
            repaired: repaired.is_some(),
            folder: repaired.map(|repaired| repaired.aside.as_path()),
        };
        // Nothing in it can fail to be JSON: no maps, no foreign text.
        serde_json::to_string(&told).unwrap_or_default() + "\n"
    } else {
        text(dir, plan, found, repaired)
    };
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Plan and result for people.
fn text(dir: &Path, plan: &Plan, found: &[Found], repaired: Option<&Repaired>) -> String {
    let mut text = format!("{}: {}\n", dir.display(), super::words(plan.before.verdict));
    for (source, found) in plan.sources.iter().zip(found) {
        let words = match source.kinship {
            Kinship::Kin { same } => format!("of the same log: {same} are the same in both"),
            Kinship::Other { index } => {
                format!("NOT of the same log: index {index} differs; nothing is taken from it")
            }
            Kinship::Unknown => "no entry in common that would show that it is of the same log; \
                                 nothing is taken from it"
                .to_owned(),
        };
        text += &format!("{:<10}{}: {words}\n", "source", found.given.display());
    }
    if plan.steps.is_empty() {
        return text + "nothing to repair\n";
    }
    for (number, problem) in plan.problems.iter().enumerate() {
        let file = problem
            .file
            .as_ref()
            .map_or(String::new(), |file| format!("{file}: "));
        text += &format!("{:<10}{file}{}\n", "problem", problem.detail);
        for planned in plan
            .steps
            .iter()
            .filter(|planned| planned.problem == number)
        {
            text += &format!("{:<10}{}\n", "", step(&planned.step, found));
        }
    }
    match plan.lost {
        None => text += "lost      nothing\n",
        Some(lost) => text += &format!("LOST      at least {lost}\n"),
    }
    match repaired {
        None => {
            text += &format!(
                "then      sound, up to index {}, term {}\n",
                plan.after.last_index, plan.after.last_term
            );
        }
        Some(repaired) => {
            text += &format!(
                "done      {} is {}, up to index {}, term {}\n{:<10}the original, untouched, is in \
                 {}\nundo      two-node-ha raft undo {} --yes\n",
                dir.display(),
                super::words(repaired.report.verdict),
                repaired.report.last_index,
                repaired.report.last_term,
                "",
                repaired.original().display(),
                repaired.aside.display(),
            );
        }
    }
    text
}

/// A step in words.
fn step(step: &Step, found: &[Found]) -> String {
    let of = |source: usize| {
        let found = found.get(source);
        found.map_or(String::new(), |found| found.given.display().to_string())
    };
    match step {
        Step::LeaveOut { file } => format!("- leave {file} out"),
        Step::Rename { file, to } => format!("- rename {file} to {to}"),
        Step::Cut { file, size, to } if file == to => format!("- cut {file} off at byte {size}"),
        Step::Cut { file, size, to } => {
            format!("- cut {file} off at byte {size}, and rename it to {to}")
        }
        Step::Term { term } => format!("- write new metadata, of term {term} and without a vote"),
        Step::Info { node } => {
            format!(
                "- write info.yaml: {} at {}, by raft",
                node.id, node.address
            )
        }
        Step::Cluster { .. } => "- write cluster.yaml by raft's configuration".to_owned(),
        Step::Entries { source, range } => format!("- take {range} from {}", of(*source)),
        Step::Snapshot { source, file } => format!("- take {file} from {}", of(*source)),
    }
}

/// Runs `raft undo`.
pub fn undo(args: &Undo) -> ExitCode {
    if !args.yes {
        eprintln!(
            "nothing was done: this gives the place of what was repaired, and of whatever was \
             written there since, back to the original in {}. Add --yes to have it done",
            args.folder.display()
        );
        return exit::FAILURE.into();
    }
    match raft_repair::undo(&args.folder) {
        Ok(dir) => {
            println!(
                "{} is the original again; what it was repaired to is in {}",
                dir.display(),
                args.folder.join("state").display()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
    }
}
