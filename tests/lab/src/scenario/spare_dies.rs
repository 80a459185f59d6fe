//! The spare, which is the cluster's controller, loses its power under writes, and boots again while
//! the primary's handler still asks whether it is dead.

use super::{COMMAND, SETTLE, Scenario, Stage, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::writer::Writer;
use crate::progress;
use crate::up;
use anyhow::{Result, ensure};
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "spare-dies",
    proves: "when the spare dies, as the DC, writes go on once it was fenced, and it comes back by itself",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = beside_the_dc(lab)?;
    let spare = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "alone");
    writer.wait_count(20, Duration::from_secs(120))?;
    lab.auto_boot(true)?;
    let cut = lab.cut(spare)?;
    let first = writer.wait_after(cut, SETTLE);
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let first = first.and_then(|first| {
        // It boots from the moment when it was fenced on.
        link::dead_before_answer(lab, voter, cut)?;
        up::hands(lab, spare)?;
        agent::spare(lab, spare, SETTLE)?;
        Ok(first)
    });
    lab.auto_boot(false)?;
    let first = first?;
    let stood = first.acked.duration_since(cut).unwrap_or_default();
    eprintln!("writes stood still for {}", progress::seconds(stood));
    super::whole_again(lab, voter, &before, 1)?;
    ensure!(first.by == voter, "{} took the first write", first.by);
    stage.check_writes()
}

/// Who is the voter, with the cluster's DC on the other node: where it is not there, the voter moves.
fn beside_the_dc(lab: &Lab) -> Result<Node> {
    let voter = agent::voter(lab, SETTLE)?;
    let said = lab.run(voter, &["crmadmin", "--dc_lookup", "--quiet"], COMMAND)?;
    let Some(dc) = NODES.into_iter().find(|node| said.contains(node.name())) else {
        anyhow::bail!("crmadmin names no DC: {said}");
    };
    if dc != voter {
        return Ok(voter);
    }
    let to = voter.peer();
    progress::step(
        &format!("moving the voter to {to}, away from the DC"),
        || {
            lab.run(to, &["two-node-ha", "move", to.name()], SETTLE)
                .map(drop)
        },
    )?;
    agent::wait_for(lab, to, "the voter", SETTLE, agent::Status::is_voter)?;
    agent::spare(lab, voter, SETTLE)?;
    Ok(to)
}
