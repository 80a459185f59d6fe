//! Reading the backing data.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Whence;

use crate::error::{Error, io_error};
use crate::metadata::{BLOCK, Generation};

/// The unit of `st_blocks` (stat(2)).
const SECTOR: u64 = 512;

/// What is copied, opened for reading.
#[derive(Debug)]
pub struct Source {
    /// The file or device.
    pub file: File,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it is a block device.
    pub device: bool,
    /// `st_rdev` of a device.
    pub rdev: u64,
    /// Bytes of it that have a place on the disk; all of a device.
    pub allocated: u64,
}

impl Source {
    /// Opens it. A block device past the page cache: DRBD writes beneath that, and what is in it
    /// may be old. Of a file the page cache is the truth, even where the loop device goes past it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let meta = path.metadata().map_err(io_error("look at", path))?;
        let device = meta.file_type().is_block_device();
        if !device && !meta.is_file() {
            return Err(io_error("copy", path)(io::Error::other(
                "it is neither a file nor a block device",
            )));
        }
        let flags = if device { libc::O_DIRECT } else { 0 };
        let mut file = File::options()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(io_error("open", path))?;
        let size = file
            .seek(SeekFrom::End(0))
            .map_err(io_error("ask for the size of", path))?;
        let allocated = if device {
            size
        } else {
            meta.blocks().saturating_mul(SECTOR)
        };
        Ok(Self {
            file,
            size,
            device,
            rdev: meta.rdev(),
            allocated,
        })
    }

    /// Reads into the beginning of the buffer; fewer bytes only at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// The next stretch that may have data, from an offset on: its begin and end. `None`: only a
    /// hole is left. A device is one stretch.
    pub fn data(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        if from >= self.size {
            return Ok(None);
        }
        let seek = |from: u64, whence| {
            let from = i64::try_from(from).map_err(|_| Errno::EOVERFLOW)?;
            nix::unistd::lseek(&self.file, from, whence).map(i64::unsigned_abs)
        };
        let begin = match seek(from, Whence::SeekData) {
            Ok(begin) => begin,
            Err(Errno::ENXIO) => return Ok(None),
            // Neither a device nor every file system knows holes.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(Some((from, self.size))),
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(begin, Whence::SeekHole).unwrap_or(self.size);
        Ok(Some((begin, end.min(self.size))))
    }

    /// DRBD's generation identifiers, where there are any.
    pub fn generation(&self) -> Option<Generation> {
        self.metadata(Generation::parse)
    }

    /// Whether there is nothing but DRBD's internal meta-data: all before it is a hole. `None` where
    /// that cannot be told; a device has no holes.
    pub fn is_blank(&self) -> Option<bool> {
        // More than an eighth of the whole is no meta-data but a damaged block: all is data then.
        let size = self.metadata(Generation::size)?;
        let size = Some(size).filter(|size| *size <= self.size / 8)?;
        let end = Generation::offset(self.size)? + BLOCK;
        let data = self.data(0).ok()?;
        Some(data.is_none_or(|(begin, _)| begin >= end.saturating_sub(size)))
    }

    fn metadata<T>(&self, read: fn(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = Buffer::new(BLOCK as usize);
        let bytes = buffer.bytes();
        self.read_at(bytes, Generation::offset(self.size)?).ok()?;
        read(bytes)
    }
}

/// Memory at an address that direct I/O takes.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    begin: usize,
    size: usize,
}

impl Buffer {
    /// Of that many bytes.
    pub fn new(size: usize) -> Self {
        const ALIGNMENT: usize = BLOCK as usize;
        let memory = vec![0; size + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            begin,
            size,
        }
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        // In bounds by construction.
        &mut self.memory[self.begin..self.begin + self.size]
    }
}
