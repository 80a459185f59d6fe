//! The survivor's k8sd does not start, and what it left of its `daemon.yaml` is torn: the datastore goes on
//! without it.

use super::{COMMAND, SETTLE, Scenario, Stage, return_as_spare};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use crate::progress;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "k8sd-never-up",
    proves: "a survivor whose k8sd does not start accepts writes and says so; its torn daemon.yaml is whole when k8sd can start again",
    run,
};

const K8SD: &str = "snap.k8s.k8sd.service";
const DROP_INS: &str = "/run/systemd/system/snap.k8s.k8sd.service.d";
const DROP_IN: &str = "/run/systemd/system/snap.k8s.k8sd.service.d/99-lab.conf";
const DAEMON: &str = "/var/lib/two-node-ha/spare/k8sd/daemon.yaml";

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let survivor = voter.peer();
    let before = lab.status()?;
    // The unit is the administrator's, in /etc, so that it cannot be masked.
    lab.run(survivor, &["mkdir", "-p", DROP_INS], COMMAND)?;
    lab.write(
        survivor,
        DROP_IN,
        b"[Service]\nExecStart=\nExecStart=/bin/false\n",
    )?;
    lab.run(survivor, &["systemctl", "daemon-reload"], COMMAND)?;
    // As a power cut leaves it while k8sd writes it: the k8sd that runs has read it long ago.
    lab.run(survivor, &["truncate", "--size=7", DAEMON], COMMAND)?;
    let writer = Writer::start(before.supervisor, "without-k8sd");
    writer.wait_count(20, Duration::from_secs(120))?;
    let dead = lab.cut(voter)?;
    let went_on = goes_on(lab, survivor, &writer, dead);
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    // Whatever was seen: the next scenario needs a k8sd.
    lab.sh(
        survivor,
        &format!("rm -rf {DROP_INS} && systemctl daemon-reload"),
        COMMAND,
    )?;
    went_on?;
    agent::wait_for(lab, survivor, "a voter whose k8sd runs", SETTLE, |status| {
        status.is_voter() && !is_said(status)
    })?;
    lab.run(
        survivor,
        &["systemctl", "is-active", "--quiet", K8SD],
        COMMAND,
    )?;
    made_again(lab, survivor)?;
    return_as_spare::switch_on(lab, voter)?;
    super::whole_again(lab, survivor, &before, 1)?;
    stage.check_writes()
}

/// The survivor takes writes, is the confirmed voter, and says what does not run.
fn goes_on(lab: &Lab, survivor: Node, writer: &Writer, dead: SystemTime) -> Result<()> {
    let first = writer.wait_after(dead, SETTLE)?;
    ensure!(first.by == survivor, "{} took the first write", first.by);
    eprintln!(
        "{survivor} took a write {} after the cut, without k8sd",
        progress::seconds(first.acked.duration_since(dead).unwrap_or_default())
    );
    let status = agent::wait_for(
        lab,
        survivor,
        "a voter that misses its k8sd",
        SETTLE,
        |status| status.is_voter() && is_said(status),
    )?;
    let said = status.warnings.join("; ");
    ensure!(
        said.contains("journalctl -b -u 'snap.*.k8sd.service'"),
        "nothing says what to type: {said}"
    );
    // Beyond some of the agent's tries.
    let seen = SystemTime::now();
    progress::step("leaving the voter without k8sd", || {
        std::thread::sleep(Duration::from_secs(45));
        Ok(())
    })?;
    writer.wait_after(seen + Duration::from_secs(40), Duration::from_secs(60))?;
    let status = agent::status(lab, survivor)?;
    ensure!(is_said(&status), "it is said no more: {}", status.words());
    let failures = lab.run(survivor, &["crm_mon", "-1", "--output-as=xml"], COMMAND)?;
    let failed = failures
        .lines()
        .find(|line| line.contains("<failure ") && line.contains("ha_k8s_failover_service"));
    ensure!(
        failed.is_none(),
        "the voter failed for its k8sd: {}",
        failed.unwrap_or_default().trim()
    );
    Ok(())
}

fn is_said(status: &agent::Status) -> bool {
    let about = |warning: &String| warning.contains("k8sd") && warning.contains("not run");
    status.warnings.iter().any(about)
}

/// What was torn is whole on the volume, and what was left of it is kept.
fn made_again(lab: &Lab, survivor: Node) -> Result<()> {
    let script = format!(
        "grep -q '^name: .*{survivor}' \"$0\" && grep -q '^address: .*:6400' \"$0\" && \
         ls -d /var/lib/two-node-ha/quarantine/k8sd-daemon.yaml-* >/dev/null"
    );
    let path = "/var/snap/k8s/common/var/lib/k8sd/state/daemon.yaml";
    lab.run(survivor, &["sh", "-c", &script, path], COMMAND)
        .map(drop)
}
