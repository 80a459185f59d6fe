//! What a batch that cannot be read is: the torn end of a write, or damage.
//!
//! The difference matters. dqlite writes to one open segment at a time, whole blocks of it, and
//! one write after the other: a write that a crash cut off is the last thing in the log, and was
//! never acknowledged. dqlite drops it in silence, and is right. It drops in the same silence
//! everything behind a batch in the middle of the log that has rotted, and that loses data.

use std::io::{self, Read, Seek};

use crate::batch::{self, BatchFault, ENTRY, MOST_ENTRIES, PIECE, PREAMBLE, Window};
use crate::bytes::Bytes;
use crate::crc::{Crc, FlippedBit, flipped_bit};
use crate::entry::EntryType;

/// The smallest unit that a disk writes whole. What a write did not reach still holds the zeros
/// that were allocated ahead.
const SECTOR: u64 = 512;
/// How many bytes are checksummed in search of batches behind the bad one.
const BUDGET: u64 = 256 * 1024 * 1024;
/// The longest batch in which a flipped bit is searched for.
const LONGEST_SEARCH: u64 = 16 * 1024 * 1024;

static ZEROS: [u8; PIECE] = [0; PIECE];

/// A batch that cannot be read, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The byte at which it starts.
    pub at: u64,
    /// What is wrong with it.
    pub fault: BatchFault,
    /// What that looks like.
    pub nature: Nature,
    /// How many entries it has, where its header can be believed.
    pub entries: Option<u64>,
    /// How many entries are in whole batches behind it.
    pub behind: u64,
}

/// What a batch that cannot be read looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// A write that did not reach the disk whole: some of its sectors still hold zeros, and nothing
    /// follows.
    Torn,
    /// The file ends within it.
    CutOff,
    /// One bit, no more, is not as it was written.
    FlippedBit,
    /// Anything else.
    Unknown,
}

impl Damage {
    /// A segment in which nothing follows the format.
    pub(crate) fn of_nothing(at: u64) -> Self {
        Self {
            at,
            fault: BatchFault::Short { missing: PREAMBLE },
            nature: Nature::CutOff,
            entries: None,
            behind: 0,
        }
    }
}

/// Whether there are only zeros from `from` on.
pub(crate) fn only_zeros<R: Read + Seek>(window: &mut Window<R>, from: u64) -> io::Result<bool> {
    Ok(end_of_data(window, from)? == from)
}

/// Where the last byte behind `from` that is not zero ends; `from` where there is none.
fn end_of_data<R: Read + Seek>(window: &mut Window<R>, from: u64) -> io::Result<u64> {
    window.seek(from)?;
    let mut end = from;
    loop {
        let start = window.position();
        let some = window.some(u64::MAX)?;
        if some.is_empty() {
            return Ok(end);
        }
        // Nothing but zeros is the rule, and comparing memory is quicker than looking at bytes.
        if *some != ZEROS[..some.len()] {
            let last = some.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            end = start + last as u64 + 1;
        }
    }
}

/// Looks at the batch at `at`, which has that fault, and at what follows it.
pub(crate) fn look<R: Read + Seek>(
    window: &mut Window<R>,
    at: u64,
    fault: BatchFault,
) -> io::Result<Damage> {
    let mut entries = None;
    let mut search = at + 8;
    let nature = match fault {
        BatchFault::Short { .. } => Nature::CutOff,
        BatchFault::UnknownType(_) => Nature::Unknown,
        BatchFault::Data {
            stored,
            computed,
            len,
            end,
            entries: count,
        } => {
            entries = Some(count);
            search = end;
            let flipped = (len <= LONGEST_SEARCH)
                .then(|| flipped_bit(stored, computed, len))
                .flatten();
            let place = flipped.map(|bit| place(bit, at + 4, end));
            nature_of(window, at, end, place)?
        }
        BatchFault::Header {
            stored,
            computed,
            len,
        } if flipped_bit(stored, computed, len).is_some() => {
            let header_end = at + 8 + len;
            let end = end_of_data(window, at)?.max(header_end);
            let flipped = flipped_bit(stored, computed, len);
            let place = flipped.map(|bit| place(bit, at, header_end));
            nature_of(window, at, end, place)?
        }
        BatchFault::Header { .. } | BatchFault::NoEntries | BatchFault::TooMany(_) => {
            entries = flipped_count(window, at)?;
            if entries.is_some() {
                Nature::FlippedBit
            } else {
                // Zeros may be what is missing of the header itself.
                let header_end = match fault {
                    BatchFault::Header { len, .. } => at + 8 + len,
                    BatchFault::NoEntries
                    | BatchFault::TooMany(_)
                    | BatchFault::Short { .. }
                    | BatchFault::UnknownType(_)
                    | BatchFault::Data { .. } => at + PREAMBLE + ENTRY,
                };
                let end = end_of_data(window, at)?.max(header_end);
                nature_of(window, at, end, None)?
            }
        }
    };
    let behind = behind(window, search)?;
    Ok(Damage {
        at,
        fault,
        // A torn write is the last one.
        nature: if nature == Nature::Torn && behind > 0 {
            Nature::Unknown
        } else {
            nature
        },
        entries,
        behind,
    })
}

