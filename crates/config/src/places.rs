//! The places of this project that a configuration may not give to something else.

/// Where the file lies on a node.
pub const PATH: &str = "/etc/two-node-ha.toml";

/// What a node keeps across boots. 0700: it holds certificates and passwords.
pub const STATE: &str = "/var/lib/two-node-ha";

/// Where the configuration that was accepted last lies on a node: 0600, as it may hold a fence
/// device's password.
pub const ACCEPTED: &str = "/var/lib/two-node-ha/accepted.toml";

/// Where the copies of a backing device are kept that no file system of the node's own is around.
pub(crate) const COPIES: &str = "/var/lib/two-node-ha/copies";

/// Home of the account whose only right is to let the peer talk to the agent.
pub const PEER_HOME: &str = "/var/lib/two-node-ha-peer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_keeps_is_in_one_directory() {
        for path in [ACCEPTED, COPIES] {
            assert!(path.starts_with(&format!("{STATE}/")), "{path}");
        }
    }
}
