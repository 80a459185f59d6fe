//! A slip in the TOML file: on the voter while it runs, on the spare at a boot, and at a boot with
//! nothing accepted before.

use std::time::Duration;

use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::up;
use anyhow::{Context, Result, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "broken-config",
    proves: "a broken TOML file changes nothing that runs, and is named with the line; where none was \
             accepted before the node boots without a datastore, and mending the file is enough",
    run,
};

const CONFIG: &str = "/etc/two-node-ha.toml";
const ACCEPTED: &str = "/var/lib/two-node-ha/accepted.toml";
/// The agent's restart, which ends once it has looked around.
const RESTART: Duration = Duration::from_secs(180);

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

    // On the voter, with a daemon-reload as Pacemaker's, and a restart of the agent.
    lab.write(voter, CONFIG, broken.as_bytes())?;
    let before = datastore(lab, voter)?;
    lab.sh(
        voter,
        "systemctl daemon-reload && systemctl restart two-node-ha-k8s 2>&1",
        RESTART,
    )?;
    ensure!(
        agent::voter(lab, SETTLE)? == voter,
        "a typo has moved the voter"
    );
    ensure!(
        datastore(lab, voter)? == before,
        "a typo has restarted the datastore"
    );
    let warnings = agent::status(lab, voter)?.warnings.join("; ");
    ensure!(
        warnings.contains("THE CONFIGURATION CANNOT BE USED"),
        "the agent does not warn: {warnings}"
    );
    stage.check_writes()?;
    lab.write(voter, CONFIG, whole.as_bytes())?;
    lab.sh(
        voter,
        "systemctl daemon-reload && systemctl restart two-node-ha-k8s 2>&1",
        RESTART,
    )?;
    ensure!(
        agent::voter(lab, SETTLE)? == voter,
        "mending it has moved the voter"
    );

    // At a boot of the spare: named, and all is there.
    lab.write(node, CONFIG, broken.as_bytes())?;
    reboot(lab, node)?;
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
    ensure!(
        journal.contains("was accepted on"),
        "the journal does not say what is gone on with:\n{journal}"
    );
    agent::spare(lab, node, SETTLE)?;

    // At a boot without an accepted one: nothing runs, and mending the file is enough.
    lab.sh(node, &format!("rm {ACCEPTED}"), COMMAND)?;
    reboot(lab, node)?;
    error_unit(lab, node)?;
    lab.sh(node, "snap start k8s 2>&1 || true", COMMAND)?;
    let running = datastore(lab, node)?;
    ensure!(
        running.is_empty(),
        "a datastore runs under a broken configuration:\n{running}"
    );
    lab.write(node, CONFIG, whole.as_bytes())?;
    lab.sh(
        node,
        "systemctl daemon-reload && systemctl restart two-node-ha-k8s 2>&1",
        RESTART,
    )?;
    agent::spare(lab, node, SETTLE)?;
    ensure!(
        agent::voter(lab, COMMAND)? == voter,
        "the voter moved meanwhile"
    );
    stage.check_writes()
}

/// The processes of the datastore, by their numbers.
fn datastore(lab: &Lab, node: Node) -> Result<String> {
    let running = lab.sh(
        node,
        "pgrep -a k8s-dqlite || true; pgrep -a k8sd || true",
        COMMAND,
    )?;
    Ok(running.trim().to_owned())
}

fn reboot(lab: &Lab, node: Node) -> Result<()> {
    lab.sh(node, "systemctl poweroff --no-block 2>&1", COMMAND)?;
    lab.wait_off(node, SETTLE)?;
    up::boot(lab, &[node])
}

/// What the failing unit has said on this boot.
fn error_unit(lab: &Lab, node: Node) -> Result<String> {
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
