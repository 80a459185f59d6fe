//! A bad day that is no failure: a slow link, a full disk.

use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::cluster::NODES;
use crate::demo::writer::Writer;
use crate::trouble;
use anyhow::{Result, ensure};
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "slow-and-full",
    proves: "a slow link and a full disk under the spare's backing file lose no write and move nothing",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let spare = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "slow");
    trouble::slow(lab, spare, Some("50ms"), None)?;
    writer.wait_count(20, Duration::from_secs(120))?;
    trouble::slow(lab, spare, None, None)?;

    // Its blocks were allocated beforehand: DRBD goes on writing into it.
    for node in NODES {
        let holes = lab.sh(
            node,
            "echo $(($(stat -c '%s - %b * %B' /opt/drbd0-backstore)))",
            COMMAND,
        )?;
        ensure!(
            holes.trim().parse::<i64>().is_ok_and(|holes| holes <= 0),
            "{node}: the backing file has holes of {} bytes",
            holes.trim()
        );
    }
    trouble::fill(lab, spare, "/opt")?;
    let count = writer.count();
    writer.wait_count(count + 50, Duration::from_secs(120))?;
    let drbd = lab.read(spare, "/proc/drbd")?.unwrap_or_default();
    trouble::unfill(lab, spare, "/opt")?;
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    ensure!(
        drbd.contains("ds:UpToDate/UpToDate"),
        "DRBD lost the disk under the full file system:\n{drbd}"
    );
    // A slow node is not a dead one.
    super::whole_again(lab, voter, &before, 0)?;
    stage.check_writes()
}
