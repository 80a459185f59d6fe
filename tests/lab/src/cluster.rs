//! The two nodes and their network: constants of every instance, since each has its own namespace.

use anyhow::{Result, bail};

/// One of the two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// The first, `haone`.
    One,
    /// The second, `hatwo`.
    Two,
}

/// Both, in order.
pub const NODES: [Node; 2] = [Node::One, Node::Two];

/// Networks between the nodes. Each has a bridge `labK`, taps `labK-N` and guest interfaces `vecK`;
/// a second link for Corosync or DRBD is one more entry here.
pub const LINKS: [&str; 1] = ["10.77.0"];

/// Prefix length of each network.
pub const PREFIX: u8 = 24;

/// The host's own last byte on each link, for those who write to the cluster from outside.
pub const HOST_BYTE: u8 = 254;

impl Node {
    /// Its host name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "haone",
            Self::Two => "hatwo",
        }
    }

    /// 1 or 2: last byte of its addresses.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// 0 or 1.
    #[must_use]
    pub const fn index(self) -> usize {
        self.number() as usize - 1
    }

    /// The other node.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }

    /// Its address on the first link.
    #[must_use]
    pub fn address(self) -> String {
        format!("{}.{}", LINKS[0], self.number())
    }

    /// The node of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(name: &str) -> Result<Self> {
        NODES.into_iter().find(|n| n.name() == name).map_or_else(
            || {
                bail!(
                    "no node is called {name:?}: there are {} and {}",
                    Self::One,
                    Self::Two
                )
            },
            Ok,
        )
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
