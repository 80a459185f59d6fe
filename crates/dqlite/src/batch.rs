//! One batch of entries, and the window through which a segment is read.

use std::io::{self, Read, Seek, SeekFrom};

use thiserror::Error;

use crate::bytes::Bytes;
use crate::configuration::decode_configuration;
use crate::crc::{Crc, crc32};
use crate::entry::{Change, EntryType};

/// The most entries that dqlite takes for possible in a batch: 8 MiB in pieces of four words.
pub const MOST_ENTRIES: u64 = 8 * 1024 * 1024 / 32;
/// The two checksums and the number of entries.
pub(crate) const PREAMBLE: u64 = 16;
/// What an entry takes up in the header.
pub(crate) const ENTRY: u64 = 16;
/// How much is read at a time: small enough to still be in the processor's cache for the checksum.
pub(crate) const PIECE: usize = 128 * 1024;
/// The longest configuration that is decoded; dqlite's own limit for the one in a snapshot.
const LONGEST_CHANGE: u64 = 1024 * 1024;

/// Why a batch cannot be read; in the order in which dqlite looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BatchFault {
    /// The file ends within it: dqlite refuses to start, of an open segment too.
    #[error("the file ends within it, {missing} bytes short")]
    Short {
        /// How many bytes more there should be.
        missing: u64,
    },
    /// It counts no entries.
    #[error("it counts no entries")]
    NoEntries,
    /// It counts more entries than there can be.
    #[error("it counts {0} entries, more than there can be")]
    TooMany(u64),
    /// The header's checksum is wrong.
    #[error("the checksum of its header is wrong")]
    Header {
        /// As in the file.
        stored: u32,
        /// As it should be.
        computed: u32,
        /// The header's size.
        len: u64,
    },
    /// An entry is of no known type.
    #[error("an entry is of the unknown type {0}")]
    UnknownType(u8),
    /// The data's checksum is wrong.
    #[error("the checksum of its data is wrong")]
    Data {
        /// As in the file.
        stored: u32,
        /// As it should be.
        computed: u32,
        /// The data's size.
        len: u64,
        /// Where the batch ends by its header.
        end: u64,
        /// How many entries it should have.
        entries: u64,
    },
}

/// A batch.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// How many entries.
    pub count: u64,
    /// The last configuration among them.
    pub change: Option<Change>,
    /// Whether the first entry is one.
    pub starts_with_change: bool,
    /// The header behind the count: 16 bytes an entry.
    table: &'a [u8],
    before: u64,
}

impl Batch<'_> {
    /// Term, type, and number of entries before it, of each entry.
    pub fn entries(&self) -> impl Iterator<Item = (u64, EntryType, u64)> + '_ {
        (self.before..)
            .zip(rows(self.table))
            .filter_map(|(before, (term, kind, _))| {
                Some((term, EntryType::from_byte(kind)?, before))
            })
    }
}

/// Term, type and length of each entry.
pub(crate) fn rows(table: &[u8]) -> impl Iterator<Item = (u64, u8, u32)> + '_ {
    table.chunks_exact(16).filter_map(|row| {
        let mut row = Bytes(row);
        let (term, kind) = (row.u64()?, row.u8()?);
        row.take(3)?;
        Some((term, kind, row.u32()?))
    })
}

/// Reads the batch at the window's position. `before` is how many entries precede it.
///
/// After a fault the position means nothing.
pub(crate) fn read<R: Read + Seek>(
    window: &mut Window<R>,
    before: u64,
) -> io::Result<Result<Batch<'_>, BatchFault>> {
    let left = window.size - window.position();
    let short = |needed: u64| BatchFault::Short {
        missing: needed.saturating_sub(left),
    };
    let mut preamble = [0; PREAMBLE as usize];
    if left < PREAMBLE || !window.fill(&mut preamble)? {
        return Ok(Err(short(PREAMBLE)));
    }
    let mut words = Bytes(&preamble);
    let (Some(stored_header), Some(stored_data), Some(count)) =
        (words.u32(), words.u32(), words.u64())
    else {
        return Ok(Err(short(PREAMBLE)));
    };
    if count == 0 {
        return Ok(Err(BatchFault::NoEntries));
    }
    if count > MOST_ENTRIES {
        return Ok(Err(BatchFault::TooMany(count)));
    }
    let header_end = PREAMBLE + count * ENTRY;
    if left < header_end {
        return Ok(Err(short(header_end)));
    }
    let mut table = std::mem::take(&mut window.table);
    table.clear();
    table.extend_from_slice(&preamble[8..]);
    let whole = window.append(&mut table, count * ENTRY)?;
    window.table = table;
    if !whole {
        return Ok(Err(short(header_end)));
    }
    let computed = crc32(&window.table);
    if computed != stored_header {
        return Ok(Err(BatchFault::Header {
            stored: stored_header,
            computed,
            len: window.table.len() as u64,
        }));
    }
    // Out of the window while the data is read through it; put back below.
    let table = std::mem::take(&mut window.table);
    let read = data(
        window,
        &table[8..],
        stored_data,
        count,
        before,
        left - header_end,
    );
    window.table = table;
    let change = match read? {
        Ok(change) => change,
        Err(fault) => return Ok(Err(fault)),
    };
    let table = &window.table[8..];
    let starts_with_change = rows(table)
        .next()
        .map(|row| row.1)
        .and_then(EntryType::from_byte)
        == Some(EntryType::Change);
    Ok(Ok(Batch {
        count,
        change,
        starts_with_change,
        table,
        before,
    }))
}

