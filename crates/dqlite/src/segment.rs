//! Segments: the batches of log entries in a closed or an open one.
//!
//! Layout and rules: `uv_segment.c` and `uv_encoding.c` of dqlite. A segment is read once from
//! front to back in pieces; what is kept of it does not grow with it.

use std::io::{self, Read, Seek};

use crate::batch::{self, BatchFault, Window};
use crate::damage::{self, Damage};
use crate::entry::{Change, EntryType};
use crate::metadata::FORMAT;

/// Where the terms fall within a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fall {
    /// How many entries stand before the one with the lower term.
    pub before: u64,
    /// How many stand before its batch.
    pub batch_before: u64,
    /// The byte at which its batch starts.
    pub batch_at: u64,
}

/// The terms of a segment's entries. Those of CHANGE entries of term 1 are left out of `first`,
/// `highest` and `falls_at`: a recovery appends one, whatever the term was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// The first one.
    pub first: Option<u64>,
    /// The highest one, which in a sound log is the last one.
    pub highest: Option<u64>,
    /// The first one that is lower than one before it.
    pub falls_at: Option<Fall>,
    /// That of the last entry of all.
    pub last: Option<u64>,
}

impl Terms {
    pub(crate) fn take(&mut self, term: u64, kind: EntryType, place: Fall) {
        self.last = Some(term);
        if kind == EntryType::Change && term == 1 {
            return;
        }
        self.first.get_or_insert(term);
        if self.highest.is_some_and(|highest| term < highest) {
            self.falls_at.get_or_insert(place);
        }
        self.highest = self.highest.max(Some(term));
    }
}

/// What ends a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The last batch ends it.
    Whole,
    /// Nothing but zeros follows the last batch; as it should be in an open one, where the tail is
    /// allocated ahead.
    Zeros,
    /// There is not a byte in it.
    Empty,
    /// It is shorter than the word that says its format.
    Short,
    /// It is of another format; of format 0 and yet not all zeros.
    Format {
        /// The format.
        format: u64,
        /// How many entries are in it all the same, in batches as those of format 1.
        entries: u64,
    },
    /// A batch that cannot be read.
    Bad(Damage),
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its size in bytes.
    pub size: u64,
    /// How much of that is the format and whole batches.
    pub used: u64,
    /// The number of whole batches, up to the first bad one.
    pub batches: u64,
    /// The number of entries in them.
    pub entries: u64,
    /// Their terms.
    pub terms: Terms,
    /// The last configuration in them.
    pub change: Option<Change>,
    /// Whether the first entry of all is a configuration, as that of a log without a snapshot is.
    pub starts_with_change: bool,
    /// What follows them.
    pub end: End,
}

impl Segment {
    /// Whether dqlite loads it as a closed segment, the number of entries aside.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.end == End::Whole && self.entries > 0
    }

    /// Whether dqlite would find nothing in it, and there is nothing: an open segment that was
    /// prepared and not used.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.entries == 0 && matches!(self.end, End::Empty | End::Zeros)
    }
}

/// Reads a segment of `size` bytes.
///
/// # Errors
/// When it cannot be read. Whatever is wrong with the content is part of the answer.
pub fn read_segment<R: Read + Seek>(source: R, size: u64) -> io::Result<Segment> {
    let mut window = Window::new(source, size);
    let mut segment = Segment {
        size,
        used: 0,
        batches: 0,
        entries: 0,
        terms: Terms::default(),
        change: None,
        starts_with_change: false,
        end: End::Empty,
    };
    if size == 0 {
        return Ok(segment);
    }
    let Some(format) = window.word()? else {
        segment.end = End::Short;
        return Ok(segment);
    };
    if format != FORMAT {
        segment.end = if format == 0 && damage::only_zeros(&mut window, 8)? {
            End::Zeros
        } else {
            let entries = damage::behind(&mut window, 8)?;
            End::Format { format, entries }
        };
        return Ok(segment);
    }
    segment.used = 8;
    while segment.used < size {
        match batch::read(&mut window, segment.entries)? {
            Ok(batch) => {
                if segment.batches == 0 {
                    segment.starts_with_change = batch.starts_with_change;
                }
                for (term, kind, before) in batch.entries() {
                    let place = Fall {
                        before,
                        batch_before: segment.entries,
                        batch_at: segment.used,
                    };
                    segment.terms.take(term, kind, place);
                }
                segment.batches += 1;
                segment.entries += batch.count;
                segment.change = batch.change.or(segment.change);
                segment.used = window.position();
            }
            Err(fault) => {
                segment.end = after(&mut window, segment.used, fault)?;
                return Ok(segment);
            }
        }
    }
    // Of the format alone, dqlite would try to read a batch.
    segment.end = if segment.batches > 0 {
        End::Whole
    } else {
        End::Bad(Damage::of_nothing(segment.used))
    };
    Ok(segment)
}

/// What a batch that cannot be read at `used` makes of the end.
fn after<R: Read + Seek>(window: &mut Window<R>, used: u64, fault: BatchFault) -> io::Result<End> {
    // What is left of a file that was cut off within its zeros may be too short for a batch.
    let may_be_zeros = matches!(fault, BatchFault::NoEntries | BatchFault::Short { .. });
    if may_be_zeros && damage::only_zeros(window, used)? {
        return Ok(End::Zeros);
    }
    damage::look(window, used, fault).map(End::Bad)
}
