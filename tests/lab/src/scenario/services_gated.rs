//! Others enable and start the snap's services.

use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::up;
use anyhow::{Result, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "services-gated",
    proves: "snap services that were disabled and enabled again do not start before the role is settled",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let node = voter.peer();
    // As k8sd does with its services, and as an administrator undoes it.
    lab.sh(
        node,
        "systemctl disable snap.k8s.k8s-dqlite.service snap.k8s.k8sd.service 2>&1
        systemctl enable snap.k8s.k8s-dqlite.service snap.k8s.k8sd.service 2>&1",
        COMMAND,
    )?;
    // Without the agent the role of the node cannot settle.
    lab.sh(
        node,
        "systemctl mask two-node-ha-k8s.service 2>&1; systemctl poweroff --no-block 2>&1",
        COMMAND,
    )?;
    lab.wait_off(node, SETTLE)?;
    up::boot(lab, &[node])?;
    lab.sh(
        node,
        "snap start --enable k8s.k8s-dqlite 2>&1 || true; snap start k8s 2>&1 || true",
        COMMAND,
    )?;
    let running = lab.sh(
        node,
        "test ! -e /run/two-node-ha/k8s.allowed || echo the token is there
        systemctl list-units --plain --no-legend --state=active,activating 'snap.k8s.*.service'
        pgrep -a k8s-dqlite || true; pgrep -a k8sd || true",
        COMMAND,
    )?;
    ensure!(
        running.trim().is_empty(),
        "before the role of {node} was settled:\n{running}"
    );
    let skipped = lab.sh(
        node,
        "systemctl show -P ConditionResult snap.k8s.k8s-dqlite.service",
        COMMAND,
    )?;
    ensure!(
        skipped.trim() == "no",
        "k8s-dqlite was not skipped by its condition, but {skipped}"
    );
    // And once the role can settle, they do start.
    lab.sh(
        node,
        "systemctl unmask two-node-ha-k8s.service 2>&1; systemctl start two-node-ha-k8s.service",
        COMMAND,
    )?;
    agent::spare(lab, node, SETTLE)?;
    ensure!(
        agent::voter(lab, COMMAND)? == voter,
        "the voter moved meanwhile"
    );
    stage.check_writes()
}
