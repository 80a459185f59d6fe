//! The nodes lose sight of each other, and both are alive.

use super::{COMMAND, SETTLE, Scenario, Stage, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::writer::Writer;
use crate::up;
use crate::wait::{self, Seen};
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};
use two_node_ha_planner::State;

pub const SCENARIO: Scenario = Scenario {
    name: "partition",
    proves: "cut from each other, one node is fenced before the other goes on; none has two voters",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "partition");
    writer.wait_count(50, Duration::from_secs(120))?;
    let cut = SystemTime::now();
    lab.partition(None)?;
    let loser = fenced(lab, before.fencings.len())?;
    let dead = SystemTime::now();
    let survivor = loser.peer();
    let first = writer.wait_after(dead, SETTLE)?;
    ensure!(
        first.by == survivor,
        "{loser} acknowledged a write after it was fenced"
    );
    link::dead_before_answer(lab, survivor, cut)?;
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    agent::wait_for(lab, survivor, "the voter", SETTLE, agent::Status::is_voter)?;

    // Back while the cables are still cut: alone, and so nothing.
    up::boot(lab, &[loser])?;
    let state = agent::status(lab, loser)?;
    ensure!(
        state.state == State::SecondaryWait && !state.settled,
        "{loser} cannot know of a voter, and is {}: {}",
        state.state,
        state.reasons.join("; ")
    );
    let running = lab.sh(
        loser,
        "pgrep -a k8s-dqlite || true; pgrep -a k8sd || true",
        COMMAND,
    )?;
    ensure!(
        running.trim().is_empty(),
        "a datastore runs on the isolated {loser}:\n{running}"
    );

    lab.heal()?;
    agent::spare(lab, loser, SETTLE)?;
    ensure!(
        agent::voter(lab, COMMAND)? == survivor,
        "the voter moved when the cables were back"
    );
    let fencings = lab.status()?.fencings.len() - before.fencings.len();
    ensure!(fencings == 1, "{fencings} nodes were fenced and not one");
    stage.check_writes()
}

/// Waits for one more fencing than `before`; who it was.
fn fenced(lab: &Lab, before: usize) -> Result<Node> {
    wait::until("one of the two to be fenced", SETTLE, || {
        let fencings = lab.status()?.fencings;
        Ok(match fencings.get(before) {
            Some(fencing) => NODES
                .into_iter()
                .find(|node| node.name() == fencing.target)
                .map_or_else(
                    || Seen::NotYet(format!("{} was fenced", fencing.target)),
                    Seen::Ready,
                ),
            None => Seen::NotYet("nobody was".to_owned()),
        })
    })
}
