//! A member of a dqlite cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The id of the node that founds a cluster (`dqlite.BootstrapID` of go-dqlite). A node that
/// starts with it on a directory without raft state founds a new cluster.
pub const BOOTSTRAP_ID: u64 = 0x2dc1_7185_8c31_55be;

/// What a member does, numbered as in the YAML files. (dqlite's binary files number them
/// differently: there a voter is 1 and a stand-by 0.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Votes and holds the data: 0.
    Voter,
    /// Holds the data, does not vote: 1.
    StandBy,
    /// Does neither: 2.
    Spare,
}

impl Role {
    /// The role of that number in a YAML file.
    #[must_use]
    pub fn from_yaml(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Voter),
            1 => Some(Self::StandBy),
            2 => Some(Self::Spare),
            _ => None,
        }
    }

    /// The role of that byte in raft's own files.
    #[must_use]
    pub fn from_disk(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::StandBy),
            1 => Some(Self::Voter),
            2 => Some(Self::Spare),
            _ => None,
        }
    }

    /// Its number in a YAML file.
    #[must_use]
    pub fn to_yaml(self) -> u8 {
        match self {
            Self::Voter => 0,
            Self::StandBy => 1,
            Self::Spare => 2,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Voter => "voter",
            Self::StandBy => "stand-by",
            Self::Spare => "spare",
        })
    }
}

/// A member: one mapping of `info.yaml` or `cluster.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its id. 0 in the `cluster.yaml` of a node that has not found its cluster yet.
    pub id: u64,
    /// `host:port`, an IPv6 address as `[address]:port`.
    pub address: String,
    /// Its role. In `info.yaml` it tells nothing of a voter: a joiner's says so while it is a spare.
    pub role: Role,
}

impl NodeInfo {
    /// Host and port of the address; `None` where it is no such thing.
    #[must_use]
    pub fn host_port(&self) -> Option<(&str, u16)> {
        split_address(&self.address)
    }

    /// Whether starting it on an empty directory founds a cluster.
    #[must_use]
    pub fn is_bootstrap(&self) -> bool {
        matches!(self.id, BOOTSTRAP_ID | 1)
    }
}

/// `host:port` or `[v6]:port`, the host without brackets.
pub(crate) fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let v6 = rest.strip_suffix(']')?;
            // With or without a zone: fe80::1%eth0
            v6.split('%').next()?.parse::<std::net::Ipv6Addr>().ok()?;
            v6
        }
        None => host,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    let named = !host.is_empty() && !host.starts_with('-') && host.chars().all(plain);
    let bare_v6 = host.contains(':') && !address.starts_with('[');
    (named && !bare_v6).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port_of_either_family() {
        assert_eq!(split_address("10.0.0.1:9000"), Some(("10.0.0.1", 9000)));
        assert_eq!(split_address("[fd00::1]:6400"), Some(("fd00::1", 6400)));
        assert_eq!(split_address("[fe80::1%eth0]:1"), Some(("fe80::1%eth0", 1)));
        assert_eq!(split_address("k8s-1.lan:9000"), Some(("k8s-1.lan", 9000)));
        for wrong in [
            "",
            ":9000",
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:70000",
            "fd00::1:9000",
            "[x]:1",
            "[fd00::1]9000",
            "a b:1",
            "a\n:1",
            "@abstract",
        ] {
            assert_eq!(split_address(wrong), None, "{wrong:?}");
        }
    }
}
