//! What happened on the survivor, from its journal.

use crate::client::Lab;
use crate::cluster::Node;
use anyhow::{Context, Result};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A journal record.
#[derive(Debug, Clone)]
pub struct Record {
    /// Seconds since 1970, by the clock that all nodes share with the host.
    pub at: f64,
    /// Who said it: `kernel`, `corosync`, …
    pub by: String,
    /// What was said.
    pub message: String,
}

/// A step of a failover, known by the first record that matches.
struct Step {
    name: &'static str,
    matches: fn(&Record) -> bool,
}

/// In the order in which they are shown; a step that left no record is left out.
const STEPS: [Step; 7] = [
    Step {
        name: "peer seen lost",
        matches: |r| {
            (r.by == "corosync"
                && (r.message.contains("A processor failed") || r.message.contains("Sync left[1]")))
                || (r.by.starts_with("pacemaker") && r.message.contains("state is now lost"))
        },
    },
    Step {
        name: "peer fenced",
        matches: |r| {
            r.by == "pacemaker-fenced"
                && r.message.contains("targeting")
                && r.message.contains("OK")
                && r.message.contains("peration")
        },
    },
    Step {
        name: "DRBD promoted",
        matches: |r| r.by == "kernel" && r.message.contains("role( Secondary -> Primary )"),
    },
    Step {
        name: "volume mounted",
        matches: |r| {
            r.by == "kernel"
                && r.message.contains("(drbd")
                && r.message.contains("mounted filesystem")
        },
    },
    Step {
        name: "k8sd recovered",
        matches: |r| r.message.starts_with("k8sd was recovered"),
    },
    Step {
        name: "k8s-dqlite recovered",
        matches: |r| r.message.starts_with("k8s-dqlite was recovered"),
    },
    Step {
        name: "voter confirmed",
        matches: |r| r.message.contains("the voter on") && r.message.ends_with("works"),
    },
];

/// Seconds since 1970.
#[must_use]
pub fn epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// The node's journal since `from`.
///
/// # Errors
/// When the journal cannot be read.
pub fn journal(lab: &Lab, node: Node, from: SystemTime) -> Result<Vec<Record>> {
    let since = format!("--since=@{:.6}", epoch(from));
    let fields = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_SOURCE_REALTIME_TIMESTAMP";
    let argv = [
        "journalctl",
        "--no-pager",
        "-q",
        "-o",
        "json",
        fields,
        &since,
    ];
    let text = lab
        .run(node, &argv, Duration::from_secs(60))
        .with_context(|| format!("read the journal of {node}"))?;
    Ok(text.lines().filter_map(record).collect())
}

fn record(line: &str) -> Option<Record> {
    let value: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let micros: f64 = field("_SOURCE_REALTIME_TIMESTAMP")
        .or_else(|| field("__REALTIME_TIMESTAMP"))?
        .parse()
        .ok()?;
    Some(Record {
        at: micros / 1e6,
        by: field("SYSLOG_IDENTIFIER").unwrap_or_default().to_owned(),
        message: field("MESSAGE").unwrap_or_default().to_owned(),
    })
}

/// Steps of the failover after `cut`, with their times.
#[must_use]
pub fn steps(records: &[Record], cut: SystemTime) -> Vec<(&'static str, f64)> {
    let cut = epoch(cut);
    STEPS
        .iter()
        .filter_map(|step| {
            let record = records.iter().find(|r| r.at >= cut && (step.matches)(r))?;
            Some((step.name, record.at))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: f64, by: &str, message: &str) -> Record {
        Record {
            at,
            by: by.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn steps_before_the_cut_do_not_count() {
        let cut = UNIX_EPOCH + Duration::from_secs(100);
        let promoted = "block drbd0: role( Secondary -> Primary )";
        let records = [
            said(99.0, "kernel", promoted),
            said(105.5, "kernel", promoted),
        ];
        assert_eq!(steps(&records, cut), [("DRBD promoted", 105.5)]);
    }

    #[test]
    fn a_journal_line_becomes_a_record() {
        let line =
            r#"{"__REALTIME_TIMESTAMP":"1500000","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"hello"}"#;
        let record = record(line).unwrap();
        assert!((record.at - 1.5).abs() < 1e-9);
        assert_eq!(
            (record.by.as_str(), record.message.as_str()),
            ("kernel", "hello")
        );
    }
}
