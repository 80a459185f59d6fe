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
    /// The step of the agent that it is about, as in `Rejoin(3)`.
    pub step: String,
}

impl Record {
    /// A database on DRBD's volume can be reached from here on.
    #[must_use]
    pub fn mounted(&self) -> bool {
        self.by == "kernel"
            && self.message.contains("(drbd")
            && self.message.contains("mounted filesystem")
    }

    /// The datastore's process has begun.
    #[must_use]
    pub fn datastore_started(&self) -> bool {
        self.unit_is("Started", "snap.k8s.k8s-dqlite.service")
    }

    /// systemd says this of the unit, such as `Started`.
    #[must_use]
    pub fn unit_is(&self, what: &str, unit: &str) -> bool {
        let words = self.message.strip_prefix(what);
        self.by == "systemd"
            && words.is_some_and(|words| words.trim_start().split(' ').next() == Some(unit))
    }

    /// The datastore has loaded its database; it asks the members for their leader now.
    #[must_use]
    pub fn datastore_loaded(&self) -> bool {
        self.message.contains("started dqlite engine")
    }

    /// The datastore takes requests.
    #[must_use]
    pub fn datastore_listens(&self) -> bool {
        self.message.contains("started k8s-dqlite server on")
    }

    /// The log of this database names the node as its only voter, by either way of a recovery. The
    /// agent says a word of its own for the native one before it, which a crash may keep from coming.
    fn recovered(&self, database: &str) -> bool {
        self.message
            .strip_prefix(database)
            .is_some_and(|rest| rest.starts_with(" was recovered with "))
            || self
                .message
                .strip_prefix("the log of ")
                .and_then(|rest| rest.strip_prefix(database))
                .is_some_and(|rest| rest.starts_with(", which ends at index "))
    }
}

/// A step of a failover, known by the first record that matches.
struct Step {
    name: &'static str,
    matches: fn(&Record) -> bool,
}

/// In the order in which they are shown; a step that left no record is left out.
const STEPS: [Step; 11] = [
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
        name: "the spare's services stopped",
        matches: |r| r.message == "the services that write the databases are stopped",
    },
    Step {
        name: "volume mounted",
        matches: Record::mounted,
    },
    Step {
        name: "k8sd recovered",
        matches: |r| r.recovered("k8sd"),
    },
    Step {
        name: "k8s-dqlite recovered",
        matches: |r| r.recovered("k8s-dqlite"),
    },
    Step {
        name: "k8s-dqlite started",
        matches: Record::datastore_started,
    },
    Step {
        name: "k8s-dqlite loaded",
        matches: Record::datastore_loaded,
    },
    Step {
        name: "k8s-dqlite listens",
        matches: Record::datastore_listens,
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
    let fields =
        "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_SOURCE_REALTIME_TIMESTAMP,TWO_NODE_HA_STEP";
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
        step: field("TWO_NODE_HA_STEP").unwrap_or_default().to_owned(),
    })
}

/// When the first such record after `from` was made, both in seconds since 1970.
#[must_use]
pub fn first(records: &[Record], from: f64, wanted: impl Fn(&Record) -> bool) -> Option<f64> {
    let found = records.iter().filter(|r| r.at >= from && wanted(r));
    // Clocks are one, but records are not written in order.
    found.map(|r| r.at).min_by(f64::total_cmp)
}

/// The steps that none of these is of: the words of somebody have changed, or there was no such step.
#[must_use]
pub fn missing(of: &[(&'static str, f64)]) -> Vec<&'static str> {
    let names = STEPS.iter().map(|step| step.name);
    names
        .filter(|name| !of.iter().any(|(found, _)| found == name))
        .collect()
}

/// Steps of the failover after `cut`, with their times.
#[must_use]
pub fn steps(records: &[Record], cut: SystemTime) -> Vec<(&'static str, f64)> {
    let cut = epoch(cut);
    STEPS
        .iter()
        .filter_map(|step| {
            let at = first(records, cut, step.matches)?;
            Some((step.name, at))
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
            step: String::new(),
        }
    }

    #[test]
    fn a_step_that_nobody_has_said_is_missing() {
        let cut = UNIX_EPOCH + Duration::from_secs(100);
        let records = [said(
            103.0,
            "two-node-ha",
            "the services that write the databases are stopped",
        )];
        let missing = missing(&steps(&records, cut));
        assert_eq!(missing.len(), STEPS.len() - 1);
        assert!(!missing.contains(&"the spare's services stopped"));
    }

    #[test]
    fn both_ways_of_a_recovery_are_steps_of_the_failover_and_each_is_shown_once() {
        let cut = UNIX_EPOCH + Duration::from_secs(100);
        let by = "two-node-ha";
        let native = [
            said(
                101.0,
                by,
                "the log of k8sd, which ends at index 7, names hatwo as its only voter",
            ),
            said(101.5, by, "k8sd was recovered with hatwo as its only voter"),
            said(
                102.0,
                by,
                "the log of k8s-dqlite, which ends at index 9, names hatwo as its only voter",
            ),
        ];
        let wanted = [("k8sd recovered", 101.0), ("k8s-dqlite recovered", 102.0)];
        assert_eq!(steps(&native, cut), wanted);
        let k8sd = [
            said(103.0, by, "k8sd was recovered with hatwo as its only voter"),
            said(
                104.0,
                by,
                "k8s-dqlite was recovered with hatwo as its only voter",
            ),
        ];
        let wanted = [("k8sd recovered", 103.0), ("k8s-dqlite recovered", 104.0)];
        assert_eq!(steps(&k8sd, cut), wanted);
    }

    #[test]
    fn the_datastore_says_when_it_has_loaded_and_when_it_listens() {
        let started = said(
            1.0,
            "systemd",
            "Started snap.k8s.k8s-dqlite.service - Service for snap application k8s.k8s-dqlite.",
        );
        let listens = said(
            2.0,
            "k8s.k8s-dqlite",
            "k8s-dqlite: started k8s-dqlite server on unix:///run/k8s-dqlite.sock",
        );
        let engine = said(
            1.5,
            "k8s.k8s-dqlite",
            "k8s-dqlite: started dqlite engine, id=1",
        );
        let own_log = [listens, engine, started];
        assert_eq!(first(&own_log, 0.0, Record::datastore_started), Some(1.0));
        assert_eq!(first(&own_log, 0.0, Record::datastore_loaded), Some(1.5));
        assert_eq!(first(&own_log, 0.0, Record::datastore_listens), Some(2.0));
        assert_eq!(first(&own_log, 2.5, Record::datastore_listens), None);
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
