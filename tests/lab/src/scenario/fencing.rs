//! Another fencing than the lab's, for the time of a scenario.

use super::{COMMAND, Stage, hooks, link};
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, SystemTime};
use two_node_ha_drbd::Decision;

const DEADLINE: &str = "fence_peer_deadline = \"20s\"";

const BREAK: &str = "mv /usr/sbin/fence_lab /usr/sbin/fence_lab.real
    printf '#!/bin/sh\\necho out of order >&2\\nexit 1\\n' >/usr/sbin/fence_lab
    chmod 755 /usr/sbin/fence_lab";
const MEND: &str =
    "! [ -e /usr/sbin/fence_lab.real ] || mv /usr/sbin/fence_lab.real /usr/sbin/fence_lab";

/// Runs it while no fence agent works, on a node whose fence-peer soon gives up. It has to leave both
/// nodes as members: one that still misses its peer would kill it with the agent that works again.
///
/// # Errors
/// When what is run fails, or the cluster does not settle.
pub fn out_of_order(
    stage: &mut Stage,
    voter: Node,
    run: impl FnOnce(&mut Stage) -> Result<()>,
) -> Result<()> {
    hooks::with(stage, voter, DEADLINE, |stage| {
        let lab = &stage.lab;
        let result = NODES
            .into_iter()
            .try_for_each(|node| lab.sh(node, BREAK, COMMAND).map(drop))
            .and_then(|()| run(stage));
        let mended = mend(&stage.lab, voter);
        // The first is the reason for the second: a node that is off cannot be mended.
        result?;
        mended
    })?;
    stage.settle()
}

fn mend(lab: &Lab, voter: Node) -> Result<()> {
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
    Ok(())
}

/// fence-peer has given up since then, and has claimed nothing.
///
/// # Errors
/// When it has not.
pub fn gave_up(lab: &Lab, node: Node, since: SystemTime) -> Result<()> {
    let said = link::answered(lab, node, "fence-peer to give up", since)?;
    ensure!(
        (&said.decision, said.code.as_str()) == (&Decision::Undecided, "1"),
        "fence-peer on {node} has answered {} ({})",
        said.code,
        said.decision
    );
    Ok(())
}

/// Runs it while the configuration has this `[fencing]`, and the cluster's own fencing is off. The
/// lab's comes back whatever comes of it.
///
/// # Errors
/// When a node does not take the configuration, what is run fails, or the cluster does not settle.
pub fn instead(
    stage: &mut Stage,
    fencing: &str,
    run: impl FnOnce(&mut Stage) -> Result<()>,
) -> Result<()> {
    let configuration = stage
        .lab
        .read(Node::One, "/etc/two-node-ha.toml")?
        .context("haone has no configuration")?;
    let (start, _) = configuration
        .split_once("[fencing]")
        .context("the lab's configuration has no [fencing]")?;
    configure(&stage.lab, &format!("{start}{fencing}"), false)?;
    let result = run(stage);
    let restored = configure(&stage.lab, &configuration, true);
    result?;
    restored?;
    stage.settle()
}

/// The same configuration on both nodes, for the agents, DRBD and Pacemaker.
fn configure(lab: &Lab, configuration: &str, fencing: bool) -> Result<()> {
    for node in NODES {
        lab.write(node, "/etc/two-node-ha.toml", configuration.as_bytes())?;
        lab.sh(
            node,
            "two-node-ha check && systemctl daemon-reload && \
             two-node-ha render drbd > /etc/drbd.d/r0.res && drbdadm adjust r0 && \
             systemctl restart two-node-ha-k8s",
            Duration::from_secs(180),
        )?;
    }
    let value = format!("--update={fencing}");
    lab.run(
        Node::One,
        &["crm_attribute", "--name=stonith-enabled", &value],
        COMMAND,
    )?;
    Ok(())
}
