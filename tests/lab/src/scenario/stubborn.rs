//! Somebody's program holds a file on the volume, and ignores every signal that can be ignored.

use super::{COMMAND, SETTLE, Scenario, Stage, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "stubborn",
    proves: "a process that holds a file on the volume and ignores all but SIGKILL does not hold up a planned move; nobody is asked by SIGTERM, or fenced",
    run,
};

const UNIT: &str = "two-node-ha-lab-stubborn.service";

/// An ignored signal stays ignored through exec.
const HOLD: &str =
    "trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2; exec 9>/mnt/drbd0/held; exec sleep infinity";

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let from = agent::voter(lab, SETTLE)?;
    let to = from.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "held");
    writer.wait_count(20, Duration::from_secs(120))?;
    hold(lab, from)?;
    let end = link::end_of_journal(lab, from)?;
    crate::progress::step(&format!("moving the voter to {to}"), || {
        lab.run(to, &["two-node-ha", "move", to.name()], SETTLE)
            .map(drop)
    })?;
    agent::wait_for(lab, to, "the voter", SETTLE, agent::Status::is_voter)?;
    let first = writer.wait_after(SystemTime::now(), Duration::from_secs(60));
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    first?;
    let left = lab.try_run(from, &["systemctl", "is-active", UNIT], COMMAND)?;
    ensure!(
        left.out.trim() != "active",
        "the process that held a file of the volume still runs on {from}"
    );
    // What ends on SIGTERM may be k8s-dqlite, which hands its role over first.
    let asked = lab.sh(
        from,
        &format!("journalctl --after-cursor='{end}' -q -o cat --no-pager | grep 'sending signal TERM' || true"),
        COMMAND,
    )?;
    ensure!(
        asked.trim().is_empty(),
        "Pacemaker's Filesystem agent has sent SIGTERM:\n{asked}"
    );
    lab.run(to, &["rm", "-f", "/mnt/drbd0/held"], COMMAND)?;
    super::whole_again(lab, to, &before, 0)?;
    stage.check_writes()
}

fn hold(lab: &Lab, node: Node) -> Result<()> {
    let unit = format!("--unit={UNIT}");
    lab.run(
        node,
        &["systemd-run", "--collect", &unit, "sh", "-c", HOLD],
        COMMAND,
    )?;
    crate::wait::quietly("the file to be held", COMMAND, || {
        let held = lab.try_run(node, &["test", "-e", "/mnt/drbd0/held"], COMMAND)?;
        Ok(if held.code == 0 {
            crate::wait::Seen::Ready(())
        } else {
            crate::wait::Seen::NotYet("it is not there".to_owned())
        })
    })
}
