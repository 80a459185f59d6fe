//! `two-node-ha raft inspect DIR`.

use std::path::Path;

use two_node_ha_dqlite::{Report, SegmentReport, SnapshotReport};

use super::table::{size, table};

/// All about a directory, for people.
pub fn text(dir: &Path, report: &Report) -> String {
    let mut text = String::new();
    let mut line = |label: &str, words: String| text += &format!("{label:<15}{words}\n");
    line("directory", dir.display().to_string());
    line("verdict", super::words(report.verdict));
    line(
        "last entry",
        format!("index {}, term {}", report.last_index, report.last_term),
    );
    line(
        "snapshot",
        match report.snapshot {
            Some(position) => format!("index {}, term {}", position.index, position.term),
            None => "none".to_owned(),
        },
    );
    line(
        "metadata",
        match report.metadata {
            Some(metadata) => format!(
                "term {}, {}",
                metadata.term,
                match metadata.voted_for {
                    0 => "no vote cast in it".to_owned(),
                    id => format!("voted for {id}"),
                }
            ),
            None => "none".to_owned(),
        },
    );
    line(
        "this node",
        match &report.info {
            Some(info) => format!("{}, {}", info.id, info.address),
            None => "info.yaml does not say".to_owned(),
        },
    );
    line(
        "members",
        match report.configuration_index {
            Some(index) => format!("by raft, as of index {index}"),
            None => "raft has none recorded here".to_owned(),
        },
    );
    let here = |id| report.info.as_ref().is_some_and(|info| info.id == id);
    let members = report.configuration.iter().map(|server| {
        [
            server.role.to_string(),
            server.id.to_string(),
            server.address.clone(),
            if here(server.id) { "this node" } else { "" }.to_owned(),
        ]
    });
    text += &table(["ROLE", "ID", "ADDRESS", ""], members);
    if !report.snapshots.is_empty() {
        text += "snapshots\n";
        let head = ["FILE", "INDEX", "TERM", "SIZE", "CONTENT", "DATABASES"];
        text += &table(head, report.snapshots.iter().map(snapshot));
    }
    if !report.segments.is_empty() {
        text += "segments\n";
        let head = ["FILE", "INDEX", "ENTRIES", "TERM", "USED", "SIZE", ""];
        text += &table(head, report.segments.iter().map(segment));
    }
    if !report.other.is_empty() {
        text += &format!("{:<15}{}\n", "other files", report.other.join(", "));
    }
    text + &super::findings(report)
}

fn snapshot(snapshot: &SnapshotReport) -> [String; 6] {
    let databases = snapshot.databases.iter().map(|database| {
        let total = database.main.saturating_add(database.wal);
        format!("{} {}", database.name, size(total))
    });
    [
        snapshot.file.clone(),
        snapshot.index.to_string(),
        snapshot.term.to_string(),
        size(snapshot.size),
        if snapshot.sound {
            size(snapshot.content)
        } else {
            "DAMAGED".to_owned()
        },
        databases.collect::<Vec<_>>().join(", "),
    ]
}

fn segment(segment: &SegmentReport) -> [String; 7] {
    let range = |first: Option<u64>, last: Option<u64>| match (first, last) {
        (Some(first), Some(last)) if first == last => first.to_string(),
        (Some(first), Some(last)) => format!("{first}-{last}"),
        _ => "-".to_owned(),
    };
    let state = match (segment.loaded, segment.entries, segment.open) {
        (true, ..) => "",
        (false, 0, true) => "unused",
        (false, ..) => "not loaded",
    };
    [
        segment.file.clone(),
        range(segment.first_index, segment.last_index),
        segment.entries.to_string(),
        range(segment.first_term.or(segment.last_term), segment.last_term),
        size(segment.used),
        size(segment.size),
        state.to_owned(),
    ]
}
