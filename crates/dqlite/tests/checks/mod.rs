//! What holds of every parser's answer, whatever the bytes. For the tests and the fuzz targets.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    dead_code
)]

use std::io::Cursor;

use two_node_ha_dqlite::repair::{Plan, PlanError};
use two_node_ha_dqlite::{
    Change, Closed, ConfigurationFault, Data, Database, End, EntryType, Fall, Meta, Metadata,
    MetadataFault, Open, ProblemKind, Report, Scan, Segment, Server, Snapshot, SnapshotName, Terms,
    Verdict, assess, decode_configuration, decode_meta, read_data, read_segment,
};

/// Reads bytes, and panics where the answer contradicts itself.
pub type Check = fn(&[u8]);

/// The parsers by name: the fuzz targets, and the folders of seeds.
pub const PARSERS: [(&str, Check); 6] = [
    ("configuration", configuration),
    ("data", data),
    ("log", log),
    ("meta", meta),
    ("metadata", metadata),
    ("segment", segment),
];

pub fn metadata(bytes: &[u8]) {
    match Metadata::decode(bytes, bytes.len() as u64) {
        Ok(metadata) => assert!(bytes.len() == 32 && metadata.version > 0),
        Err(MetadataFault::Short(size)) => assert!(size < 32),
        Err(MetadataFault::Long(size)) => assert!(size > 32),
        Err(MetadataFault::Format(format)) => assert_ne!(format, 1),
        Err(MetadataFault::NoVersion) => assert_eq!(bytes[8..16], [0; 8]),
    }
}

pub fn configuration(bytes: &[u8]) {
    if let Ok(servers) = decode_configuration(bytes) {
        // An id, an address that may be empty, a role.
        assert!(servers.len() * 10 <= bytes.len());
        let mut ids: Vec<_> = servers.iter().map(|server| server.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), servers.len());
    }
}

pub fn meta(bytes: &[u8]) {
    if decode_meta(bytes).is_ok() {
        assert!(bytes.len() > 32);
    }
}

pub fn data(bytes: &[u8]) {
    if let Ok(data) = read_data(Cursor::new(bytes)).unwrap() {
        let sizes = data
            .databases
            .iter()
            .map(|d| u128::from(d.main) + u128::from(d.wal));
        assert!(sizes.sum::<u128>() + 16 <= u128::from(data.size));
        assert!(data.compressed || data.size <= bytes.len() as u64);
    }
}

pub fn segment(bytes: &[u8]) {
    let found = read_segment(Cursor::new(bytes), bytes.len() as u64).unwrap();
    assert_eq!(found.size, bytes.len() as u64);
    assert!(found.used <= found.size);
    assert!(found.batches <= found.entries && (found.batches > 0) == (found.entries > 0));
    assert!(found.entries * 16 <= found.used);
    match &found.end {
        End::Whole => assert!(found.used == found.size && found.entries > 0),
        End::Zeros => assert!(
            bytes[usize::try_from(found.used).unwrap()..]
                .iter()
                .all(|b| *b == 0)
        ),
        End::Empty => assert!(bytes.is_empty()),
        End::Short => assert!(bytes.len() < 8),
        End::Format { format, .. } => assert_ne!(*format, 1),
        End::Bad(damage) => assert_eq!(damage.at, found.used),
    }
    if let Some(change) = &found.change {
        assert!(change.before < found.entries);
    }
}

/// A directory made up of the bytes: whatever its content, it has a verdict.
pub fn log(bytes: &[u8]) {
    let scan = made_up(bytes);
    let report = assess(&scan);
    well_formed(&report);
    // A repair ends, at something sound, and loses no more than was said.
    let nowhere = std::path::Path::new("/nowhere");
    match Plan::of_scan(nowhere, scan, Vec::new()) {
        Ok(plan) => {
            assert_eq!(plan.after.verdict, Verdict::Sound, "{plan:#?}");
            well_formed(&plan.after);
            // Of segments that claim the same indexes, nobody knows which one counts.
            let lossy = matches!(report.verdict, Verdict::Lossy(_))
                || report.problems.iter().any(|p| p.kind == ProblemKind::Order);
            assert!(lossy || plan.lost.is_none(), "{plan:#?}");
        }
        Err(PlanError::NoEnd { .. }) => panic!("{report:#?}"),
        // A segment would have to be cut, and there is none.
        Err(
            PlanError::Scan(_)
            | PlanError::NotDqlite
            | PlanError::NoRemedy(_)
            | PlanError::NothingLeft(_),
        ) => {}
    }
}

