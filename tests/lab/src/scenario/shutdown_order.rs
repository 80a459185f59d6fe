//! An orderly shutdown of the voter.

use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::demo::timeline::{self, Record};
use crate::up;
use anyhow::{Context, Result, ensure};
use std::time::SystemTime;

pub const SCENARIO: Scenario = Scenario {
    name: "shutdown-order",
    proves: "at shutdown the volume is unmounted, then DRBD goes down, then the loop device is detached",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let node = agent::voter(lab, SETTLE)?;
    let before = lab.status()?.fencings.len();
    let from = SystemTime::now();
    crate::progress::step(&format!("turning {node}, the voter, off"), || {
        lab.sh(node, "systemctl poweroff --no-block 2>&1", COMMAND)?;
        lab.wait_off(node, SETTLE)
    })?;
    agent::wait_for(
        lab,
        node.peer(),
        "the voter",
        SETTLE,
        agent::Status::is_voter,
    )?;
    ensure!(
        lab.status()?.fencings.len() == before,
        "a node that left in order was fenced"
    );
    up::boot(lab, &[node])?;
    agent::spare(lab, node, SETTLE)?;

    let records = timeline::journal(lab, node, from)?;
    // Positions in the journal, not times: what a record says first was said first.
    let find = |what: &str, matches: &dyn Fn(&Record) -> bool| {
        records
            .iter()
            .position(matches)
            .with_context(|| format!("the journal of the shutdown does not tell of {what}"))
    };
    let demoted = find("the demotion of DRBD", &|r| {
        r.by == "kernel" && r.message.contains("role( Primary -> Secondary )")
    })?;
    let unmounted = find("the unmount", &|r| {
        r.message.contains("INFO: unmounted /mnt/drbd0")
            || r.message.contains("unmounting filesystem")
    })?;
    let down = find("the end of the DRBD device", &|r| {
        r.by == "kernel" && r.message.contains("disk(") && r.message.contains("-> Diskless")
    })?;
    let detached = find("the end of the loop unit", &|r| {
        r.by == "systemd" && r.message.contains("Stopped two-node-ha-loop@")
    })?;
    let order = [
        ("unmounted", unmounted),
        ("demoted", demoted),
        ("DRBD down", down),
        ("loop device detached", detached),
    ];
    for pair in order.windows(2) {
        ensure!(
            pair[0].1 < pair[1].1,
            "{} came after {}:\n  {}\n  {}",
            pair[0].0,
            pair[1].0,
            records[pair[0].1].message,
            records[pair[1].1].message
        );
    }
    let failed = records.iter().find(|r| {
        r.by == "systemd" && r.message.contains("two-node-ha") && r.message.contains("Failed")
    });
    ensure!(
        failed.is_none(),
        "a unit failed at shutdown: {}",
        failed.map_or("", |r| r.message.as_str())
    );
    stage.check_writes()
}
