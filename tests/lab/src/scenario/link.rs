//! DRBD's link alone, Corosync's apart.

use super::COMMAND;
use crate::client::Lab;
use crate::cluster::Node;
use anyhow::Result;

/// In the node's kernel: what goes to and comes from DRBD's port is dropped, as by a pulled cable.
pub const CUT: &str = "nft -f - <<END
table ip cut {
    chain in { type filter hook input priority 0; tcp dport 7788 drop; tcp sport 7788 drop; }
    chain out { type filter hook output priority 0; tcp dport 7788 drop; tcp sport 7788 drop; }
}
END
";

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
    lab.sh(node, "nft delete table ip cut", COMMAND).map(drop)
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
