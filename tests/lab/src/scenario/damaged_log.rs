//! The database on the volume is damaged, and then its node dies: the survivor finds it before it takes
//! over.

use super::{COMMAND, SETTLE, Scenario, Stage, return_as_spare};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use anyhow::{Result, ensure};
use std::time::Duration;
use two_node_ha_planner::State;

pub const SCENARIO: Scenario = Scenario {
    name: "damaged-log",
    proves: "a takeover mends what is damaged without loss, and waits for a person where something would be lost",
    run,
};

const DIR: &str = "/mnt/drbd0/k8s-dqlite";

/// The newest closed segment. What dqlite has closed, it does not write into again.
const CLOSED: &str = "ls | grep -E '^[0-9]{16}-[0-9]{16}$' | sort | tail -n 1";

/// The open segment that dqlite writes into.
const OPEN: &str = "ls | grep -E '^open-[0-9]+$' | sort -t - -k 2 -n | head -n 1";

/// A byte of the first entry in an open segment, and how to make it another one, and the same again.
const TURN: &str = "at=300; byte=$(od -A n -t u1 -j $at -N 1 \"$file\"); \
     printf \"\\\\$(printf %o $((byte ^ 1)))\" | dd of=\"$file\" bs=1 seek=$at conv=notrunc,fsync status=none";

fn run(stage: &mut Stage) -> Result<()> {
    without_loss(stage)?;
    with_loss(stage)
}

/// Bytes behind the last entry of a closed segment: dqlite refuses to start on it.
fn without_loss(stage: &mut Stage) -> Result<()> {
    let survivor = dies_with(
        stage,
        "whole",
        &format!(
            "file=$({CLOSED}); truncate --size=+4096 \"$file\"; sync \"$file\"; echo \"$file\""
        ),
    )?;
    agent::wait_for(
        &stage.lab,
        survivor,
        "the voter",
        SETTLE,
        agent::Status::is_voter,
    )?;
    let lab = &stage.lab;
    let kept = lab.sh(survivor, &format!("ls -d {DIR}.repair-*/state"), COMMAND)?;
    ensure!(kept.lines().count() == 1, "one original is kept: {kept}");
    let said = lab.sh(
        survivor,
        "journalctl --boot --quiet --output=cat --unit=two-node-ha-k8s | grep 'has been mended'",
        COMMAND,
    )?;
    ensure!(
        said.contains("raft undo"),
        "how to undo it is not said: {said}"
    );
    lab.sh(survivor, &format!("rm -r {DIR}.repair-*"), COMMAND)?;
    whole(stage, survivor)
}

/// One bit in the middle of the log. Turned again it is as it was, so that nothing is lost in the end.
fn with_loss(stage: &mut Stage) -> Result<()> {
    let survivor = dies_with(
        stage,
        "lossy",
        &format!("file=$({OPEN}); {TURN}; echo \"$file\""),
    )?;
    let lab = &stage.lab;
    let blocked = agent::wait_for(lab, survivor, "damage to be found", SETTLE, |status| {
        status.state == State::Blocked && status.words().contains("is damaged")
    })?;
    let words = blocked.words();
    for part in ["lost", "raft verify", "raft repair", DIR] {
        ensure!(
            words.contains(part),
            "{part:?} is not in what is said: {words}"
        );
    }
    lab.sh(
        survivor,
        &format!("cd {DIR} && file=$({OPEN}) && {TURN}"),
        COMMAND,
    )?;
    agent::wait_for(lab, survivor, "the voter", SETTLE, agent::Status::is_voter)?;
    whole(stage, survivor)
}

/// Damages the datastore beneath its voter by a script, which runs in its directory, and cuts the voter's
/// power; the survivor.
fn dies_with(stage: &mut Stage, name: &str, damage: &str) -> Result<Node> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let writer = Writer::start(lab.status()?.supervisor, name);
    writer.wait_count(50, Duration::from_secs(120))?;
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let file = lab.sh(voter, &format!("cd {DIR} && {damage}"), COMMAND)?;
    ensure!(!file.trim().is_empty(), "there is no file to damage");
    eprintln!("{} is damaged", file.trim());
    lab.cut(voter)?;
    Ok(voter.peer())
}

fn whole(stage: &mut Stage, survivor: Node) -> Result<()> {
    let lab: &Lab = &stage.lab;
    return_as_spare::switch_on(lab, survivor.peer())?;
    agent::spare(lab, survivor.peer(), SETTLE)?;
    stage.check_writes()
}