/// The byte that a flipped bit is in: of the checksum at `checksum`, or of the bytes up to `end`.
fn place(bit: FlippedBit, checksum: u64, end: u64) -> u64 {
    match bit {
        FlippedBit::InChecksum => checksum,
        FlippedBit::InBytes { following } => end.saturating_sub(following + 1),
    }
}

/// What the batch from `at` to `end` is, of which the checksum is wrong: torn if a sector's piece of it
/// holds nothing but zeros, however short that piece is. Where one flipped bit would explain it, too, the
/// zeros do only if the bit would be among them.
///
/// A batch of which several bits have rotted, and which has such a piece by nature, is called torn as
/// well. Nothing tells the two apart, dqlite drops both, and the end of the log is torn after every other
/// power cut.
fn nature_of<R: Read + Seek>(
    window: &mut Window<R>,
    at: u64,
    end: u64,
    flipped: Option<u64>,
) -> io::Result<Nature> {
    let otherwise = match flipped {
        Some(_) => Nature::FlippedBit,
        None => Nature::Unknown,
    };
    window.seek(at)?;
    let mut position = at;
    while position < end {
        let piece = position;
        let piece_end = ((position / SECTOR + 1) * SECTOR).min(end);
        let mut zeros = true;
        while position < piece_end {
            let some = window.some(piece_end - position)?;
            if some.is_empty() {
                return Ok(otherwise);
            }
            zeros &= some.iter().all(|byte| *byte == 0);
            position += some.len() as u64;
        }
        if zeros && flipped.is_none_or(|byte| (piece..piece_end).contains(&byte)) {
            return Ok(Nature::Torn);
        }
    }
    Ok(otherwise)
}

/// The number of entries that makes the header's checksum right, where it is one bit away from the
/// one that is written.
fn flipped_count<R: Read + Seek>(window: &mut Window<R>, at: u64) -> io::Result<Option<u64>> {
    let mut preamble = [0; PREAMBLE as usize];
    window.seek(at)?;
    if !window.fill(&mut preamble)? {
        return Ok(None);
    }
    let mut words = Bytes(&preamble);
    let (Some(stored), Some(_), Some(written)) = (words.u32(), words.u32(), words.u64()) else {
        return Ok(None);
    };
    for bit in 0..u64::BITS {
        let count = written ^ (1 << bit);
        if count == 0 || count > MOST_ENTRIES || at + PREAMBLE + count * 16 > window.size {
            continue;
        }
        let mut crc = Crc::new();
        crc.update(&count.to_le_bytes());
        window.seek(at + PREAMBLE)?;
        if window.checked(&mut crc, count * 16)? && crc.value() == stored {
            return Ok(Some(count));
        }
    }
    Ok(None)
}

/// The number of entries in whole batches from `from` on, wherever they start.
pub(crate) fn behind<R: Read + Seek>(window: &mut Window<R>, from: u64) -> io::Result<u64> {
    /// A batch's preamble and first entry.
    const START: usize = 32;
    let mut entries = 0;
    let mut budget = BUDGET;
    let mut piece = vec![0; 64 * 1024];
    let mut at = from.next_multiple_of(8);
    while at < window.size {
        let len = usize::try_from(window.size - at)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        window.seek(at)?;
        if len < START || !window.fill(&mut piece[..len])? {
            break;
        }
        let mut next = at + (len - START) as u64 / 8 * 8 + 8;
        for offset in (0..=len - START).step_by(8) {
            let place = at + offset as u64;
            let Some(count) = plausible(&piece[offset..offset + START], window.size - place) else {
                continue;
            };
            budget = budget.saturating_sub(count * 16);
            if budget == 0 {
                return Ok(entries);
            }
            window.seek(place)?;
            match batch::read(window, 0)? {
                Ok(batch) => entries += batch.count,
                Err(BatchFault::Data { len, .. }) => {
                    budget = budget.saturating_sub(len);
                    continue;
                }
                Err(_) => continue,
            }
            next = window.position();
            break;
        }
        at = next;
    }
    Ok(entries)
}

/// The number of entries of what may be a batch, of `left` bytes at most.
fn plausible(start: &[u8], left: u64) -> Option<u64> {
    let mut start = Bytes(start);
    start.take(8)?;
    let count = start.u64()?;
    start.take(8)?;
    EntryType::from_byte(start.u8()?)?;
    let padding = start.take(3)?;
    (count > 0
        && count <= MOST_ENTRIES
        && PREAMBLE + count * 16 <= left
        && padding.iter().all(|byte| *byte == 0))
    .then_some(count)
}
