//! DRBD's link alone, Corosync's apart.

use super::{COMMAND, SETTLE};
use crate::client::Lab;
use crate::cluster::Node;
use crate::wait::{self, Seen};
use anyhow::Result;
use std::time::SystemTime;

/// In the node's kernel: what goes to and comes from DRBD's port is dropped, as by a pulled cable.
/// (Its nf_tables has no table for IP.)
pub const CUT: &str = "tc qdisc add dev vec0 clsact
    for way in ingress egress; do
        for port in sport dport; do
            tc filter add dev vec0 $way protocol ip u32 match ip protocol 6 0xff \
                match ip $port 7788 0xffff action drop
        done
    done";

/// Ends [`CUT`].
pub const HEAL: &str = "tc qdisc del dev vec0 clsact";

/// Cuts it.
///
/// # Errors
/// When the node's kernel refuses.
pub fn cut(lab: &Lab, node: Node) -> Result<()> {
    lab.sh(node, CUT, COMMAND).map(drop)
}

/// Ends [`cut`].
///
/// # Errors
/// When it is not cut.
pub fn heal(lab: &Lab, node: Node) -> Result<()> {
    lab.sh(node, HEAL, COMMAND).map(drop)
}

/// The constraints of DRBD's handlers, as XML.
///
/// # Errors
/// When there is no CIB to be read.
pub fn constraints(lab: &Lab, node: Node) -> Result<String> {
    lab.sh(
        node,
        "cibadmin -Q -o constraints | sed -n '/drbd-fence-by-handler/,/<.rsc_location>/p'",
        COMMAND,
    )
}

/// What fence-peer has decided since then, once it has.
///
/// # Errors
/// When it does not.
pub fn fence_decision(lab: &Lab, node: Node, what: &str, since: SystemTime) -> Result<String> {
    wait::until(what, SETTLE, || {
        let seconds = since.elapsed().unwrap_or_default().as_secs() + 2;
        let records = lab.sh(
            node,
            &format!(
                "journalctl -o json --output-fields=TWO_NODE_HA_DECISION --since=-{seconds}s \
                 TWO_NODE_HA_HANDLER=fence-peer | \
                 sed -n 's/.*TWO_NODE_HA_DECISION\":\"\\([^\"]*\\).*/\\1/p'"
            ),
            COMMAND,
        )?;
        Ok(match records.lines().last() {
            Some(decision) if decision != "waiting" => Seen::Ready(decision.to_owned()),
            _ => Seen::NotYet("it has said nothing".to_owned()),
        })
    })
}
