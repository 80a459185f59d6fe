//! The voter's disk fails under writes.

use super::{COMMAND, SETTLE, Scenario, Stage, hooks};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use crate::wait::{self, Seen};
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "disk-fails",
    proves: "a voter whose disk fails writes on to its peer's and hands over to it; a new disk is filled again",
    run,
};

const DEMOTE: &str = "on_local_io_error = \"demote\"";

/// Whatever is read or written there lies beyond the end of the device.
const FAIL: &str = "loop=$(losetup --noheadings --output NAME --associated /opt/drbd0-backstore)
    stat --format=%s /opt/drbd0-backstore
    truncate --size=512 /opt/drbd0-backstore
    losetup --set-capacity $loop";

fn run(stage: &mut Stage) -> Result<()> {
    let voter = agent::voter(&stage.lab, SETTLE)?;
    let before = stage.lab.status()?;
    let writer = Writer::start(before.supervisor, "disk");
    writer.wait_count(20, Duration::from_secs(120))?;
    let mut size = String::new();
    hooks::with(stage, voter, DEMOTE, |stage| {
        let failed = SystemTime::now();
        size = stage.lab.sh(voter, FAIL, COMMAND)?;
        handed_over(&stage.lab, voter, &writer, failed)
    })?;
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    // As somebody who has put another disk in.
    let replace = format!(
        "truncate --size={size} /opt/drbd0-backstore
        fallocate --zero-range --length={size} /opt/drbd0-backstore
        losetup --set-capacity $(losetup --noheadings --output NAME --associated /opt/drbd0-backstore)
        drbdadm create-md --force r0
        drbdadm adjust r0
        crm_resource --clear --resource drbd_master_slave --node {voter}",
        size = size.trim()
    );
    lab.sh(voter, &replace, COMMAND)?;
    super::whole_again(lab, voter.peer(), &before, 0)?;
    stage.check_writes()
}

fn handed_over(lab: &Lab, voter: Node, writer: &Writer, failed: SystemTime) -> Result<()> {
    let seconds = || failed.elapsed().unwrap_or_default().as_secs() + 2;
    wait::until("the handler for a failed disk", SETTLE, || {
        let said = lab.sh(
            voter,
            &format!(
                "journalctl --since=-{}s -o cat --no-pager TWO_NODE_HA_HANDLER=local-io-error",
                seconds()
            ),
            COMMAND,
        )?;
        Ok(if said.contains("the backing device failed") {
            Seen::Ready(())
        } else {
            Seen::NotYet("it was not called".to_owned())
        })
    })?;
    let to = voter.peer();
    agent::wait_for(lab, to, "the voter", SETTLE, agent::Status::is_voter)?;
    let agent = format!(
        "journalctl --since=-{}s -u two-node-ha-k8s -o cat --no-pager",
        seconds()
    );
    let agent = lab.sh(voter, &agent, COMMAND)?;
    ensure!(
        agent.contains(&format!("Pacemaker takes the primary away from {voter}")),
        "the agent has asked nobody to take the primary away:\n{agent}"
    );
    let first = writer.wait_after(SystemTime::now(), SETTLE)?;
    ensure!(first.by == to, "{} took a write", first.by);
    Ok(())
}
