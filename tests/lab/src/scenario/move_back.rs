//! The administrator moves the voter.

use super::{SETTLE, Scenario, Stage};
use crate::agent;
use crate::demo::writer::Writer;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "planned-move",
    proves: "a planned move under writes makes the other node the voter, and loses no write",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let from = agent::voter(lab, SETTLE)?;
    let to = from.peer();
    let writer = Writer::start(lab.status()?.supervisor, "move");
    writer.wait_count(50, Duration::from_secs(120))?;
    crate::progress::step(&format!("moving the voter to {to}"), || {
        lab.run(to, &["two-node-ha", "move", to.name()], SETTLE)
            .map(drop)
    })?;
    agent::wait_for(lab, to, "the voter", SETTLE, agent::Status::is_voter)?;
    writer.wait_after(SystemTime::now(), Duration::from_secs(60))?;
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    agent::spare(lab, from, SETTLE)?;
    let fenced = lab
        .status()?
        .fencings
        .iter()
        .filter(|f| f.target == from.name())
        .count();
    let booted = lab.status()?.node(from).on;
    ensure!(
        booted,
        "{from} was powered off by a planned move ({fenced} fencings so far)"
    );
    // The constraint of the move is gone: nothing keeps the voter from moving again.
    let rules = lab.run(to, &["cibadmin", "-Q", "-o", "constraints"], super::COMMAND)?;
    ensure!(
        !rules.contains("cli-"),
        "a constraint of the move is left behind:\n{rules}"
    );
    stage.check_writes()
}
