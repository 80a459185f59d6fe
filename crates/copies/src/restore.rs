//! Putting a copy back in its place.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use two_node_ha_disk::effects;

use crate::error::{Error, io_error};
use crate::limits::Progress;
use crate::metadata::{BLOCK, Generation};
use crate::source::{Buffer, Source};
use crate::sparse::{CHUNK, Digest};
use crate::store::Copy;
use crate::{Copies, sys};

/// Bytes that are written at once where any of them differs.
const PIECE: usize = 128 << 10;

/// The place of the backing data, held so that neither DRBD nor a mount can take it meanwhile.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    file: File,
    device: bool,
    /// The loop devices over a file.
    loops: Vec<File>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Bytes of the copy.
    pub size: u64,
    /// Bytes that differed, and were written.
    pub written: u64,
}

impl Target {
    /// Claims the backing data. `loops` are the loop devices that the file is attached to.
    ///
    /// # Errors
    /// When something in the kernel has it: DRBD, a mount, device-mapper.
    pub fn claim(path: &Path, loops: &[PathBuf]) -> Result<Self, Error> {
        let meta = path.metadata().map_err(io_error("look at", path))?;
        let device = meta.file_type().is_block_device();
        // With a block device, and without O_CREAT, O_EXCL means: for me alone (open(2)).
        let flags = if device {
            libc::O_EXCL | libc::O_DIRECT
        } else {
            0
        };
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
            .map_err(|error| claim_error(path, error))?;
        let mut held = Vec::new();
        for device in loops {
            let claimed = File::options()
                .read(true)
                .custom_flags(libc::O_EXCL)
                .open(device)
                .map_err(|error| claim_error(device, error))?;
            held.push(claimed);
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            device,
            loops: held,
        })
    }

    /// Has the next read come from the disk, or from what was really written.
    fn forget(&self) {
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        for device in self.loops.iter().chain(self.device.then_some(&self.file)) {
            let _ = sys::forget_buffers(device);
        }
    }
}

fn claim_error(path: &Path, error: std::io::Error) -> Error {
    if error.raw_os_error() == Some(Errno::EBUSY as i32) {
        return Error::NotNow(format!(
            "{} is in use: DRBD or a mount has it. Take the resource down on this node first",
            path.display()
        ));
    }
    io_error("open", path)(error)
}

impl Copies {
    /// Whether a copy is still what was copied: its size, and its checksum where it has one.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is not, and what the system says.
    pub fn verify(&self, copy: &Copy, progress: &mut dyn Progress) -> Result<Digest, Error> {
        let damaged = |what| Error::Damaged {
            name: copy.name.clone(),
            what,
        };
        let source = Source::open(&copy.path)?;
        if source.size != copy.record.size {
            return Err(damaged(format!(
                "it has {} bytes, and had {} when it was made",
                source.size, copy.record.size
            )));
        }
        let digest = digest_of(&source, &copy.path, progress)?;
        match &copy.record.checksum {
            Some(sum) if *sum != digest.text() => Err(damaged(format!(
                "its checksum is {}, and was {sum} when it was made",
                digest.text()
            ))),
            _ => Ok(digest),
        }
    }

