//! Whether a copy of a directory is one, and what can go wrong with it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use two_node_ha_command::Interrupt;

/// Why a directory could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system said no.
    #[error("copying {path}: {source}")]
    Io {
        /// The file or directory at hand.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The copy is wanted no more.
    #[error("the copy of {path} was given up")]
    Interrupted {
        /// What was to be copied.
        path: PathBuf,
    },
    /// Read back, the copy differs from the original.
    #[error(
        "{copy} was copied from {original} and reads back differently: either something still \
         writes to the original, or the disk under the copy is failing. Nothing was replaced"
    )]
    Differs {
        /// The original file.
        original: PathBuf,
        /// Its copy.
        copy: PathBuf,
    },
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Io {
        path: path.to_path_buf(),
        source,
    }
}

pub(crate) fn go_on(interrupt: &Interrupt, path: &Path) -> Result<(), Error> {
    if interrupt.is_set() {
        return Err(Error::Interrupted { path: path.into() });
    }
    Ok(())
}

pub(crate) fn entries(directory: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    let mut all = fs::read_dir(directory)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(at(directory))?;
    all.sort_by_key(fs::DirEntry::file_name);
    Ok(all)
}

/// Reads both back and compares: names, link targets and contents of directories, links and those
/// regular files that are `kept` by their name. What is neither holds no data.
pub(crate) fn compare(
    original: &Path,
    copy: &Path,
    kept: &dyn Fn(&str) -> bool,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let differs = |original: &Path, copy: &Path| Error::Differs {
        original: original.to_path_buf(),
        copy: copy.to_path_buf(),
    };
    let mut theirs = entries(copy)?.into_iter();
    for entry in entries(original)? {
        let source = entry.path();
        let kind = entry.file_type().map_err(at(&source))?;
        let name = entry.file_name();
        let counts =
            kind.is_dir() || kind.is_symlink() || (kind.is_file() && kept(&name.to_string_lossy()));
        if !counts {
            continue;
        }
        go_on(interrupt, original)?;
        let Some(other) = theirs.next().filter(|other| other.file_name() == name) else {
            return Err(differs(&source, copy));
        };
        let target = other.path();
        let same = if kind.is_dir() {
            compare(&source, &target, kept, interrupt)?;
            true
        } else if kind.is_symlink() {
            fs::read_link(&source).map_err(at(&source))?
                == fs::read_link(&target).map_err(at(&target))?
        } else {
            same_content(&source, &target).map_err(at(&target))?
        };
        if !same {
            return Err(differs(&source, &target));
        }
    }
    match theirs.next() {
        Some(extra) => Err(differs(original, &extra.path())),
        None => Ok(()),
    }
}

/// Where neither has data both have zeros.
fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let (meta, theirs) = (one.metadata()?, other.metadata()?);
    if (meta.dev(), meta.ino()) == (theirs.dev(), theirs.ino()) {
        return Ok(true);
    }
    if meta.len() != theirs.len() {
        return Ok(false);
    }
    let mut ranges = data(&one, meta.len())?;
    ranges.extend(data(&other, meta.len())?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    for (mut position, end) in ranges {
        while position < end {
            let n = usize::try_from(end - position).map_or(left.len(), |n| n.min(left.len()));
            one.read_exact_at(&mut left[..n], position)?;
            other.read_exact_at(&mut right[..n], position)?;
            if left[..n] != right[..n] {
                return Ok(false);
            }
            position += n as u64;
        }
    }
    Ok(true)
}

/// The ranges of a file that may hold something else than zeros (lseek(2), SEEK_DATA).
pub(crate) fn data(file: &File, length: u64) -> io::Result<Vec<(u64, u64)>> {
    let seek = |from: u64, whence| {
        let from = i64::try_from(from).map_err(io::Error::other)?;
        match lseek(file, from, whence) {
            Ok(at) => Ok(Some(u64::try_from(at).map_err(io::Error::other)?)),
            // Past the last data.
            Err(Errno::ENXIO) => Ok(None),
            Err(errno) => Err(io::Error::from(errno)),
        }
    };
    let mut ranges = Vec::new();
    let mut from = 0;
    while from < length {
        let start = match seek(from, Whence::SeekData) {
            Ok(Some(start)) => start,
            Ok(None) => break,
            // A file system that does not know its holes.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(vec![(0, length)]);
            }
            Err(error) => return Err(error),
        };
        let end = seek(start, Whence::SeekHole)?.unwrap_or(length).min(length);
        ranges.push((start, end));
        from = end.max(start + 1);
    }
    Ok(ranges)
}