/// What holds of every report.
pub fn well_formed(report: &Report) {
    let json = serde_json::to_string(report).unwrap();
    assert_eq!(&serde_json::from_str::<Report>(&json).unwrap(), report);
    match report.verdict {
        Verdict::Sound | Verdict::NotDqlite => assert!(report.problems.is_empty(), "{report:#?}"),
        Verdict::Repairable => assert!(report.problems.iter().all(|problem| problem.lossless)),
        Verdict::Lossy(lost) => {
            assert!(lost.entries() > 0, "{report:#?}");
            assert!(report.problems.iter().any(|problem| !problem.lossless));
        }
    }
    for problem in &report.problems {
        assert!(
            !problem.detail.is_empty() && !problem.detail.ends_with('.'),
            "{problem:?}"
        );
        assert!(!(problem.lossless && problem.lost.is_some()), "{problem:?}");
    }
}

/// Small numbers, and now and then the largest ones.
fn number(bytes: &mut impl Iterator<Item = u8>) -> u64 {
    match bytes.next().unwrap_or(0) {
        255 => u64::MAX,
        254 => u64::MAX - 1,
        small => u64::from(small),
    }
}

fn content(bytes: &mut impl Iterator<Item = u8>) -> Segment {
    let entries = number(bytes).min(1 << 40);
    let kind = bytes.next().unwrap_or(0);
    let (term, size) = (number(bytes), 4096);
    let end = match kind % 8 {
        0..=3 => End::Whole,
        4 => End::Zeros,
        5 => End::Format {
            format: 7,
            entries: number(bytes),
        },
        6 => End::Short,
        _ => End::Empty,
    };
    let change = Change {
        before: 0,
        term,
        servers: match kind / 8 % 4 {
            0 => Err(ConfigurationFault::Short),
            _ => Ok(vec![Server {
                id: 1,
                address: "a:1".to_owned(),
                role: two_node_ha_dqlite::Role::Voter,
            }]),
        },
    };
    Segment {
        size,
        used: if end == End::Whole { size } else { 8 },
        batches: entries.min(1),
        entries,
        terms: Terms {
            first: (entries > 0).then_some(term),
            highest: (entries > 0).then_some(term),
            falls_at: (kind > 250).then_some(Fall {
                before: 0,
                batch_before: 0,
                batch_at: 8,
            }),
            last: (entries > 0).then_some(term),
        },
        change: (entries > 0 && kind & 64 > 0).then_some(change),
        starts_with_change: EntryType::from_byte(kind) == Some(EntryType::Change),
        end,
    }
}

fn made_up(bytes: &[u8]) -> Scan {
    let mut bytes = bytes.iter().copied();
    let mut scan = Scan::default();
    while let Some(what) = bytes.next() {
        match what % 8 {
            0..=2 => scan.closed.push(Closed {
                file: format!("closed-{}", scan.closed.len()),
                first: number(&mut bytes),
                last: number(&mut bytes),
                content: content(&mut bytes),
            }),
            3..=4 => scan.open.push(Open {
                file: format!("open-{}", scan.open.len()),
                counter: number(&mut bytes),
                content: content(&mut bytes),
            }),
            5..=6 => scan.snapshots.push(Snapshot {
                name: SnapshotName {
                    term: number(&mut bytes),
                    index: number(&mut bytes),
                    timestamp: scan.snapshots.len() as u64,
                },
                meta: (what & 8 == 0).then_some(match what & 16 {
                    0 => Ok(Meta {
                        configuration_index: 1,
                        servers: Vec::new(),
                    }),
                    _ => Err(two_node_ha_dqlite::MetaFault::Checksum),
                }),
                data: (what & 32 == 0).then_some(match what & 64 {
                    0 => Ok(Data {
                        compressed: true,
                        size: 16,
                        databases: vec![Database {
                            name: "k8s".to_owned(),
                            main: 0,
                            wal: 0,
                        }],
                    }),
                    _ => Err(two_node_ha_dqlite::DataFault::Empty),
                }),
                size: 7,
            }),
            _ => {
                scan.metadata[usize::from(what >> 7)] = Some(Ok(Metadata {
                    version: number(&mut bytes),
                    term: number(&mut bytes),
                    voted_for: 0,
                }));
            }
        }
    }
    scan.snapshots.sort_by_key(|snapshot| snapshot.name);
    scan.closed
        .sort_by_key(|segment| (segment.first, segment.last));
    scan.open.sort_by_key(|segment| segment.counter);
    scan
}
