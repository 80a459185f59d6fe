//! A service of the snap on a node, as somebody sees it who has logged in there.

use super::COMMAND;
use crate::client::Lab;
use crate::cluster::Node;
use anyhow::{Context, Result, ensure};

/// The datastore.
pub const DATASTORE: &str = "snap.k8s.k8s-dqlite.service";

/// The agent.
pub const AGENT: &str = "two-node-ha-k8s.service";

/// Its main process.
///
/// # Errors
/// When it does not run.
pub fn pid(lab: &Lab, node: Node, unit: &str) -> Result<String> {
    let said = lab.run(node, &["systemctl", "show", "-P", "MainPID", unit], COMMAND)?;
    let pid = said.trim().to_owned();
    ensure!(
        pid != "0" && !pid.is_empty(),
        "{unit} does not run on {node}"
    );
    Ok(pid)
}

/// Sends its main process a signal, such as TERM, as `kill` does: systemd is not told.
///
/// # Errors
/// When it does not run.
pub fn signal(lab: &Lab, node: Node, unit: &str, name: &str) -> Result<()> {
    let pid = pid(lab, node, unit)?;
    lab.run(node, &["kill", "-s", name, &pid], COMMAND)
        .map(drop)
}

/// Addresses of the voters, by the raft log in a directory on the node.
///
/// # Errors
/// When it cannot be read.
pub fn voters(lab: &Lab, node: Node, dir: &str) -> Result<Vec<String>> {
    let said = lab.run(
        node,
        &["two-node-ha", "raft", "inspect", "--json", dir],
        COMMAND,
    )?;
    let report: serde_json::Value = serde_json::from_str(&said)?;
    let members = report["configuration"]
        .as_array()
        .with_context(|| format!("no configuration in {said}"))?;
    Ok(members
        .iter()
        .filter(|member| member["role"] == "voter")
        .filter_map(|member| member["address"].as_str().map(str::to_owned))
        .collect())
}
