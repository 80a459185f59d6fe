//! A dead node comes back.

use super::{COMMAND, SETTLE, Scenario, Stage, ports};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::up;
use anyhow::{Result, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "return-as-spare",
    proves: "a dead voter comes back as the spare, resynchronised, and the voter stays where it is",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let dead = voter.peer();
    let before = agent::status(lab, voter)?.epoch;
    // Cut as the voter: its raft log then ends where nobody else's does.
    lab.cut(voter)?;
    let survivor = agent::wait_for(lab, dead, "the voter", SETTLE, agent::Status::is_voter)?;
    ensure!(
        survivor.epoch > before,
        "the survivor stayed in epoch {before}"
    );
    ports::refused(lab, dead)?;
    switch_on(lab, voter)?;
    let returned = agent::spare(lab, voter, SETTLE)?;
    ensure!(
        returned.epoch == survivor.epoch,
        "{voter} is the spare of epoch {}, not {}",
        returned.epoch,
        survivor.epoch
    );
    ensure!(
        agent::voter(lab, COMMAND)? == dead,
        "the voter moved when its peer came back"
    );
    in_sync(lab, dead)?;
    ports::open(lab, dead)?;
    ports::open(lab, voter)?;
    // What was overwritten is kept, and no more of it than is configured. (What a split brain's resolution
    // has given up stays until a person drops it, and this lab may have had one.)
    let copies = lab.run(voter, &["two-node-ha", "copies", "list", "--json"], COMMAND)?;
    let copies: serde_json::Value = serde_json::from_str(&copies)?;
    let all = copies["copies"].as_array().into_iter().flatten();
    let count = all.filter(|copy| copy["why"] == "before-resync").count();
    ensure!(
        count == 1,
        "{voter} was overwritten, and has {count} copies of before: {copies}"
    );
    stage.check_writes()
}

/// Switches a node on that was fenced or cut, and waits for its start.
///
/// # Errors
/// When it does not come up.
pub fn switch_on(lab: &Lab, node: Node) -> Result<()> {
    if !lab.status()?.node(node).on {
        up::boot(lab, &[node])?;
    }
    Ok(())
}

/// Both copies are equal, and no constraint of a handler is left behind.
///
/// # Errors
/// When it does not get there.
pub fn in_sync(lab: &Lab, voter: Node) -> Result<()> {
    crate::wait::until("both copies of the volume to be equal", SETTLE, || {
        let state = lab.read(voter, "/proc/drbd")?.unwrap_or_default();
        let line = state
            .lines()
            .find(|l| l.contains("cs:"))
            .unwrap_or("no device")
            .to_owned();
        Ok(if line.contains("ds:UpToDate/UpToDate") {
            crate::wait::Seen::Ready(())
        } else {
            crate::wait::Seen::NotYet(line)
        })
    })
}
