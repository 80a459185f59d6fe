//! `two-node-ha split-brain resolve`: asks both nodes what they are, has the next step taken where
//! it belongs, and asks again. Nothing is kept here: interrupted anywhere, started again on either
//! node, it goes on.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use two_node_ha_planner::record::Resolution;
use two_node_ha_planner::split_brain::Side;
use two_node_ha_planner::split_brain::plan::{Next, On, Order, Step, asked, next};
use two_node_ha_planner::split_brain::predict;

use super::{Nodes, Selection};
use crate::exit;

/// Arguments of `resolve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The node whose data stays
    #[arg(long, value_name = "NODE")]
    keep: String,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Give the other node's data up although no copy of it can be made
    #[arg(long)]
    without_copy: bool,
    /// Stop waiting after this long; run it again to go on
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
    #[command(flatten)]
    selection: Selection,
}

/// How long a step may take, and how long the copy may.
const STEP: Duration = Duration::from_secs(120);
const COPY: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked again while something is waited for.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a node may fail to answer in a row.
const PATIENCE: u32 = 15;

/// The mark of a resolution that begins: a word that has not been used before.
fn mark() -> String {
    let unique = (SystemTime::now(), std::process::id());
    format!("{:016x}", RandomState::new().hash_one(unique))
}

/// What is asked for.
struct Task {
    nodes: Nodes,
    winner: String,
    loser: String,
    order: Order,
}

/// Runs it.
///
/// # Errors
/// What keeps it from going on, in words with what to do.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let nodes = Nodes::open(&args.selection)?;
    let [a, b] = &nodes.config.nodes;
    let (winner, loser) = match args.keep.as_str() {
        keep if keep == a.name => (a.name.clone(), b.name.clone()),
        keep if keep == b.name => (b.name.clone(), a.name.clone()),
        keep => {
            return Err(format!(
                "{keep} is none of the two nodes, {} and {}",
                a.name, b.name
            ));
        }
    };
    let order = Order {
        without_copy: args.without_copy,
    };
    let task = Task {
        nodes,
        winner,
        loser,
        order,
    };
    if args.dry_run {
        return task.announce();
    }
    task.go(args)
}

impl Task {
    /// The sides of the winner and of the loser.
    fn look(&self) -> Result<(Side, Side), String> {
        let here = self.nodes.side_here(false)?;
        let there = self.nodes.side_there(false)?;
        Ok(if here.node == self.winner {
            (here, there)
        } else {
            (there, here)
        })
    }

    fn name(&self, on: On) -> &str {
        match on {
            On::Winner => &self.winner,
            On::Loser => &self.loser,
        }
    }

    fn asked(&self, winner: &Side, loser: &Side, on: On, step: &Step) -> Resolution {
        asked(winner, loser, (on, step), &self.order, mark)
    }

    fn announce(&self) -> Result<ExitCode, String> {
        let (mut winner, mut loser) = self.look()?;
        // Far above any way that leads to the end.
        for number in 1..100 {
            match next(&winner, &loser, &self.order) {
                Next::Take(on, step) => {
                    println!("{number:>3}. {}", step.describe(self.name(on), &self.loser));
                    let asked = self.asked(&winner, &loser, on, &step);
                    predict::take(&mut winner, &mut loser, on, &step, &asked);
                }
                Next::Wait(why) => {
                    println!("{number:>3}. wait: {why}");
                    if !predict::wait(&mut winner, &mut loser) {
                        break;
                    }
                }
                Next::Done if number == 1 => {
                    println!("there is no split brain; nothing would be done");
                    break;
                }
                Next::Done => break,
                Next::Refuse { reason, remedy } => return Err(format!("{reason}; {remedy}")),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn go(&self, args: &Args) -> Result<ExitCode, String> {
        let deadline = Instant::now().checked_add(Duration::from_secs(args.timeout));
        let mut said = String::new();
        let mut silent = 0;
        let mut confirmed = args.yes;
        let mut taken = false;
        loop {
            let (winner, loser) = match self.look() {
                Ok(sides) => sides,
                Err(why) => {
                    silent += 1;
                    // Before the first step there is nothing to be patient about.
                    if silent > PATIENCE || !taken {
                        return Err(format!(
                            "{why}. Both nodes are needed, with their agents running{}",
                            if taken {
                                "; the same command goes on then"
                            } else {
                                ""
                            }
                        ));
                    }
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            silent = 0;
            match next(&winner, &loser, &self.order) {
                Next::Done => {
                    println!(
                        "{}",
                        if taken {
                            format!(
                                "the split brain is over: the data of {} was kept",
                                self.winner
                            )
                        } else {
                            "there is no split brain; nothing was done".to_owned()
                        }
                    );
                    return Ok(ExitCode::SUCCESS);
                }
                Next::Refuse { reason, remedy } => return Err(format!("{reason}; {remedy}")),
                Next::Wait(why) => {
                    if why != said {
                        println!("  {why}");
                        said = why;
                    }
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        eprintln!(
                            "error: not over after {} s; the same command goes on",
                            args.timeout
                        );
                        return Ok(exit::UNFINISHED.into());
                    }
                    std::thread::sleep(PAUSE);
                }
                Next::Take(on, step) => {
                    if !confirmed {
                        self.confirm()?;
                        confirmed = true;
                    }
                    taken = true;
                    let asked = self.asked(&winner, &loser, on, &step);
                    self.take(on, &step, &asked)?;
                }
            }
        }
    }

    fn take(&self, on: On, step: &Step, asked: &Resolution) -> Result<(), String> {
        let node = self.name(on);
        let words = step.describe(node, &self.loser);
        println!("  {words}");
        let within = if *step == Step::Copy { COPY } else { STEP };
        self.nodes.take(node, step, asked, within).map_err(|why| {
            let more = if *step == Step::Copy {
                ". Nothing is discarded without a copy; --without-copy does, and its writes are \
                     then lost for good"
            } else {
                ". The same command goes on once the cause is gone"
            };
            format!("could not {words}: {why}{more}")
        })
    }

    fn confirm(&self) -> Result<(), String> {
        let lost = if self.order.without_copy {
            "WITHOUT a copy: what was written there alone is lost for good"
        } else {
            "after a copy of it was made there"
        };
        println!(
            "The data of {} stays. The data of {} is discarded, {lost}.",
            self.winner, self.loser
        );
        if !std::io::stdin().is_terminal() {
            return Err("nobody is there to confirm; pass --yes".into());
        }
        print!("Type the name of the node whose data is discarded: ");
        std::io::stdout()
            .flush()
            .map_err(|error| error.to_string())?;
        let mut typed = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut typed)
            .map_err(|error| error.to_string())?;
        if typed.trim() == self.loser {
            Ok(())
        } else {
            Err("not confirmed; nothing was done".into())
        }
    }
}
