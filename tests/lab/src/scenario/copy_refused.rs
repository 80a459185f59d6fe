//! There is no room for the copy that is to be made before a resync.

use super::{COMMAND, SETTLE, Scenario, Stage, hooks, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use crate::trouble;
use crate::wait::{self, Seen};
use anyhow::{Result, ensure};
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "copy-refused",
    proves: "with no_copy = \"refuse\" a resync waits until there is room for a copy of what it overwrites",
    run,
};

const REFUSE: &str = "no_copy = \"refuse\"";

fn run(stage: &mut Stage) -> Result<()> {
    let voter = agent::voter(&stage.lab, SETTLE)?;
    let spare = voter.peer();
    let before = stage.lab.status()?;
    let writer = Writer::start(before.supervisor, "refused");
    hooks::with(stage, spare, REFUSE, |stage| {
        let result = resync(&stage.lab, voter, &writer);
        trouble::unfill(&stage.lab, spare, "/opt")?;
        result
    })?;
    stage.acks.extend(writer.stop());
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

fn resync(lab: &Lab, voter: Node, writer: &Writer) -> Result<()> {
    let spare = voter.peer();
    drop_copies(lab, spare)?;
    trouble::fill(lab, spare, "/opt")?;
    link::cut(lab, spare)?;
    wait::until("the voter to go on alone", SETTLE, || {
        state(
            lab,
            voter,
            "cs:WFConnection ro:Primary/Unknown ds:UpToDate/Outdated",
        )
    })?;
    let count = writer.count();
    writer.wait_count(count + 20, Duration::from_secs(120))?;
    link::heal(lab, spare)?;
    // The kernel's own word: there is no room for a record.
    wait::until("the spare to refuse the resync", SETTLE, || {
        let log = lab.sh(
            spare,
            "dmesg | grep 'before-resync-target minor-0 exit code' | tail -n 1",
            COMMAND,
        )?;
        Ok(if log.contains("exit code 1 ") {
            Seen::Ready(())
        } else {
            Seen::NotYet(log)
        })
    })?;
    wait::until("the spare to stand alone", SETTLE, || {
        state(lab, spare, "cs:StandAlone ro:Secondary/Unknown ds:Outdated")
    })?;

    trouble::unfill(lab, spare, "/opt")?;
    lab.run(spare, &["drbdadm", "connect", "r0"], COMMAND)?;
    super::in_sync(lab, voter)?;
    let copies = lab.run(spare, &["two-node-ha", "copies", "list", "--json"], COMMAND)?;
    let copies: serde_json::Value = serde_json::from_str(&copies)?;
    ensure!(
        copies["copies"][0]["consistent"] == true && copies["copies"][0]["why"] == "before-resync",
        "the resync that was let begin has no copy: {copies}"
    );
    Ok(())
}

/// So that none can make room by going, or count as that of now.
fn drop_copies(lab: &Lab, node: Node) -> Result<()> {
    lab.run(
        node,
        &["two-node-ha", "copies", "drop", "--all", "--yes"],
        COMMAND,
    )
    .map(drop)
}

fn state(lab: &Lab, node: Node, wanted: &str) -> Result<Seen<()>> {
    let text = lab.read(node, "/proc/drbd")?.unwrap_or_default();
    Ok(if text.contains(wanted) {
        Seen::Ready(())
    } else {
        Seen::NotYet(text)
    })
}
