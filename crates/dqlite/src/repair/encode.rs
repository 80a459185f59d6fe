//! Entries as closed segments. Layout: see [`crate::segment`].

use crate::encode::encode_batch;
use crate::entries::{Entries, Entry};
use crate::loss::Loss;
use crate::metadata::FORMAT;
use crate::scan_error::ScanError;

/// How large a segment, and how large a batch in it, gets before the next one is begun. dqlite's
/// own segments have 8 MiB.
const SEGMENT: usize = 8 * 1024 * 1024;
const BATCH: usize = 1024 * 1024;

/// A closed segment as it is on the disk.
pub(super) struct Encoded {
    /// The index of its first entry.
    pub first: u64,
    /// How many entries it has.
    pub entries: u64,
    /// The file's content.
    pub content: Vec<u8>,
}

/// Some entries of a log as closed segments, one after the other; false where the log does not have
/// them all.
pub(super) fn segments<E: From<ScanError>>(
    log: &mut Entries,
    range: Loss,
    mut take: impl FnMut(Encoded) -> Result<(), E>,
) -> Result<bool, E> {
    let mut expected = range.first;
    let mut segment = Encoded::begin(expected);
    let (mut batch, mut pending) = (Vec::new(), 0);
    while expected <= range.last {
        let Some(entry) = log.next()?.filter(|entry| entry.index == expected) else {
            return Ok(false);
        };
        expected += 1;
        pending += 16 + entry.data.len();
        batch.push(entry);
        let is_last = expected > range.last;
        if pending >= BATCH || is_last {
            pending = 0;
            segment.add(&std::mem::take(&mut batch));
        }
        if segment.content.len() >= SEGMENT || is_last {
            take(std::mem::replace(&mut segment, Encoded::begin(expected)))?;
        }
    }
    Ok(true)
}

impl Encoded {
    fn begin(first: u64) -> Self {
        Self {
            first,
            entries: 0,
            content: FORMAT.to_le_bytes().to_vec(),
        }
    }

    fn add(&mut self, batch: &[Entry]) {
        let rows = batch.iter().map(|e| (e.term, e.kind, e.data.as_slice()));
        let rows: Vec<_> = rows.collect();
        self.content.extend(encode_batch(&rows));
        self.entries += batch.len() as u64;
    }
}