    /// Puts a copy back. DRBD's meta-data is wiped first and written last: a restore that is cut
    /// off leaves a device that DRBD does not attach, and not one that is half the one and half
    /// the other. Only what differs is written, and all is read back.
    ///
    /// # Errors
    /// When the copy is damaged or of another size, or the system fails. Begin anew then.
    pub fn restore(
        &self,
        copy: &Copy,
        target: &Target,
        progress: &mut dyn Progress,
    ) -> Result<Restored, Error> {
        let whole = self.verify(copy, progress)?;
        let source = Source::open(&copy.path)?;
        let path = &target.path;
        let now = Source::open(path)?;
        if now.size != source.size {
            return Err(Error::NotNow(format!(
                "{} has {} bytes, and the copy {} has {}: it is not the device that was copied",
                path.display(),
                now.size,
                copy.name,
                source.size
            )));
        }
        let size = source.size;
        let metadata = Generation::offset(size).map(|at| at..at + BLOCK);
        let mut written = 0;
        let mut wiped = false;
        let (mut theirs, mut ours) = (Buffer::new(CHUNK), Buffer::new(CHUNK));
        let mut at = 0;
        while at < size {
            let want = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
            let (Some(theirs), Some(ours)) =
                (theirs.bytes().get_mut(..want), ours.bytes().get_mut(..want))
            else {
                break;
            };
            read(&source, &copy.path, theirs, at)?;
            read(&now, path, ours, at)?;
            for (index, (want, have)) in theirs.chunks(PIECE).zip(ours.chunks(PIECE)).enumerate() {
                if want == have {
                    continue;
                }
                if !wiped {
                    if let Some(block) = &metadata {
                        let mut zeros = Buffer::new(BLOCK as usize);
                        write(target, zeros.bytes(), block.start)?;
                        sync(target)?;
                    }
                    wiped = true;
                }
                let begin = at + (index * PIECE) as u64;
                for part in outside(begin..begin + want.len() as u64, metadata.clone()) {
                    let from = usize::try_from(part.start - begin).unwrap_or(PIECE);
                    let to = usize::try_from(part.end - begin).unwrap_or(PIECE);
                    write(target, want.get(from..to).unwrap_or_default(), part.start)?;
                }
                written += want.len() as u64;
            }
            at += want as u64;
            progress.step(at, size);
        }
        if wiped {
            sync(target)?;
            if let Some(block) = &metadata {
                let mut buffer = Buffer::new(BLOCK as usize);
                read(&source, &copy.path, buffer.bytes(), block.start)?;
                write(target, buffer.bytes(), block.start)?;
                sync(target)?;
            }
        }
        target.forget();
        let again = digest_of(&Source::open(path)?, path, progress)?;
        if again.text() != whole.text() {
            return Err(Error::NotNow(format!(
                "{} reads back differently from what was written: the disk underneath is faulty",
                path.display()
            )));
        }
        Ok(Restored { size, written })
    }
}

/// What of a range lies outside of the meta-data, which is written last.
fn outside(range: Range<u64>, metadata: Option<Range<u64>>) -> [Range<u64>; 2] {
    let Some(block) = metadata else {
        return [range, 0..0];
    };
    [
        range.start..range.end.min(block.start).max(range.start),
        range.start.max(block.end).min(range.end)..range.end,
    ]
}

fn digest_of(source: &Source, path: &Path, progress: &mut dyn Progress) -> Result<Digest, Error> {
    let mut digest = Digest::default();
    let mut buffer = Buffer::new(CHUNK);
    let mut at = 0;
    while at < source.size {
        let want = usize::try_from(source.size - at)
            .unwrap_or(CHUNK)
            .min(CHUNK);
        let Some(bytes) = buffer.bytes().get_mut(..want) else {
            break;
        };
        read(source, path, bytes, at)?;
        digest.update(at, bytes);
        at += want as u64;
        progress.step(at, source.size);
    }
    Ok(digest)
}

fn read(source: &Source, path: &Path, bytes: &mut [u8], at: u64) -> Result<(), Error> {
    let got = source.read_at(bytes, at).map_err(io_error("read", path))?;
    if got < bytes.len() {
        let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        return Err(io_error("read", path)(short));
    }
    Ok(())
}

/// Of a device only whole, aligned blocks: past the page cache nothing else is taken.
fn write(target: &Target, bytes: &[u8], at: u64) -> Result<(), Error> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut aligned;
    let bytes = if target.device {
        aligned = Buffer::new(bytes.len());
        aligned.bytes().copy_from_slice(bytes);
        aligned.bytes()
    } else {
        bytes
    };
    effects::write_at(&target.file, bytes, at).map_err(io_error("write", &target.path))
}

fn sync(target: &Target) -> Result<(), Error> {
    effects::sync(&target.file).map_err(io_error("sync", &target.path))
}
