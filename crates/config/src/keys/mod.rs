//! The one table of all keys. It drives the recognition of unknown keys, the defaults, the example
//! file and the manual page.

mod table;

pub use table::KEYS;

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string with rules of its own.
    Text,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A string such as `1min 30s`.
    Duration,
    /// A string such as `2000MiB`.
    Size,
    /// A string: an absolute path.
    Path,
    /// A string: an IPv4 or IPv6 address.
    Address,
    /// An array of addresses.
    Addresses,
    /// An array of strings.
    Texts,
    /// A whole number in this range, ends included.
    Integer(u32, u32),
    /// `true` or `false`.
    Boolean,
    /// A table of strings, whole numbers and booleans whose keys are not ours.
    Params,
}

impl Kind {
    /// "a duration", "an array of strings", …
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text | Self::Choice(_) => "a string",
            Self::Duration => "a duration with its unit",
            Self::Size => "a size with its unit",
            Self::Path => "an absolute path",
            Self::Address => "an IP address",
            Self::Addresses => "an array of IP addresses",
            Self::Texts => "an array of strings",
            Self::Integer(..) => "a whole number",
            Self::Boolean => "true or false",
            Self::Params => "a table",
        }
    }
}

/// A key of `/etc/two-node-ha.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Table and key, such as `volume.mount_point`; `node` and `fencing.device` are arrays of
    /// tables.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Whether the file must have it.
    pub required: bool,
    /// The default as TOML; `None` where there is none, or where it follows from other values
    /// ([`Key::derived`]).
    pub default: Option<&'static str>,
    /// Where the default comes from, in words, where it follows from other values.
    pub derived: Option<&'static str>,
    /// A value as TOML. The default where there is one.
    pub example: &'static str,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
    /// The setting of `two-node-ha.sh` or the value in the guide that it replaces.
    pub script: Option<&'static str>,
    /// Where the last dot of `path` stands: found by the compiler, not in a boot.
    dot: usize,
}

impl Key {
    /// The table: `fencing.device` of `fencing.device.agent`.
    #[must_use]
    pub fn table(&self) -> &'static str {
        &self.path[..self.dot]
    }

    /// The name within its table: `agent` of `fencing.device.agent`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        &self.path[self.dot + 1..]
    }

    const fn new(path: &'static str, kind: Kind, doc: &'static str) -> Self {
        let mut dot = path.len() - 1;
        while path.as_bytes()[dot] != b'.' {
            dot -= 1;
        }
        Self {
            path,
            dot,
            kind,
            required: false,
            default: None,
            derived: None,
            example: "",
            doc,
            script: None,
        }
    }

    const fn required(mut self, example: &'static str) -> Self {
        self.required = true;
        self.example = example;
        self
    }

    const fn default(mut self, toml: &'static str) -> Self {
        self.default = Some(toml);
        self.example = toml;
        self
    }

    const fn derived(mut self, words: &'static str, example: &'static str) -> Self {
        self.derived = Some(words);
        self.example = example;
        self
    }

    /// Off by default.
    const fn optional(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn script(mut self, what: &'static str) -> Self {
        self.script = Some(what);
        self
    }
}

/// A table of `/etc/two-node-ha.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name, such as `volume` or `fencing.device`.
    pub name: &'static str,
    /// Whether it is written `[[name]]`, once for each item.
    pub array: bool,
    /// What it is for.
    pub doc: &'static str,
}

const fn table(name: &'static str, doc: &'static str) -> Table {
    Table {
        name,
        array: false,
        doc,
    }
}

const fn tables(name: &'static str, doc: &'static str) -> Table {
    Table {
        name,
        array: true,
        doc,
    }
}

/// All tables, in the order of the example.
pub const TABLES: &[Table] = &[
    table("cluster", "What belongs to both nodes alike."),
    tables(
        "node",
        "The two nodes: exactly two of these tables, the same in both nodes' files.",
    ),
    table(
        "volume",
        "The DRBD device, what lies under it and the file system on it.",
    ),
    table("drbd", "Replication."),
    table("corosync", "How the nodes hear of each other."),
    table("pacemaker", "Names and times of the cluster's resources."),
    table(
        "fencing",
        "How a node that cannot be heard is kept from writing.",
    ),
    tables(
        "fencing.device",
        "A device that powers a node off. With mode = \"stonith\" each node needs one.",
    ),
    table("k8s", "The snap, its services and its directories."),
    table("peer", "The ssh channel between the two agents."),
    table("agent", "The agent itself."),
    table("hooks", "DRBD's handlers."),
];

/// The key of that path.
#[must_use]
pub fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.path == path)
}

/// The keys of one table, which stand together in [`KEYS`].
pub(crate) fn keys_of(table: &str) -> &'static [Key] {
    let first = KEYS.iter().position(|k| k.table() == table).unwrap_or(0);
    let count = KEYS[first..]
        .iter()
        .take_while(|k| k.table() == table)
        .count();
    &KEYS[first..first + count]
}
