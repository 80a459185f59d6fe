//! The sparse copy, and the checksum of data that has holes.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crc_fast::CrcAlgorithm;
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::statvfs::fstatvfs;

use crate::effects;
use crate::error::{Refused, io_error};
use crate::make::{Limits, Progress};
use crate::pace::{Pace, Verdict};
use crate::source::{Buffer, Source};
use crate::space::{self, Space};
use crate::sys;

/// The unit in which zeros are left out.
pub const BLOCK: usize = 4096;
/// Bytes read at once.
pub const CHUNK: usize = 1 << 20;
/// Bytes after which the disk is waited for: no single wait is long, so that a deadline is kept
/// on a slow disk too.
const WINDOW: u64 = 8 << 20;

const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// A checksum of data under way: CRC-64/NVME over each block of 4 KiB that is not zero, with its
/// offset before it (64 bits, little end first). Zeros change nothing, however they are stored.
#[derive(Debug, Clone)]
pub struct Digest(crc_fast::Digest);

impl Default for Digest {
    fn default() -> Self {
        Self(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme))
    }
}

impl Digest {
    /// Takes in what begins at `offset`, a multiple of 4 KiB.
    pub fn update(&mut self, offset: u64, bytes: &[u8]) {
        for (index, block) in bytes.chunks(BLOCK).enumerate() {
            if !is_zero(block) {
                let at = offset + (index * BLOCK) as u64;
                self.0.update(&at.to_le_bytes());
                self.0.update(block);
            }
        }
    }

    /// Sixteen hexadecimal digits.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:016x}", self.0.finalize())
    }
}

/// Whether a block of at most 4 KiB holds zeros only.
pub fn is_zero(block: &[u8]) -> bool {
    ZEROS.get(..block.len()) == Some(block)
}

/// Copies all that is not zero into an empty file, and makes it durable. Returns the checksum.
pub fn copy(
    source: &Source,
    target: &File,
    path: &Path,
    limits: &Limits,
    progress: &mut dyn Progress,
) -> Result<Digest, Refused> {
    let failed = |doing| move |error: io::Error| write_error(doing, path, error);
    let began = Instant::now();
    let allowed = limits.left(began);
    effects::set_size(target, path, source.size).map_err(failed("write"))?;
    let _ = posix_fadvise(
        &source.file,
        0,
        0,
        PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL,
    );
    let mut digest = Digest::default();
    let mut buffer = Buffer::new(CHUNK);
    let mut window = Window::default();
    let mut total = source.allocated.min(source.size);
    let (mut at, mut done) = (0, 0_u64);
    while let Some((begin, end)) = source.data(at).map_err(failed("look for data in"))? {
        at = begin / BLOCK as u64 * BLOCK as u64;
        while at < end {
            let bytes = buffer.bytes();
            // The blocks are whole even where a stretch of data ends within one.
            let want = (source.size - at).min(end.next_multiple_of(BLOCK as u64) - at);
            let want = usize::try_from(want).unwrap_or(CHUNK).min(CHUNK);
            let Some(bytes) = bytes.get_mut(..want) else {
                break;
            };
            let got = source
                .read_at(bytes, at)
                .map_err(failed("read the backing data for"))?;
            if got != want {
                let error = io::Error::other("the backing data became shorter meanwhile");
                return Err(failed("make")(error));
            }
            digest.update(at, bytes);
            window.written += write_data(target, path, bytes, at).map_err(failed("write"))?;
            at += want as u64;
            done += want as u64;
            total = total.max(done);
            if window.written >= WINDOW {
                window.turn(target, at).map_err(failed("write"))?;
                room(target, path)?;
                // Neither will be read again soon, and others need the memory.
                let _ = posix_fadvise(
                    &source.file,
                    0,
                    offset(at),
                    PosixFadviseAdvice::POSIX_FADV_DONTNEED,
                );
            }
            progress.step(done, total);
            if progress.is_over() {
                return Err(Refused::GivenUp);
            }
            if let Some(allowed) = allowed {
                in_time(began.elapsed(), allowed, done, total - done)?;
            }
        }
        at = at.max(end);
    }
    effects::sync(target, path).map_err(failed("sync"))?;
    let _ = posix_fadvise(
        target.as_fd(),
        0,
        0,
        PosixFadviseAdvice::POSIX_FADV_DONTNEED,
    );
    Ok(digest)
}

fn in_time(elapsed: Duration, allowed: Duration, done: u64, left: u64) -> Result<(), Refused> {
    let pace = Pace {
        elapsed,
        allowed,
        done,
        left,
    };
    match pace.verdict() {
        Verdict::GoOn => Ok(()),
        Verdict::Up => Err(Refused::Deadline { allowed }),
        Verdict::Slow(projected, rate) => Err(Refused::Slow {
            projected,
            allowed,
            rate: space::words(rate),
        }),
    }
}

/// Writes the runs of blocks that are not zero; returns how many bytes.
fn write_data(target: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<u64> {
    let mut written = 0;
    let mut run: Option<(usize, usize)> = None;
    let put = |(begin, end): (usize, usize)| {
        let run = bytes.get(begin..end).unwrap_or_default();
        effects::write(target, path, run, offset + begin as u64)?;
        Ok::<_, io::Error>(run.len() as u64)
    };
    let mut at = 0;
    for block in bytes.chunks(BLOCK) {
        let end = at + block.len();
        run = match (run, is_zero(block)) {
            (Some(run), true) => {
                written += put(run)?;
                None
            }
            (Some((begin, _)), false) => Some((begin, end)),
            (None, true) => None,
            (None, false) => Some((at, end)),
        };
        at = end;
    }
    if let Some(run) = run {
        written += put(run)?;
    }
    Ok(written)
}

/// What was written last, and what before that.
#[derive(Debug, Default)]
struct Window {
    /// Bytes since the last turn.
    written: u64,
    /// Where the last turn was, and the one before it.
    last: u64,
    before: u64,
}

impl Window {
    /// Has the disk begin with the last window, and waits for the one before it.
    fn turn(&mut self, target: &File, at: u64) -> io::Result<()> {
        sys::begin_writing(target, self.last, at - self.last)?;
        sys::end_writing(target, self.before, self.last - self.before)?;
        (self.before, self.last, self.written) = (self.last, at, 0);
        Ok(())
    }
}

/// Whether there is still room: others write too, and blocks are allocated late.
fn room(target: &File, path: &Path) -> Result<(), Refused> {
    let stat = fstatvfs(target)
        .map_err(|errno| write_error("ask for the free space of", path, errno.into()))?;
    let space = Space::from(&stat);
    if space.free < space.reserve {
        return Err(space.refusal(WINDOW, path.parent().unwrap_or(path)));
    }
    Ok(())
}

fn write_error(doing: &'static str, path: &Path, error: io::Error) -> Refused {
    let errno = error.raw_os_error().map(Errno::from_raw);
    if matches!(errno, Some(Errno::ENOSPC | Errno::EDQUOT)) {
        let dir = path.parent().unwrap_or(path);
        if let Ok(space) = Space::of(dir) {
            return space.refusal(WINDOW, dir);
        }
    }
    Refused::Failed(io_error(doing, path)(error))
}

fn offset(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
