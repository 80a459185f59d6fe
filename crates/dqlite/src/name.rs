//! What a file of a state directory is, by its name.
//!
//! The names are matched as dqlite does it (`uv_segment.c`, `uv_snapshot.c`): with `sscanf`, so a
//! segment's numbers may have fewer than the 16 digits that it writes, and never more.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The marker of a node that has not finished joining its cluster (go-dqlite's `joinFile`).
const JOIN_FILE: &str = "join";
/// Names of this many bytes or more are passed over (`UV__FILENAME_LEN`).
const LONGEST: usize = 128;

/// A snapshot's name. Ordered as dqlite orders them: the last is the one that it loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotName {
    /// The term of the last entry that it covers.
    pub term: u64,
    /// The index of the last entry that it covers.
    pub index: u64,
    /// Milliseconds of a clock that starts with the machine: no date.
    pub timestamp: u64,
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "snapshot-{}-{}-{}",
            self.term, self.index, self.timestamp
        )
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// `info.yaml`, `cluster.yaml`
    Yaml,
    /// `join`
    Join,
    /// `metadata1` is 0, `metadata2` 1.
    Metadata(usize),
    /// `%016d-%016d`, the first and the last index.
    Closed { first: u64, last: u64 },
    /// `open-N`
    Open { counter: u64 },
    /// `snapshot-TERM-INDEX-TIMESTAMP`
    Snapshot(SnapshotName),
    /// The same with `.meta`
    Meta(SnapshotName),
    /// Nothing of dqlite's that is loaded.
    Other,
}

impl Name {
    pub fn of(name: &str) -> Self {
        match name {
            crate::INFO_FILE | crate::CLUSTER_FILE => return Self::Yaml,
            JOIN_FILE => return Self::Join,
            "metadata1" => return Self::Metadata(0),
            "metadata2" => return Self::Metadata(1),
            _ if name.len() >= LONGEST => return Self::Other,
            _ => {}
        }
        if let Some(counter) = name.strip_prefix("open-").and_then(number) {
            return Self::Open { counter };
        }
        if let Some(rest) = name.strip_prefix("snapshot-") {
            return match rest.strip_suffix(".meta") {
                Some(rest) => snapshot(rest).map_or(Self::Other, Self::Meta),
                None => snapshot(rest).map_or(Self::Other, Self::Snapshot),
            };
        }
        closed(name).unwrap_or(Self::Other)
    }
}

fn closed(name: &str) -> Option<Name> {
    let (first, last) = name.split_once('-')?;
    if first.len() > 16 || last.len() > 16 {
        return None;
    }
    Some(Name::Closed {
        first: number(first)?,
        last: number(last)?,
    })
}

fn snapshot(rest: &str) -> Option<SnapshotName> {
    let mut parts = rest.split('-').map(number);
    let name = SnapshotName {
        term: parts.next()??,
        index: parts.next()??,
        timestamp: parts.next()??,
    };
    parts.next().is_none().then_some(name)
}

/// Digits only: no sign, no space.
fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_name() {
        let name = SnapshotName {
            term: 2,
            index: 4096,
            timestamp: 91,
        };
        let cases = [
            ("metadata2", Name::Metadata(1)),
            (
                "0000000000000005-0000000000000009",
                Name::Closed { first: 5, last: 9 },
            ),
            // As dqlite's sscanf takes it.
            ("5-9", Name::Closed { first: 5, last: 9 }),
            ("open-12", Name::Open { counter: 12 }),
            ("snapshot-2-4096-91", Name::Snapshot(name)),
            ("snapshot-2-4096-91.meta", Name::Meta(name)),
            ("join", Name::Join),
            ("info.yaml", Name::Yaml),
        ];
        for (text, expected) in cases {
            assert_eq!(Name::of(text), expected, "{text}");
        }
        assert_eq!(name.to_string(), "snapshot-2-4096-91");
    }

    #[test]
    fn everything_else_is_passed_over() {
        for text in [
            "",
            "-",
            "open-",
            "open-1x",
            "open-99999999999999999999",
            "00000000000000005-00000000000000009",
            "5-",
            "5-9-1",
            "snapshot-2-4096",
            "snapshot-2-4096-91-1",
            "snapshot-2-4096-91.meta.bak",
            "tmp-1-2",
            "corrupt-1-open-1",
            "dqlite-lock",
            "metadata3",
        ] {
            assert_eq!(Name::of(text), Name::Other, "{text:?}");
        }
    }
}
