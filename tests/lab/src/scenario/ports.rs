//! Connections to the databases of a dead node: refused on the survivor, and on nobody once it is back.

use super::{COMMAND, SETTLE};
use crate::client::Lab;
use crate::cluster::Node;
use crate::wait::{Seen, until};
use anyhow::{Result, ensure};

/// As `ip rule show` names the agent's rules.
const MARK: &str = "proto 147";

/// The ports of k8sd and of k8s-dqlite.
const PORTS: [u16; 2] = [6400, 9000];

/// Waits until the node refuses its own connections to the other's databases, and dials them.
///
/// # Errors
/// When it does not, or a call waits although it does.
pub fn refused(lab: &Lab, node: Node) -> Result<()> {
    rules(lab, node, PORTS.len())?;
    let address = node.peer().address();
    for port in PORTS {
        let dial =
            format!("timeout 2 bash -c ': </dev/tcp/{address}/{port}' 2>&1 || echo \"exit $?\"");
        let said = lab.sh(node, &dial, COMMAND)?;
        ensure!(
            said.contains("unreachable"),
            "{node} dials {address}:{port}, which it refuses, and hears: {said}"
        );
    }
    Ok(())
}

/// Waits until the node refuses nothing.
///
/// # Errors
/// When it goes on refusing.
pub fn open(lab: &Lab, node: Node) -> Result<()> {
    rules(lab, node, 0)
}

fn rules(lab: &Lab, node: Node, wanted: usize) -> Result<()> {
    let what = format!("{wanted} rules on {node} that refuse the other's databases");
    until(&what, SETTLE, || {
        let list = lab.sh(node, "ip -4 rule show; ip -6 rule show", COMMAND)?;
        let ours: Vec<&str> = list.lines().filter(|rule| rule.contains(MARK)).collect();
        Ok(if ours.len() == wanted {
            Seen::Ready(())
        } else {
            Seen::NotYet(format!("{ours:?}"))
        })
    })
}