/// The data of a batch, of which `left` bytes at most are there.
fn data<R: Read + Seek>(
    window: &mut Window<R>,
    table: &[u8],
    stored: u32,
    count: u64,
    before: u64,
    left: u64,
) -> io::Result<Result<Option<Change>, BatchFault>> {
    let mut len = 0;
    for (_, kind, entry) in rows(table) {
        if EntryType::from_byte(kind).is_none() {
            return Ok(Err(BatchFault::UnknownType(kind)));
        }
        len += u64::from(entry);
    }
    if len > left {
        return Ok(Err(BatchFault::Short {
            missing: len - left,
        }));
    }
    let end = window.position() + len;
    let mut crc = Crc::new();
    let mut change = None;
    // Most batches have no configuration: their data goes through in one.
    let mut pending = 0;
    for (number, (term, kind, entry)) in (before..).zip(rows(table)) {
        let entry = u64::from(entry);
        if EntryType::from_byte(kind) != Some(EntryType::Change) || entry > LONGEST_CHANGE {
            pending += entry;
            continue;
        }
        let mut content = Vec::new();
        let whole = window.checked(&mut crc, pending)? && window.append(&mut content, entry)?;
        pending = 0;
        if !whole {
            return Ok(Err(BatchFault::Short {
                missing: end - window.position(),
            }));
        }
        crc.update(&content);
        change = Some(Change {
            before: number,
            term,
            servers: decode_configuration(&content),
        });
    }
    if !window.checked(&mut crc, pending)? {
        return Ok(Err(BatchFault::Short {
            missing: end - window.position(),
        }));
    }
    let computed = crc.value();
    if computed != stored {
        return Ok(Err(BatchFault::Data {
            stored,
            computed,
            len,
            end,
            entries: count,
        }));
    }
    Ok(Ok(change))
}

/// A file seen through a buffer, with its position.
#[derive(Debug)]
pub(crate) struct Window<R> {
    source: R,
    /// The file's size when it was opened; it may have been cut off since, never grown.
    pub size: u64,
    buffer: Vec<u8>,
    /// What of the buffer is unread.
    start: usize,
    end: usize,
    /// Where in the file the buffer's end is.
    behind: u64,
    /// The header of the batch last read, from the count on.
    table: Vec<u8>,
}

impl<R: Read + Seek> Window<R> {
    pub fn new(source: R, size: u64) -> Self {
        Self {
            source,
            size,
            // No larger than needed: most directories have many small files.
            buffer: vec![0; usize::try_from(size).unwrap_or(PIECE).clamp(1, PIECE)],
            start: 0,
            end: 0,
            behind: 0,
            table: Vec::new(),
        }
    }

    /// Where the next byte comes from.
    pub fn position(&self) -> u64 {
        self.behind - (self.end - self.start) as u64
    }

    /// Goes to a place in the file.
    pub fn seek(&mut self, position: u64) -> io::Result<()> {
        self.source.seek(SeekFrom::Start(position))?;
        (self.start, self.end, self.behind) = (0, 0, position);
        Ok(())
    }

    /// Some bytes more, at most `most`; none at the file's end.
    pub fn some(&mut self, most: u64) -> io::Result<&[u8]> {
        if self.start == self.end {
            // Not beyond the size, which decides what is missing.
            let room = self.size.saturating_sub(self.behind);
            let room = usize::try_from(room)
                .unwrap_or(PIECE)
                .min(self.buffer.len());
            let read = loop {
                match self.source.read(&mut self.buffer[..room]) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            (self.start, self.end) = (0, read);
            self.behind += read as u64;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let from = self.start;
        self.start += most.min(self.end - self.start);
        Ok(&self.buffer[from..self.start])
    }

    /// Fills `out`; false where the file ends before.
    pub fn fill(&mut self, out: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < out.len() {
            let some = self.some((out.len() - filled) as u64)?;
            if some.is_empty() {
                return Ok(false);
            }
            out[filled..filled + some.len()].copy_from_slice(some);
            filled += some.len();
        }
        Ok(true)
    }

    /// Appends `len` bytes to `out`; false where the file ends before.
    pub fn append(&mut self, out: &mut Vec<u8>, len: u64) -> io::Result<bool> {
        self.each(len, |some| out.extend_from_slice(some))
    }

    /// Takes `len` bytes into a checksum; false where the file ends before.
    pub fn checked(&mut self, crc: &mut Crc, len: u64) -> io::Result<bool> {
        self.each(len, |some| crc.update(some))
    }

    fn each(&mut self, mut len: u64, mut see: impl FnMut(&[u8])) -> io::Result<bool> {
        while len > 0 {
            let some = self.some(len)?;
            if some.is_empty() {
                return Ok(false);
            }
            see(some);
            len -= some.len() as u64;
        }
        Ok(true)
    }

    /// The next word, where there is a whole one.
    pub fn word(&mut self) -> io::Result<Option<u64>> {
        let mut word = [0; 8];
        Ok(self.fill(&mut word)?.then_some(u64::from_le_bytes(word)))
    }
}
