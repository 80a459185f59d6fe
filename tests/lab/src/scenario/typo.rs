//! A line of nonsense in the TOML file, and the agent started anew before anybody has looked.

use super::{COMMAND, SETTLE, Scenario, Stage, broken_config, return_as_spare, service};
use crate::agent::{self, Status};
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::writer::Writer;
use crate::up;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "typo",
    proves: "a typo in the TOML file stops nothing: voter and spare go on, and boot, with what was last accepted, and say so",
    run,
};

const CONFIGURATION: &str = "/etc/two-node-ha.toml";
const NONSENSE: &str = "\nthis line = is [ nonsense\n";
const ERROR_UNIT: &str = "two-node-ha-config-error.service";

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let before = lab.status()?;
    let whole = lab
        .read(voter, CONFIGURATION)?
        .with_context(|| format!("{voter} has no configuration"))?;
    let writer = Writer::start(before.supervisor, "typo");
    writer.wait_count(20, Duration::from_secs(120))?;
    let went_on = broken(lab, voter, &whole, &writer);
    // Whatever came of it, the next scenario gets a configuration that can be read.
    let mended = mend(lab, voter, &whole);
    went_on?;
    mended?;
    agent::wait_for(lab, voter, "a voter without a warning", SETTLE, |status| {
        status.is_voter() && !complains(status)
    })?;

    let spare = voter.peer();
    let booted = booted(lab, spare, &whole);
    let mended = mend(lab, spare, &whole);
    booted?;
    mended?;
    agent::wait_for(lab, spare, "a spare without a warning", SETTLE, |status| {
        status.is_spare() && !complains(status)
    })?;
    stage.acks.extend(writer.stop());
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

/// On the voter, while it runs.
fn broken(lab: &Lab, voter: Node, whole: &str, writer: &Writer) -> Result<()> {
    let processes = |lab: &Lab| -> Result<Vec<String>> {
        NODES
            .into_iter()
            .map(|node| service::pid(lab, node, service::DATASTORE))
            .collect()
    };
    let running = processes(lab)?;
    lab.write(
        voter,
        CONFIGURATION,
        format!("{whole}{NONSENSE}").as_bytes(),
    )?;
    lab.run(voter, &["systemctl", "restart", service::AGENT], COMMAND)?;
    agent::wait_for(
        lab,
        voter,
        "a voter that names the typo",
        SETTLE,
        |status| status.is_voter() && complains(status),
    )?;
    // Pacemaker, too, has had time for a look at the failover unit, every 10 s.
    let first = writer.wait_after(SystemTime::now(), Duration::from_secs(60))?;
    eprintln!("{} took a write", first.by);
    ensure!(
        processes(lab)? == running,
        "a datastore was started anew for a typo"
    );
    let failover = lab.sh(
        voter,
        "systemctl is-active two-node-ha-k8s-failover.service",
        COMMAND,
    )?;
    ensure!(
        failover.trim() == "active",
        "the failover unit is {failover}"
    );
    // As after a start or stop of any of Pacemaker's systemd resources.
    lab.sh(
        voter,
        &format!("systemctl daemon-reload; systemctl start {ERROR_UNIT} || true"),
        COMMAND,
    )?;
    named(lab, voter, whole)
}

/// The unit that fails says where the typo is, and what is gone on with.
fn named(lab: &Lab, node: Node, whole: &str) -> Result<()> {
    let said = broken_config::error_unit(lab, node)?;
    let place = format!("{CONFIGURATION}:{}:", whole.lines().count() + 2);
    ensure!(
        said.contains(&place) && said.contains("was accepted on"),
        "the journal does not name {place}, or not what was accepted\n{said}"
    );
    Ok(())
}

/// On the spare, which finds it when it boots.
fn booted(lab: &Lab, spare: Node, whole: &str) -> Result<()> {
    lab.write(
        spare,
        CONFIGURATION,
        format!("{whole}{NONSENSE}").as_bytes(),
    )?;
    lab.sh(spare, "systemctl poweroff --no-block 2>&1", COMMAND)?;
    lab.wait_off(spare, SETTLE)?;
    up::boot(lab, &[spare])?;
    agent::wait_for(
        lab,
        spare,
        "a spare that names the typo",
        SETTLE,
        |status| status.is_spare() && complains(status),
    )?;
    named(lab, spare, whole)?;
    lab.run(spare, &["test", "-b", "/dev/lodrbd"], COMMAND)?;
    return_as_spare::in_sync(lab, spare)
}

fn mend(lab: &Lab, node: Node, whole: &str) -> Result<()> {
    lab.write(node, CONFIGURATION, whole.as_bytes())?;
    lab.sh(
        node,
        &format!(
            "systemctl daemon-reload; systemctl reset-failed {ERROR_UNIT} 2>/dev/null || true
            systemctl restart {}",
            service::AGENT
        ),
        COMMAND,
    )
    .map(drop)
}

fn complains(status: &Status) -> bool {
    status
        .warnings
        .iter()
        .any(|w| w.contains(CONFIGURATION) || w.contains("THE CONFIGURATION CANNOT BE USED"))
}
