//! A slow disk at boot.

use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::up;
use anyhow::{Context, Result, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "boot-delay",
    proves: "with a 10 s delay in the loop unit Pacemaker still starts after the loop device is there",
    run,
};

/// The unit of /opt/drbd0-backstore, escaped.
const UNIT: &str = "two-node-ha-loop@opt-drbd0\\x2dbackstore.service";

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let node = voter.peer();
    let dir = format!("/etc/systemd/system/{UNIT}.d");
    lab.run(node, &["mkdir", "-p", &dir], COMMAND)?;
    lab.write(
        node,
        &format!("{dir}/delay.conf"),
        b"[Service]\nExecStartPre=/bin/sleep 10\n",
    )?;
    lab.sh(node, "systemctl poweroff --no-block 2>&1", COMMAND)?;
    lab.wait_off(node, SETTLE)?;
    up::boot(lab, &[node])?;
    // Both in microseconds since the kernel's start.
    let stamp = |unit: &str, property: &str| -> Result<u64> {
        let text = lab.run(node, &["systemctl", "show", "-P", property, unit], COMMAND)?;
        text.trim()
            .parse()
            .with_context(|| format!("{property} of {unit} is {text:?}"))
    };
    let began = stamp(UNIT, "InactiveExitTimestampMonotonic")?;
    let attached = stamp(UNIT, "ActiveEnterTimestampMonotonic")?;
    let pacemaker = stamp("pacemaker.service", "InactiveExitTimestampMonotonic")?;
    ensure!(
        attached >= began + 10_000_000,
        "the loop unit was not delayed: {began} to {attached} µs"
    );
    ensure!(
        pacemaker >= attached,
        "Pacemaker began at {pacemaker} µs, the loop device was there at {attached} µs"
    );
    agent::spare(lab, node, SETTLE)?;
    lab.sh(
        node,
        &format!("rm -r '{dir}'; systemctl daemon-reload"),
        COMMAND,
    )?;
    ensure!(
        agent::voter(lab, COMMAND)? == voter,
        "the voter moved meanwhile"
    );
    stage.check_writes()
}
