//! Directories as dqlite writes them, put together at random.
#![allow(clippy::unwrap_used, dead_code)] // Each test uses some of it.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use two_node_ha_dqlite::{
    EntryType, Meta, NodeInfo, Role, Server, encode_batch, encode_configuration, encode_meta,
};

/// Whoever takes over.
pub const ME: u64 = 2;

/// A directory of a voter and a spare.
#[derive(Debug, Clone)]
pub struct Made {
    /// How many entries the snapshot covers, where there is one.
    pub snapshot: Option<u64>,
    /// How many of the closed segments' entries the snapshot has, too, at most.
    pub trailing: u64,
    /// The closed segments: of each batch, the sizes of its entries in words.
    pub closed: Vec<Vec<Vec<u8>>>,
    /// The open ones, likewise, and how many zeros follow.
    pub open: Vec<(Vec<Vec<u8>>, u16)>,
    /// What stands behind the last entry of the last open one that has some: part of a write.
    pub torn: bool,
    /// After how many entries the term rises.
    pub rises: u64,
    /// By how much the metadata's term is above the log's.
    pub above: u64,
}

pub fn members() -> Vec<Server> {
    let server = |id: u64, role| Server {
        id,
        address: format!("10.0.0.{id}:9000"),
        role,
    };
    vec![server(1, Role::Voter), server(ME, Role::Spare)]
}

pub fn me() -> NodeInfo {
    NodeInfo {
        id: ME,
        address: format!("10.0.0.{ME}:9000"),
        role: Role::Spare,
    }
}

/// Words of an entry: of a batch, of a segment.
fn batches() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let batch = prop::collection::vec(0..40_u8, 1..4);
    prop::collection::vec(batch, 1..5)
}

pub fn made() -> impl Strategy<Value = Made> {
    // Where none has an entry, it was prepared and not used.
    let open = prop_oneof![
        4 => batches(),
        1 => Just(Vec::new()),
    ];
    (
        prop::option::of(1..30_u64),
        0..12_u64,
        prop::collection::vec(batches(), 0..4),
        prop::collection::vec((open, prop_oneof![Just(0), 16..2000_u16]), 0..4),
        any::<bool>(),
        1..20_u64,
        0..3_u64,
    )
        .prop_map(
            |(snapshot, trailing, closed, mut open, torn, rises, above)| {
                // dqlite goes on to the next one when one is full: those behind an unused one are unused.
                open.sort_by_key(|(batches, _)| batches.is_empty());
                Made {
                    snapshot,
                    trailing,
                    closed,
                    open,
                    torn,
                    rises,
                    above,
                }
            },
        )
        // Some log there has to be.
        .prop_filter("empty", |made| {
            made.snapshot.is_some()
                || !made.closed.is_empty()
                || !made.open.iter().all(|(b, _)| b.is_empty())
        })
}

/// A segment's content: the format and the batches of entries that begin at an index.
struct Writer {
    index: u64,
    rises: u64,
}

impl Writer {
    fn term(&self, index: u64) -> u64 {
        2 + index / self.rises
    }

    fn segment(&mut self, batches: &[Vec<u8>]) -> Vec<u8> {
        let mut content = 1_u64.to_le_bytes().to_vec();
        let first = encode_configuration(&members());
        for batch in batches {
            let mut entries = Vec::new();
            for words in batch {
                let (kind, data) = match (self.index, words) {
                    (1, _) => (EntryType::Change, first.clone()),
                    (_, 0) => (EntryType::Barrier, vec![0; 8]),
                    (index, words) => {
                        let data = index.to_le_bytes().repeat(usize::from(*words));
                        (EntryType::Command, data)
                    }
                };
                entries.push((self.term(self.index), kind, data));
                self.index += 1;
            }
            let entries: Vec<_> = entries
                .iter()
                .map(|(term, kind, data)| (*term, *kind, data.as_slice()))
                .collect();
            content.extend(encode_batch(&entries));
        }
        content
    }
}

impl Made {
    /// Writes it. Returns the term of the log's last entry.
    pub fn write(&self, dir: &Path) -> u64 {
        let mut writer = Writer {
            index: 1,
            rises: self.rises,
        };
        if let Some(index) = self.snapshot {
            let name = format!("snapshot-{}-{index}-77", writer.term(index));
            // Not compressed: the format, and no database.
            let data: Vec<u8> = [1_u64, 0]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            fs::write(dir.join(&name), data).unwrap();
            let meta = Meta {
                configuration_index: 1,
                servers: members(),
            };
            fs::write(dir.join(format!("{name}.meta")), encode_meta(&meta)).unwrap();
            writer.index = (index + 1).saturating_sub(self.trailing).max(1);
        }
        let mut closed = Vec::new();
        for batches in &self.closed {
            let first = writer.index;
            let content = writer.segment(batches);
            closed.push((first, writer.index - 1, content));
        }
        // dqlite closes what is open before it takes a snapshot.
        let covered = self.snapshot.unwrap_or(0);
        if writer.index <= covered {
            let entries = usize::try_from(covered + 1 - writer.index).unwrap();
            let first = writer.index;
            let content = writer.segment(&[vec![1; entries]]);
            closed.push((first, covered, content));
        }
        for (first, last, content) in closed {
            fs::write(dir.join(format!("{first:016}-{last:016}")), content).unwrap();
        }
        let used = self.open.iter().filter(|(b, _)| !b.is_empty()).count();
        for (number, (batches, zeros)) in self.open.iter().enumerate() {
            let mut content = Vec::new();
            if !batches.is_empty() {
                content = writer.segment(batches);
            }
            let end = content.len();
            content.resize(end + usize::from(*zeros), 0);
            // One entry of 800 bytes, of which the first sector was written, up to its end.
            let sector = 512 - end % 512;
            if self.torn && number + 1 == used && *zeros > 0 {
                let whole = encode_batch(&[(9, EntryType::Command, &[7; 800])]);
                content.resize(end + 4096, 0);
                content[end..end + sector].copy_from_slice(&whole[..sector]);
            }
            fs::write(dir.join(format!("open-{}", number + 3)), content).unwrap();
        }
        let term = writer.term(writer.index.saturating_sub(1).max(covered));
        for (file, version) in [("metadata1", 5_u64), ("metadata2", 4)] {
            let words = [1, version, term + self.above, 1];
            let content: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            fs::write(dir.join(file), content).unwrap();
        }
        term
    }
}
