//! The entries of a log one by one, with what is in them: to compare two logs, and to copy entries
//! from one into the other.
//!
//! Entries carry no index, so each segment is read with the index of its first entry, as the
//! assessment has found it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::assess::assess;
use crate::batch::{MOST_ENTRIES, PREAMBLE, Window};
use crate::bytes::Bytes;
use crate::crc::{Crc, crc32};
use crate::entry::EntryType;
use crate::loss::Loss;
use crate::metadata::FORMAT;
use crate::report::Report;
use crate::scan::{Scan, scan};
use crate::scan_error::{ScanError, io_error};

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// What it is.
    pub kind: EntryType,
    /// What it says.
    pub data: Vec<u8>,
}

/// A segment of which the place in the log is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The file, within the directory.
    pub file: String,
    /// The index of its first entry.
    pub first: u64,
    /// How many whole entries there are.
    pub entries: u64,
}

impl Part {
    /// The index of the last entry.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.entries.saturating_sub(1))
    }
}

/// The segments that dqlite loads, or would once the directory is repaired: one log without a gap.
pub(crate) fn loaded(report: &Report) -> Vec<Part> {
    let loaded = report.segments.iter().filter(|segment| segment.loaded);
    let mut parts: Vec<_> = loaded
        .filter_map(|segment| {
            Some(Part {
                file: segment.file.clone(),
                first: segment.first_index?,
                entries: segment.entries,
            })
        })
        .collect();
    parts.sort_by_key(|part| part.first);
    parts
}

/// All segments whose entries are sound and whose place is certain: the loaded ones, and closed
/// ones that hold what their name promises.
pub(crate) fn known(scan: &Scan, report: &Report) -> Vec<Part> {
    let mut parts = loaded(report);
    for closed in &scan.closed {
        let promised = closed.last.checked_sub(closed.first);
        let whole = promised.and_then(|n| n.checked_add(1)) == Some(closed.content.entries);
        if whole && !parts.iter().any(|part| part.file == closed.file) {
            parts.push(Part {
                file: closed.file.clone(),
                first: closed.first,
                entries: closed.content.entries,
            });
        }
    }
    parts.sort_by_key(|part| part.first);
    parts
}

/// The range of indexes that parts without a gap have.
pub(crate) fn range(parts: &[Part]) -> Option<Loss> {
    Some(Loss {
        first: parts.first()?.first,
        last: parts.last()?.last(),
    })
}

/// All entries of a log that are still in segments, with what is in them: for a log that fits into
/// the memory. Its node may be running.
///
/// # Errors
/// When the directory cannot be read or changes too fast.
pub fn entries(dir: &Path) -> Result<Vec<Entry>, ScanError> {
    let parts = loaded(&assess(&scan(dir)?));
    let mut log = Entries::new(dir, parts, 0);
    let mut all = Vec::new();
    while let Some(entry) = log.next()? {
        all.push(entry);
    }
    Ok(all)
}

/// The entries of some segments, in the order of their indexes. Holds one batch's header and one
/// entry at a time.
pub(crate) struct Entries {
    dir: PathBuf,
    parts: VecDeque<Part>,
    from: u64,
    reader: Option<Reader>,
}

/// A segment that is being read.
struct Reader {
    path: PathBuf,
    window: Window<File>,
    next: u64,
    last: u64,
    /// The rows of the batch at hand that are still to come.
    rows: VecDeque<(u64, EntryType, u32)>,
    /// Over the data of the batch at hand, and what it should come to.
    crc: Crc,
    expected: u32,
}

impl Entries {
    /// From the entry with index `from` on, or the first one behind it.
    pub fn new(dir: &Path, parts: Vec<Part>, from: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            parts: parts.into(),
            from,
            reader: None,
        }
    }

    /// The next entry. `Ok(None)`: there is none.
    pub fn next(&mut self) -> Result<Option<Entry>, ScanError> {
        loop {
            let reader = match &mut self.reader {
                Some(reader) if reader.next <= reader.last => reader,
                _ => {
                    let Some(part) = self.parts.pop_front() else {
                        return Ok(None);
                    };
                    if part.entries == 0 || part.last() < self.from {
                        continue;
                    }
                    let path = self.dir.join(&part.file);
                    let reader = Reader::open(&path, &part).map_err(|e| changed(&path, e))?;
                    self.reader.insert(reader)
                }
            };
            let wanted = reader.next >= self.from;
            let entry = reader.entry(wanted).map_err(|e| changed(&reader.path, e))?;
            if wanted {
                return Ok(Some(entry));
            }
        }
    }
}

/// What was whole when it was scanned and is not any more has changed in between.
fn changed(path: &Path, error: io::Error) -> ScanError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData => {
            ScanError::Unsettled(path.to_owned())
        }
        _ => io_error(path)(error),
    }
}

fn other_than_scanned() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

impl Reader {
    fn open(path: &Path, part: &Part) -> io::Result<Self> {
        let source = File::open(path)?;
        let size = source.metadata()?.len();
        let mut window = Window::new(source, size);
        if window.word()? != Some(FORMAT) {
            return Err(other_than_scanned());
        }
        Ok(Self {
            path: path.to_owned(),
            window,
            next: part.first,
            last: part.last(),
            rows: VecDeque::new(),
            crc: Crc::new(),
            expected: 0,
        })
    }

    fn entry(&mut self, wanted: bool) -> io::Result<Entry> {
        if self.rows.is_empty() {
            self.header()?;
        }
        let Some((term, kind, len)) = self.rows.pop_front() else {
            return Err(other_than_scanned());
        };
        let mut data = Vec::new();
        let len = u64::from(len);
        let whole = if wanted {
            let whole = self.window.append(&mut data, len)?;
            self.crc.update(&data);
            whole
        } else {
            self.window.checked(&mut self.crc, len)?
        };
        if !whole || self.rows.is_empty() && self.crc.value() != self.expected {
            return Err(other_than_scanned());
        }
        let index = self.next;
        self.next += 1;
        Ok(Entry {
            index,
            term,
            kind,
            data,
        })
    }

    /// Reads a batch's header.
    fn header(&mut self) -> io::Result<()> {
        let mut preamble = [0; PREAMBLE as usize];
        if !self.window.fill(&mut preamble)? {
            return Err(other_than_scanned());
        }
        let mut words = Bytes(&preamble);
        let (Some(header), Some(data), Some(count)) = (words.u32(), words.u32(), words.u64())
        else {
            return Err(other_than_scanned());
        };
        let mut table = preamble[8..].to_vec();
        if count == 0 || count > MOST_ENTRIES || !self.window.append(&mut table, count * 16)? {
            return Err(other_than_scanned());
        }
        if crc32(&table) != header {
            return Err(other_than_scanned());
        }
        for (term, kind, len) in crate::batch::rows(&table[8..]) {
            let kind = EntryType::from_byte(kind).ok_or_else(other_than_scanned)?;
            self.rows.push_back((term, kind, len));
        }
        (self.crc, self.expected) = (Crc::new(), data);
        Ok(())
    }
}
