//! All links are cut, and the fence agent does not work.

use super::{COMMAND, SETTLE, Scenario, Stage, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::writer::Writer;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "fencing-fails",
    proves: "cut from each other without a working fence agent, no node writes; healed, they go on as before",
    run,
};

/// The handlers read the configuration at each call.
const DEADLINE: &str = "\n[hooks]\nfence_peer_deadline = \"20s\"\n";

const BREAK: &str = "mv /usr/sbin/fence_lab /usr/sbin/fence_lab.real
    printf '#!/bin/sh\\necho out of order >&2\\nexit 1\\n' >/usr/sbin/fence_lab
    chmod 755 /usr/sbin/fence_lab";
const MEND: &str =
    "! [ -e /usr/sbin/fence_lab.real ] || mv /usr/sbin/fence_lab.real /usr/sbin/fence_lab";

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let configuration = lab
        .read(voter, "/etc/two-node-ha.toml")?
        .context("the voter has no configuration")?;
    let shorter = format!("{configuration}{DEADLINE}");
    lab.write(voter, "/etc/two-node-ha.toml", shorter.as_bytes())?;
    let result = NODES
        .into_iter()
        .try_for_each(|node| lab.sh(node, BREAK, COMMAND).map(drop))
        .and_then(|()| without(stage, voter));
    let lab = &stage.lab;
    for node in NODES {
        lab.sh(node, MEND, COMMAND)?;
        // Its failures are forgotten, so that it counts again.
        let device = format!("fence_{node}");
        lab.run(
            voter,
            &["crm_resource", "--cleanup", "--resource", &device],
            COMMAND,
        )?;
    }
    lab.write(voter, "/etc/two-node-ha.toml", configuration.as_bytes())?;
    result?;
    stage.settle()
}

fn without(stage: &mut Stage, voter: Node) -> Result<()> {
    let lab = &stage.lab;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "unfenced");
    writer.wait_count(20, Duration::from_secs(120))?;
    lab.partition(None)?;
    let cut = SystemTime::now();
    let said = link::answered(lab, voter, "fence-peer to give up", cut);
    // Whoever has written now, has done so without the other.
    let alone = writer.first_after(cut);
    let state = lab.read(voter, "/proc/drbd")?.unwrap_or_default();
    let rules = link::constraints(lab, voter)?;
    let alarm = alarm(lab, voter, cut)?;
    lab.heal()?;
    let said = said?;
    ensure!(
        (said.decision.as_str(), said.code.as_str()) == ("undecided", "1"),
        "fence-peer on {voter} has answered {} ({})",
        said.code,
        said.decision
    );
    ensure!(
        rules.trim().is_empty(),
        "a constraint is left of a call that has claimed nothing:\n{rules}"
    );
    ensure!(
        alarm.contains("fence-peer"),
        "nobody was told that the writes stand still: {alarm:?}"
    );
    if let Some(ack) = alone {
        anyhow::bail!(
            "{} acknowledged the write {} while the nodes were cut from each other:\n{state}",
            ack.by,
            ack.key
        );
    }
    writer.wait_after(SystemTime::now(), SETTLE)?;
    stage.acks.extend(writer.stop());
    // Only then may the fence agent be mended: a node that still misses its peer would kill it.
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

/// What a person sees with `journalctl -p crit`.
fn alarm(lab: &Lab, node: Node, since: SystemTime) -> Result<String> {
    let seconds = since.elapsed().unwrap_or_default().as_secs() + 2;
    let script =
        format!("journalctl --since=-{seconds}s -p crit -t two-node-ha-hook -o cat --no-pager");
    lab.sh(node, &script, COMMAND)
}
