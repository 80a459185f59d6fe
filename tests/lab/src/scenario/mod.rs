//! What the lab proves: a table of scenarios, each in a file of its own.
//!
//! They run in the order of the table, on one lab, and each leaves a healthy cluster behind: voter
//! and spare settled, no partition. A failed one is followed by a fresh lab, so that each verdict is
//! its own.

mod boot_delay;
mod broken_config;
mod constraint_only;
mod copy_refused;
mod disk_fails;
mod fenced_late;
mod fencing;
mod fencing_fails;
mod first_start;
mod handler_hangs;
mod hooks;
mod idle_agent;
pub mod link;
mod link_flaps;
mod move_back;
mod nothing_left;
mod partition;
mod power_cut;
mod return_as_spare;
mod services_gated;
mod shutdown_order;
mod slow_and_full;
mod spare_dies;
mod split_brain;

pub use return_as_spare::in_sync;

use crate::agent;
use crate::artefacts;
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::writer::{Ack, missing};
use crate::places::Places;
use crate::supervisor::protocol::Status;
use crate::{form, members, progress, up};
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};

/// How long a cluster may take to settle. A time-out, not a goal.
pub const SETTLE: Duration = Duration::from_secs(420);

/// A short command in a node.
pub const COMMAND: Duration = Duration::from_secs(60);

/// One scenario.
pub struct Scenario {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// The sentence that it proves.
    pub proves: &'static str,
    run: fn(&mut Stage) -> Result<()>,
}

/// All of them, in the order in which they run.
pub static SCENARIOS: [Scenario; 21] = [
    first_start::SCENARIO,
    idle_agent::SCENARIO,
    power_cut::SCENARIO,
    return_as_spare::SCENARIO,
    move_back::SCENARIO,
    spare_dies::SCENARIO,
    slow_and_full::SCENARIO,
    copy_refused::SCENARIO,
    disk_fails::SCENARIO,
    link_flaps::SCENARIO,
    handler_hangs::SCENARIO,
    partition::SCENARIO,
    fencing_fails::SCENARIO,
    fenced_late::SCENARIO,
    constraint_only::SCENARIO,
    split_brain::SCENARIO,
    services_gated::SCENARIO,
    boot_delay::SCENARIO,
    shutdown_order::SCENARIO,
    broken_config::SCENARIO,
    nothing_left::SCENARIO,
];

/// What scenarios work on.
pub struct Stage {
    /// The running lab.
    pub lab: Lab,
    /// Every write that was ever acknowledged: none may be missing at any later time.
    pub acks: Vec<Ack>,
    /// Whether the resources are loaded into Pacemaker.
    started: bool,
}

impl Stage {
    /// A lab that is up, with nothing in it yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn raise(places: &Places, plan: &up::Plan) -> Result<Self> {
        Ok(Self {
            lab: up::bring(places, plan)?,
            acks: Vec::new(),
            started: false,
        })
    }

    /// Loads the resources into Pacemaker, unless that was done, and waits until both nodes are what
    /// they are to be.
    ///
    /// # Errors
    /// When they do not get there.
    pub fn settle(&mut self) -> Result<()> {
        if !self.started {
            form::first_start(&self.lab)?;
            self.started = true;
        }
        let voter = agent::voter(&self.lab, SETTLE)?;
        agent::spare(&self.lab, voter.peer(), SETTLE)?;
        self.check_writes()
    }

    /// Every acknowledged write is there, on both nodes.
    ///
    /// # Errors
    /// When one is not.
    pub fn check_writes(&self) -> Result<()> {
        if self.acks.is_empty() {
            return Ok(());
        }
        let supervisor = self.lab.status()?.supervisor;
        for node in NODES {
            let lost = missing(supervisor, node, &self.acks)?;
            if !lost.is_empty() {
                bail!(
                    "{node} lost {} of {} acknowledged writes, {} the first",
                    lost.len(),
                    self.acks.len(),
                    lost[0]
                );
            }
        }
        Ok(())
    }
}

/// The cluster is whole again: both nodes are members, both copies equal, no constraint of a handler
/// is left, the voter is where it was, its peer the spare, and so many nodes were fenced since then.
fn whole_again(lab: &Lab, voter: Node, before: &Status, fencings: usize) -> Result<()> {
    members::united(lab, SETTLE)?;
    in_sync(lab, voter)?;
    link::none_left(lab, voter)?;
    agent::spare(lab, voter.peer(), SETTLE)?;
    let now = agent::voter(lab, SETTLE)?;
    ensure!(now == voter, "the voter moved from {voter} to {now}");
    let since = lab.status()?.fencings.split_off(before.fencings.len());
    ensure!(
        since.len() == fencings,
        "{fencings} nodes were to be fenced, and these were: {since:?}"
    );
    Ok(())
}

/// Runs the scenarios with these names, or all; the exit code.
///
/// # Errors
/// When a name is unknown, or the lab cannot be brought up.
pub fn smoke(places: &Places, plan: &up::Plan, only: &[String], keep: bool) -> Result<i32> {
    let chosen = choose(only)?;
    let mut stage = None;
    let (mut passed, mut failed) = (0, Vec::new());
    for scenario in chosen {
        eprintln!("\n--- {}: {}", scenario.name, scenario.proves);
        let start = Instant::now();
        let mut on = match stage.take() {
            Some(stage) => stage,
            None => Stage::raise(places, plan)?,
        };
        // The first start has to see the cluster before it; all others a settled one.
        let prepared = if scenario.name == first_start::SCENARIO.name {
            Ok(())
        } else {
            on.settle()
        };
        let result = prepared
            .context("before the scenario itself")
            .and_then(|()| (scenario.run)(&mut on));
        let took = progress::seconds(start.elapsed());
        match result {
            Ok(()) => {
                passed += 1;
                println!(
                    "{:<16} {took:>8}  ok      {}",
                    scenario.name, scenario.proves
                );
                // The last one ends the lab itself.
                if Lab::is_up(places) {
                    stage = Some(on);
                }
            }
            Err(error) => {
                println!(
                    "{:<16} {took:>8}  FAILED  {}",
                    scenario.name, scenario.proves
                );
                eprintln!("{}: {error:#}", scenario.name);
                artefacts::collect(&on.lab, scenario.name);
                failed.push(format!("{}: {error:#}", scenario.name));
                if keep {
                    on.lab.detach()?;
                    eprintln!("the lab stays as it is; `two-node-ha-lab down` ends it");
                    break;
                }
            }
        }
    }
    drop(stage);
    // Once more, where whoever reads only the end finds it.
    for failure in &failed {
        println!("FAILED {failure}");
    }
    println!("{passed} passed, {} failed", failed.len());
    Ok(i32::from(!failed.is_empty()))
}

fn choose(only: &[String]) -> Result<Vec<&'static Scenario>> {
    for name in only {
        if !SCENARIOS.iter().any(|s| s.name == name) {
            let names: Vec<&str> = SCENARIOS.iter().map(|s| s.name).collect();
            bail!(
                "no scenario is called {name:?}; there are: {}",
                names.join(", ")
            );
        }
    }
    Ok(SCENARIOS
        .iter()
        .filter(|s| only.is_empty() || only.iter().any(|name| name == s.name))
        .collect())
}
