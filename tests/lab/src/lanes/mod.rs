//! Several labs side by side.
//!
//! Much of a scenario is waiting: for a token of Corosync, a monitor of Pacemaker, a time-out of DRBD.
//! A lane is a process of its own with a lab of its own, and takes the next scenario as soon as it has
//! finished one, so that two of them keep two cores busy, and a slow one holds up nobody. Nothing is
//! shared but the cache: a lane that fails, or dies, spoils no other's verdict.
//!
//! ```text
//! smoke ──┬── lane: two-node-ha-lab --instance smoke-1 internal-lane     names in, verdicts out
//!         └── lane: two-node-ha-lab --instance smoke-2 internal-lane
//! ```

mod lane;
mod line;

pub use lane::main;

use crate::places::Places;
use crate::scenario::{Length, Scenario};
use crate::{ending, host, interrupt, progress, up};
use anyhow::{Context, Result, bail};
use line::Line;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What is to be run, and how.
pub struct Order {
    /// The scenarios, in their order.
    pub scenarios: Vec<&'static Scenario>,
    /// How much each repeats.
    pub length: Length,
    /// Labs side by side.
    pub lanes: usize,
    /// Leave the lab of the first failure as it is.
    pub keep: bool,
}

/// What all lanes take from and add to.
#[derive(Default)]
struct Board {
    waiting: VecDeque<&'static Scenario>,
    passed: usize,
    failed: Vec<String>,
    /// Why no further scenario is begun, though some may be waiting.
    over: Option<String>,
}

/// One lane, as this process sees it.
struct Lane<'a> {
    places: Places,
    plan: &'a up::Plan,
    order: &'a Order,
    /// Put before each line of its output; empty where there is one lane alone.
    tag: String,
}

/// Runs the scenarios; the exit code.
///
/// # Errors
/// When the images cannot be made.
pub fn run(places: &Places, plan: &up::Plan, order: &Order) -> Result<i32> {
    let start = Instant::now();
    // Once, and not by the first of the lanes while the others wait for it.
    up::prepare(places, plan)?;
    let count = order.lanes.clamp(1, order.scenarios.len().max(1));
    let lanes = (1..=count)
        .map(|number| {
            let (name, tag) = if count == 1 {
                (places.name.clone(), String::new())
            } else {
                (format!("{}-{number}", places.name), format!("[{number}] "))
            };
            Ok(Lane {
                places: Places::new(&name)?,
                plan,
                order,
                tag,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let board = Mutex::new(Board {
        waiting: order.scenarios.iter().copied().collect(),
        ..Board::default()
    });
    std::thread::scope(|scope| {
        for lane in &lanes {
            let board = &board;
            scope.spawn(move || {
                if let Err(error) = lane.attend(board) {
                    lock(board).failed.push(format!("{}{error:#}", lane.tag));
                }
            });
        }
    });
    interrupt::give_way();
    let mut board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
    for scenario in &board.waiting {
        let why = board.over.as_deref().unwrap_or("no lane is left to run it");
        board
            .failed
            .push(format!("{}: not run: {why}", scenario.name));
    }
    // Once more, where whoever reads only the end finds it.
    for failure in &board.failed {
        println!("FAILED {failure}");
    }
    println!(
        "{} passed, {} failed, {} on {count} {}",
        board.passed,
        board.failed.len(),
        progress::seconds(start.elapsed()),
        if count == 1 {
            "lab"
        } else {
            "labs side by side"
        }
    );
    Ok(i32::from(!board.failed.is_empty()))
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane<'_> {
    /// Hands scenarios to the lane until there are none, and sees to its end.
    fn attend(&self, board: &Mutex<Board>) -> Result<()> {
        let mut child = self.start()?;
        let under_watch = interrupt::pass_on_to(child.id());
        let (names, said) = (child.stdin.take(), child.stdout.take());
        let heard = child.stderr.take().map(|heard| {
            let tag = self.tag.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(heard).split(b'\n').map_while(Result::ok) {
                    eprintln!("{tag}{}", String::from_utf8_lossy(&line));
                }
            })
        });
        let handed = match (names, said) {
            (Some(names), Some(said)) => self.hand_out(board, names, BufReader::new(said)),
            (None, _) | (_, None) => Err(anyhow::anyhow!("the lane has no pipes")),
        };
        // Reaped only once nobody would send it a signal any more.
        interrupt::wait_for(child.id());
        drop(under_watch);
        let status = child.wait().context("wait for the lane")?;
        if let Some(heard) = heard {
            let _ = heard.join();
        }
        let kept = handed.with_context(|| format!("the lane has ended with {status}"))?;
        if !kept {
            // What a lane that was killed could not remove itself.
            ending::end(&self.places)?;
        }
        Ok(())
    }

    /// Started from the thread that attends to it, which outlives it: when this process dies, the lane
    /// is told to end.
    fn start(&self) -> Result<Child> {
        let mut command = Command::new(host::SELF);
        command.args(["--instance", &self.places.name, "internal-lane"]);
        command.args(["--memory", &self.plan.memory.to_string()]);
        match &self.plan.package {
            Some(package) => command.arg("--package").arg(package),
            None => command.arg("--bare"),
        };
        if self.order.length == Length::Campaign {
            command.arg("--campaign");
        }
        if self.order.keep {
            command.arg("--keep");
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start a lane")
    }

    /// Whether the lab was left as it is.
    fn hand_out(
        &self,
        board: &Mutex<Board>,
        mut names: ChildStdin,
        mut said: BufReader<ChildStdout>,
    ) -> Result<bool> {
        loop {
            let scenario = {
                let mut board = lock(board);
                if board.over.is_some() || interrupt::interrupted() {
                    return Ok(false);
                }
                board.waiting.pop_front()
            };
            let Some(scenario) = scenario else {
                return Ok(false);
            };
            let (name, proves) = (scenario.name, scenario.proves);
            eprintln!("\n{}--- {name}: {proves}", self.tag);
            let start = Instant::now();
            let verdict = writeln!(names, "{name}")
                .context("hand a scenario to the lane")
                .and_then(|()| self.verdict(&mut said));
            let took = progress::seconds(start.elapsed());
            let (word, error) = match &verdict {
                Ok(None) => ("ok    ", None),
                Ok(Some(error)) => ("FAILED", Some(error.clone())),
                Err(error) => ("FAILED", Some(format!("{error:#}"))),
            };
            println!("{name:<16} {took:>8}  {word}  {proves}");
            let mut board = lock(board);
            match error {
                None => board.passed += 1,
                Some(error) => {
                    board.failed.push(format!("{name}: {error}"));
                    if self.order.keep {
                        board.over = Some(format!("the lab of {name} was to be kept"));
                        eprintln!(
                            "the lab stays as it is; `two-node-ha-lab --instance {} down` ends it",
                            self.places.name
                        );
                        return Ok(verdict.is_ok());
                    }
                }
            }
            // Already told as this scenario's failure: a lane that has ended takes no other.
            if verdict.is_err() {
                return Ok(false);
            }
        }
    }

    /// What the lane says of the scenario that it has: none for a success.
    fn verdict(&self, said: &mut BufReader<ChildStdout>) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            if said
                .read_until(b'\n', &mut bytes)
                .context("hear the lane")?
                == 0
            {
                bail!("the process of its lane has ended");
            }
            match Line::decode(String::from_utf8_lossy(&bytes).trim_end_matches('\n')) {
                Line::Text(text) => println!("{}{text}", self.tag),
                Line::Passed => return Ok(None),
                Line::Failed(error) => return Ok(Some(error)),
            }
        }
    }
}
