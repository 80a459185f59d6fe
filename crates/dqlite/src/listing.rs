//! A directory's files as they stand at one moment, opened.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::name::Name;
use crate::scan_error::{ScanError, io_error};

/// How many files are opened before they are read; a process may have 1024 by default.
const MOST_OPEN: usize = 800;
/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    inode: u64,
    /// In bytes.
    pub size: u64,
    modified: (i64, i64),
}

impl Version {
    fn inode_alone(self) -> Self {
        Self {
            size: 0,
            modified: (0, 0),
            ..self
        }
    }

    pub fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

pub(crate) type Listing = HashMap<String, Option<Version>>;

/// The directory's files with their versions, and its other inhabitants without.
pub(crate) fn list(dir: &Path) -> Result<Listing, ScanError> {
    let mut listing = Listing::new();
    for entry in fs::read_dir(dir).map_err(io_error(dir))? {
        let entry = entry.map_err(io_error(dir))?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // It was renamed or deleted just now; the listing afterwards tells.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(io_error(&entry.path())(e)),
        };
        let version = metadata.is_file().then(|| Version::of(&metadata));
        listing.insert(entry.file_name().to_string_lossy().into_owned(), version);
    }
    Ok(listing)
}

/// Whether two listings are of one state of the directory. An open segment may have grown.
pub(crate) fn alike(before: &Listing, after: &Listing) -> bool {
    let weighty = |listing: &Listing| -> BTreeMap<String, Option<Version>> {
        let files = listing
            .iter()
            .filter_map(|(name, version)| match Name::of(name) {
                Name::Other => None,
                Name::Open { .. } => Some((name.clone(), version.map(Version::inode_alone))),
                Name::Yaml
                | Name::Join
                | Name::Metadata(_)
                | Name::Closed { .. }
                | Name::Snapshot(_)
                | Name::Meta(_) => Some((name.clone(), *version)),
            });
        files.collect()
    };
    weighty(before) == weighty(after)
}

/// Opens what is to be read, up to a limit; `None` when a file is not there any more.
pub(crate) fn open(
    dir: &Path,
    listing: &Listing,
) -> Result<Option<HashMap<String, File>>, ScanError> {
    let mut sources = HashMap::new();
    for (file, version) in listing {
        match Name::of(file) {
            Name::Yaml | Name::Join | Name::Other => continue,
            Name::Metadata(_)
            | Name::Closed { .. }
            | Name::Open { .. }
            | Name::Snapshot(_)
            | Name::Meta(_) => {}
        }
        if version.is_none() || sources.len() >= MOST_OPEN {
            continue;
        }
        match open_one(dir, file)? {
            Some(source) => sources.insert(file.clone(), source),
            None => return Ok(None),
        };
    }
    Ok(Some(sources))
}

pub(crate) fn open_one(dir: &Path, file: &str) -> Result<Option<File>, ScanError> {
    let path = dir.join(file);
    match File::open(&path) {
        Ok(source) => Ok(Some(source)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(&path)(e)),
    }
}
