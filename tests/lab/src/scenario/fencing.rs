//! Another `[fencing]` than the lab's, for the time of a scenario.

use super::{COMMAND, Stage};
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use anyhow::{Context, Result};
use std::time::Duration;

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
