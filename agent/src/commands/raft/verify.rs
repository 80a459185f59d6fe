//! `two-node-ha raft verify DIR`.

use std::path::Path;

use two_node_ha_dqlite::{Report, Verdict};

/// The verdict, and what speaks for it.
pub fn text(dir: &Path, report: &Report) -> String {
    let last = match report.verdict {
        Verdict::Sound | Verdict::NotDqlite => "the last entry is",
        Verdict::Repairable | Verdict::Lossy(_) => "the last entry that can be kept is",
    };
    format!(
        "{}: {}; {last} index {}, term {}\n{}",
        dir.display(),
        super::words(report.verdict),
        report.last_index,
        report.last_term,
        super::findings(report)
    )
}
