//! A cluster that cannot fence, under `fencing.mode = "constraint"`.

use super::{SETTLE, Scenario, Stage, fencing, link, return_as_spare};
use crate::agent;
use crate::demo::writer::Writer;
use crate::progress;
use anyhow::{Result, ensure};
use std::time::Duration;
use two_node_ha_drbd::Decision;

pub const SCENARIO: Scenario = Scenario {
    name: "constraint-only",
    proves: "without fencing, mode \"constraint\" lets a primary whose peer died write on at once, and bans the peer until it is in sync",
    run,
};

const CONSTRAINT: &str = "[fencing]\nmode = \"constraint\"\n";

fn run(stage: &mut Stage) -> Result<()> {
    fencing::instead(stage, CONSTRAINT, without_the_spare)
}

fn without_the_spare(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let spare = voter.peer();
    agent::spare(lab, spare, SETTLE)?;
    return_as_spare::in_sync(lab, voter)?;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "barred");
    writer.wait_count(20, Duration::from_secs(120))?;
    let cut = lab.cut(spare)?;
    let first = writer.wait_after(cut, SETTLE)?;
    let stood = first.acked.duration_since(cut).unwrap_or_default();
    eprintln!("writes stood still for {}", progress::seconds(stood));
    let said = link::answered(lab, voter, "fence-peer to answer", cut)?;
    ensure!(
        (&said.decision, said.code.as_str()) == (&Decision::Assumed, "5"),
        "fence-peer on {voter} has answered {} ({})",
        said.code,
        said.decision
    );
    let rules = link::constraints(lab, voter)?;
    ensure!(
        rules.contains(voter.name()),
        "nothing keeps {spare} from being promoted:\n{rules}"
    );
    // DRBD resynchronises as fast as it can while nobody writes.
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    return_as_spare::switch_on(lab, spare)?;
    super::whole_again(lab, voter, &before, 0)?;
    stage.check_writes()
}
