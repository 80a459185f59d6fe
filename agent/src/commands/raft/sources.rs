//! What `--source` names: a state directory, or an archive with one in it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tempfile::TempDir;
use two_node_ha_dqlite::{ScanError, inspect};

/// A state directory to look into.
pub struct Found {
    /// What the operator has named.
    pub given: PathBuf,
    /// Where it is.
    pub dir: PathBuf,
    /// What holds it, where it was unpacked; private, and gone with this.
    _unpacked: Option<std::rc::Rc<TempDir>>,
}

/// Opens what was named. An archive may have several state directories in it, as k8s's own have.
pub fn open(given: &[PathBuf]) -> Result<Vec<Found>, ScanError> {
    let mut all = Vec::new();
    for path in given {
        let error = |source| ScanError::Io {
            path: path.clone(),
            source,
        };
        if fs::metadata(path).map_err(error)?.is_dir() {
            all.push(Found {
                given: path.clone(),
                dir: path.clone(),
                _unpacked: None,
            });
            continue;
        }
        let unpacked = std::rc::Rc::new(unpack(path).map_err(error)?);
        let mut dirs = Vec::new();
        state_directories(unpacked.path(), &mut dirs).map_err(error)?;
        if dirs.is_empty() {
            return Err(error(io::Error::other(
                "there is no dqlite directory in the archive",
            )));
        }
        all.extend(dirs.into_iter().map(|dir| Found {
            given: path.clone(),
            dir,
            _unpacked: Some(std::rc::Rc::clone(&unpacked)),
        }));
    }
    Ok(all)
}

/// Unpacks an archive into a private directory: there may be keys in it.
fn unpack(path: &Path) -> io::Result<TempDir> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let to = tempfile::Builder::new()
        .prefix("two-node-ha-source-")
        .tempdir_in("/var/tmp")?;
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    let is_gzip = file.read(&mut magic)? == 2 && magic == GZIP;
    file.seek(SeekFrom::Start(0))?;
    let reader: Box<dyn Read> = if is_gzip {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        // No links, which could lead out of it, and no devices.
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_gnu_sparse() || kind.is_dir() {
            entry.unpack_in(to.path())?;
        }
    }
    Ok(to)
}

fn state_directories(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if inspect(dir).is_ok_and(|inside| inside.has_raft_state() || inside.has_data()) {
        found.push(dir.to_owned());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            state_directories(&entry.path(), found)?;
        }
    }
    Ok(())
}
