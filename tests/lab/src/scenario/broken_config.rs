//! A slip in the TOML file of a node that has accepted none, noticed when it boots. What was accepted
//! before is gone on with: that is the scenario `typo`.

use std::time::Duration;

use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::up;
use anyhow::{Context, Result, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "broken-config",
    proves: "a node whose first TOML file is broken boots, says where, and runs no datastore; mending the file is enough",
    run,
};

const CONFIG: &str = "/etc/two-node-ha.toml";
const ACCEPTED: &str = "/var/lib/two-node-ha/accepted.toml";
/// The agent's start, which ends once it has looked around.
const START: Duration = Duration::from_secs(180);

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let node = voter.peer();
    let whole = lab.read(node, CONFIG)?.context("no configuration")?;
    let broken = whole.replace("backing_file", "backing_flie");
    ensure!(
        broken != whole,
        "the configuration has no backing_file to break"
    );
    let line = 1 + broken
        .lines()
        .position(|l| l.contains("backing_flie"))
        .context("no broken line")?;
    lab.write(node, CONFIG, broken.as_bytes())?;
    // As on the first day.
    lab.sh(node, &format!("rm {ACCEPTED}"), COMMAND)?;
    lab.sh(node, "systemctl poweroff --no-block 2>&1", COMMAND)?;
    lab.wait_off(node, SETTLE)?;
    up::boot(lab, &[node])?;

    let journal = error_unit(lab, node)?;
    let place = format!("{CONFIG}:{line}:");
    ensure!(
        journal.contains(&place),
        "the journal does not name {place}\n{journal}"
    );
    ensure!(
        journal.contains("backing_flie") && journal.contains('^'),
        "no line and caret in the journal:\n{journal}"
    );
    lab.sh(node, "snap start k8s 2>&1 || true", COMMAND)?;
    let running = lab.sh(
        node,
        "pgrep -a k8s-dqlite || true; pgrep -a k8sd || true",
        COMMAND,
    )?;
    ensure!(
        running.trim().is_empty(),
        "a datastore runs under a broken configuration:\n{running}"
    );

    lab.write(node, CONFIG, whole.as_bytes())?;
    // Nothing else: the agent's start brings the loop device along.
    lab.sh(
        node,
        "systemctl daemon-reload && systemctl restart two-node-ha-k8s 2>&1",
        START,
    )?;
    agent::spare(lab, node, SETTLE)?;
    ensure!(
        agent::voter(lab, COMMAND)? == voter,
        "the voter moved meanwhile"
    );
    stage.check_writes()
}

/// What the failing unit has said on this boot.
///
/// # Errors
/// When it has not failed.
pub fn error_unit(lab: &Lab, node: Node) -> Result<String> {
    let failed = lab.sh(node, "systemctl --failed --no-legend --plain", COMMAND)?;
    ensure!(
        failed.contains("two-node-ha-config-error.service"),
        "failed units are only:\n{failed}"
    );
    lab.sh(
        node,
        "journalctl -b -q --no-pager -o cat -u two-node-ha-config-error.service",
        COMMAND,
    )
}
