//! All links are cut, and the fence agent does not work.

use super::{COMMAND, SETTLE, Scenario, Stage, fencing, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "fencing-fails",
    proves: "cut from each other without a working fence agent, no node writes; healed, they go on as before",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let voter = agent::voter(&stage.lab, SETTLE)?;
    fencing::out_of_order(stage, voter, |stage| without(stage, voter))
}

fn without(stage: &mut Stage, voter: Node) -> Result<()> {
    let lab = &stage.lab;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "unfenced");
    writer.wait_count(20, Duration::from_secs(120))?;
    lab.partition(None)?;
    let cut = SystemTime::now();
    let said = fencing::gave_up(lab, voter, cut);
    // Whoever has written now, has done so without the other.
    let alone = writer.first_after(cut);
    let state = lab.read(voter, "/proc/drbd")?.unwrap_or_default();
    let rules = link::constraints(lab, voter)?;
    let alarm = alarm(lab, voter, cut)?;
    let words = link::words(lab, voter, cut)?;
    lab.heal()?;
    said?;
    ensure!(
        rules.trim().is_empty(),
        "a constraint is left of a call that has claimed nothing:\n{rules}\nfence-peer said:\n{words}"
    );
    ensure!(
        alarm.contains("fence-peer"),
        "nobody was told that the writes stand still: {alarm:?}"
    );
    if let Some(ack) = alone {
        anyhow::bail!(
            "{} acknowledged the write {} while the nodes were cut from each other:\n{state}",
            ack.by,
            ack.key
        );
    }
    writer.wait_after(SystemTime::now(), SETTLE)?;
    stage.acks.extend(writer.stop());
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

/// What a person sees with `journalctl -p crit`.
fn alarm(lab: &Lab, node: Node, since: SystemTime) -> Result<String> {
    let seconds = since.elapsed().unwrap_or_default().as_secs() + 2;
    let script =
        format!("journalctl --since=-{seconds}s -p crit -t two-node-ha-hook -o cat --no-pager");
    lab.sh(node, &script, COMMAND)
}
