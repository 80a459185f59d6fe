//! A lane: runs the scenarios that it is given on a lab of its own, one after the other.

use super::line::Line;
use crate::client::Lab;
use crate::places::Places;
use crate::scenario::{self, Length, Stage};
use crate::{artefacts, up};
use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use std::io::BufRead as _;

/// Reads names of scenarios on standard input until its end; a verdict for each on standard output. A
/// failed one is followed by a fresh lab, so that each verdict is its own.
///
/// # Errors
/// When a lab cannot be brought up, twice in a row: this lane is of no use then.
pub fn main(places: &Places, plan: &up::Plan, length: Length, keep: bool) -> Result<i32> {
    // SIGTERM and not SIGKILL: it ends its lab then. Where that comes too late, the lab's own
    // lifeline ends it.
    prctl::set_pdeathsig(Signal::SIGTERM).context("ask to be told of the parent's death")?;
    let (mut stage, mut raised) = (None, true);
    for name in std::io::stdin().lock().lines() {
        let scenario = scenario::find(name.context("hear what to run")?.trim())?;
        let mut on = match stage.take() {
            Some(stage) => stage,
            None => match Stage::raise(places, plan, length) {
                Ok(stage) => stage,
                Err(error) if raised => {
                    raised = false;
                    let error = error.context("bring the lab up");
                    eprintln!("{}: {error:#}", scenario.name);
                    println!("{}", Line::Failed(format!("{error:#}")).encode());
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        raised = true;
        match scenario::play(scenario, &mut on) {
            Ok(()) => {
                // Some end the lab themselves.
                if Lab::is_up(places) {
                    stage = Some(on);
                } else {
                    drop(on);
                }
                println!("{}", Line::Passed.encode());
            }
            Err(error) => {
                eprintln!("{}: {error:#}", scenario.name);
                artefacts::collect(&on.lab, scenario.name);
                if keep {
                    on.lab.detach()?;
                    println!("{}", Line::Failed(format!("{error:#}")).encode());
                    break;
                }
                // Before the verdict: whoever hears it last may end this process.
                drop(on);
                println!("{}", Line::Failed(format!("{error:#}")).encode());
            }
        }
    }
    Ok(0)
}
