//! What had been acknowledged from one disk that is not replicated, and is the volume's since.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use two_node_ha_config::{format_duration, format_time};

/// A part of a database's log that was written off the volume and has become the base of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Astray {
    /// The node on whose own disk it lay.
    pub node: String,
    /// The index of its first entry.
    pub first: u64,
    /// The index of its last.
    pub last: u64,
    /// When the volume's log was last written to before, in seconds since 1970: none of it is older.
    pub since: u64,
    /// When it came onto the volume.
    pub until: u64,
}

impl Astray {
    /// The entries `first` to `last`, which came onto the volume at `until`, whose log was last written
    /// to at `since`.
    #[must_use]
    pub fn new(
        node: &str,
        (first, last): (u64, u64),
        (since, until): (SystemTime, SystemTime),
    ) -> Self {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            since.as_secs()
        };
        Self {
            node: node.to_owned(),
            first,
            last,
            since: seconds(since),
            until: seconds(until),
        }
    }
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds| format_time(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        write!(
            f,
            "the entries {} to {} lay on {}'s disk alone for at most {}, from {} to {}",
            self.first,
            self.last,
            self.node,
            // The clocks of the two nodes may differ.
            format_duration(std::time::Duration::from_secs(
                self.until.saturating_sub(self.since)
            )),
            time(self.since),
            time(self.until)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_which_entries_lay_where_and_for_how_long() {
        let astray = Astray {
            node: "hatwo".into(),
            first: 52,
            last: 90,
            since: 1_795_552_215,
            until: 1_795_552_270,
        };
        assert_eq!(
            astray.to_string(),
            "the entries 52 to 90 lay on hatwo's disk alone for at most 55s, from 2026-11-24 20:30:15 \
             UTC to 2026-11-24 20:31:10 UTC"
        );
    }
}
