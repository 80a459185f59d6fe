//! Everything in a state directory that dqlite reads, read without touching it.
//!
//! A running node is not disturbed and not waited for: neither its lock nor any other is taken. It
//! appends to one open segment, renames that when it is full, writes snapshots and deletes what they
//! cover. So all files are opened first, between two listings that must be alike, and then read from
//! what was opened, whatever has become of their names. Open segments are read from the newest to the
//! oldest: if there was an entry in the newer one, the older one was complete by then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::directory::Directory;
use crate::metadata::{FORMAT_NEXT, METADATA_SIZE, Metadata, MetadataFault};
use crate::name::{Name, SnapshotName};
use crate::node::NodeInfo;
use crate::segment::{End, Segment, read_segment};
use crate::snapshot::{Data, DataFault, Meta, MetaFault, read_data, read_meta};
use crate::yaml::{ReadError, read_cluster, read_info};

/// How many files are opened before they are read; a process may have 1024 by default.
const MOST_OPEN: usize = 800;
/// How often a directory is read before it is said to change too fast.
const ATTEMPTS: u32 = 20;
/// How long to wait before the second attempt; a bit longer before each further one.
const PAUSE: Duration = Duration::from_millis(10);

/// A closed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The file's name.
    pub file: String,
    /// The first index, by the name.
    pub first: u64,
    /// The last index, by the name.
    pub last: u64,
    /// What is in it.
    pub content: Segment,
}

/// An open segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The file's name.
    pub file: String,
    /// The number in it.
    pub counter: u64,
    /// What is in it.
    pub content: Segment,
}

/// A snapshot, or one half of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// The meta half; `None` when there is none.
    pub meta: Option<Result<Meta, MetaFault>>,
    /// The data half; `None` when there is none.
    pub data: Option<Result<Data, DataFault>>,
    /// The size of the data half, in bytes, as it is on the disk.
    pub size: u64,
}

impl Snapshot {
    /// Whether dqlite takes it for one: both halves are there and the data is not empty. What is in
    /// them it sees later.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        self.meta.is_some() && !matches!(self.data, None | Some(Err(DataFault::Empty)))
    }

    /// The meta half of one of which both halves are sound.
    #[must_use]
    pub fn sound(&self) -> Option<&Meta> {
        match (&self.meta, &self.data) {
            (Some(Ok(meta)), Some(Ok(_))) => Some(meta),
            _ => None,
        }
    }
}

/// A state directory's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// `metadata1` and `metadata2`; `None` for one that is not there.
    pub metadata: [Option<Result<Metadata, MetadataFault>>; 2],
    /// The snapshots, in dqlite's order.
    pub snapshots: Vec<Snapshot>,
    /// The closed segments, by index.
    pub closed: Vec<Closed>,
    /// The open segments, by number.
    pub open: Vec<Open>,
    /// `info.yaml`, or what is wrong with it.
    pub info: Option<Result<NodeInfo, String>>,
    /// `cluster.yaml`, or what is wrong with it.
    pub cluster: Option<Result<Vec<NodeInfo>, String>>,
    /// Whether `join` is there.
    pub join: bool,
    /// The names of everything else, sorted.
    pub other: Vec<String>,
}

/// Why a directory could not be read.
#[derive(Debug, Error)]
pub enum ScanError {
    /// The system could not read it.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Files of a format that is not understood here.
    #[error(
        "{} is of format 2, as only a build of dqlite with DQLITE_NEXT writes it: nothing is said \
         about it",
        .0.display()
    )]
    Next(PathBuf),
    /// A node is writing faster than the directory can be read.
    #[error(
        "{} has changed while it was read, {ATTEMPTS} times in a row: stop the node, or read a copy",
        .0.display()
    )]
    Unsettled(PathBuf),
}

impl Scan {
    /// Whether there is anything of dqlite's in the directory.
    #[must_use]
    pub fn is_dqlite(&self) -> bool {
        self.metadata.iter().any(Option::is_some)
            || !self.snapshots.is_empty()
            || !self.closed.is_empty()
            || !self.open.is_empty()
            || self.info.is_some()
            || self.cluster.is_some()
    }

    /// The directory as [`crate::inspect`] would say it, for [`crate::identity_trap`]; `None` where
    /// a YAML file makes no sense.
    #[must_use]
    pub fn directory(&self) -> Option<Directory> {
        let holds_a_term =
            |half: usize| matches!(&self.metadata[half], Some(Ok(metadata)) if metadata.term > 0);
        Some(Directory {
            info: self.info.clone().transpose().ok()?,
            cluster: self.cluster.clone().transpose().ok()?,
            join: self.join,
            metadata: [holds_a_term(0), holds_a_term(1)],
            snapshots: self.snapshots.iter().filter(|s| s.is_candidate()).count(),
            segments: self.closed.len(),
            open_segments: self.open.len(),
            other: self.other.clone(),
        })
    }
}

/// Reads a state directory, every byte of it that dqlite would read and the checksums of all.
///
/// # Errors
/// When it cannot be read, is of the unsupported format, or changes too fast. Whatever is wrong
/// with the content is part of the answer.
pub fn scan(dir: &Path) -> Result<Scan, ScanError> {
    let mut cache = Cache::default();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE * attempt);
        }
        let listing = list(dir)?;
        let Some(sources) = open(dir, &listing)? else {
            continue;
        };
        if !alike(&listing, &list(dir)?) {
            continue;
        }
        let Some(scan) = read(dir, &listing, sources, &mut cache)? else {
            continue;
        };
        // What looks like damage may have been a write under way.
        let damaged = |open: &Open| matches!(open.content.end, End::Bad(_));
        if scan.open.iter().any(damaged) && list(dir)? != listing {
            continue;
        }
        return match of_next(&scan) {
            Some(file) => Err(ScanError::Next(dir.join(file))),
            None => Ok(scan),
        };
    }
    Err(ScanError::Unsettled(dir.to_owned()))
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Version {
    inode: u64,
    size: u64,
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

    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// What was read already, so that a change elsewhere does not cost it again.
#[derive(Debug, Default)]
struct Cache {
    segments: HashMap<(String, Version), Segment>,
    data: HashMap<(String, Version), Result<Data, DataFault>>,
}

type Listing = HashMap<String, Option<Version>>;

/// The directory's files with their versions, and its other inhabitants without.
fn list(dir: &Path) -> Result<Listing, ScanError> {
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

fn io_error(path: &Path) -> impl Fn(io::Error) -> ScanError + '_ {
    |source| ScanError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Whether two listings are of one state of the directory. An open segment may have grown.
fn alike(before: &Listing, after: &Listing) -> bool {
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
fn open(dir: &Path, listing: &Listing) -> Result<Option<HashMap<String, File>>, ScanError> {
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

fn open_one(dir: &Path, file: &str) -> Result<Option<File>, ScanError> {
    let path = dir.join(file);
    match File::open(&path) {
        Ok(source) => Ok(Some(source)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(&path)(e)),
    }
}

/// Reads what a listing names; `None` when a file that was not opened is not there any more.
fn read(
    dir: &Path,
    listing: &Listing,
    mut sources: HashMap<String, File>,
    cache: &mut Cache,
) -> Result<Option<Scan>, ScanError> {
    let mut scan = Scan {
        info: yaml(read_info(dir))?,
        cluster: yaml(read_cluster(dir))?,
        ..Scan::default()
    };
    let mut files: Vec<_> = listing
        .iter()
        .map(|(file, version)| (Name::of(file), file, version))
        .collect();
    files.sort_by_key(|(name, ..)| match name {
        Name::Open { counter } => Reverse(*counter),
        // In any order: they do not change.
        Name::Yaml
        | Name::Join
        | Name::Metadata(_)
        | Name::Closed { .. }
        | Name::Snapshot(_)
        | Name::Meta(_)
        | Name::Other => Reverse(0),
    });
    for (name, file, version) in files {
        match (name, version) {
            (_, None) | (Name::Other, _) => scan.other.push(file.clone()),
            (Name::Yaml, Some(_)) => {}
            (Name::Join, Some(_)) => scan.join = true,
            (
                Name::Metadata(_)
                | Name::Closed { .. }
                | Name::Open { .. }
                | Name::Snapshot(_)
                | Name::Meta(_),
                Some(_),
            ) => {
                let source = match sources.remove(file) {
                    Some(source) => source,
                    None => match open_one(dir, file)? {
                        Some(source) => source,
                        None => return Ok(None),
                    },
                };
                one(&mut scan, cache, file, name, source).map_err(io_error(&dir.join(file)))?;
            }
        }
    }
    scan.snapshots
        .sort_unstable_by_key(|snapshot| snapshot.name);
    scan.closed
        .sort_unstable_by_key(|segment| (segment.first, segment.last));
    scan.open.sort_unstable_by_key(|segment| segment.counter);
    scan.other.sort_unstable();
    Ok(Some(scan))
}

/// Reads one file of dqlite's.
fn one(scan: &mut Scan, cache: &mut Cache, file: &str, name: Name, source: File) -> io::Result<()> {
    let version = Version::of(&source.metadata()?);
    let key = (file.to_owned(), version);
    match name {
        Name::Metadata(half) => {
            let size = source.metadata()?.len();
            let mut content = Vec::new();
            source
                .take(METADATA_SIZE as u64)
                .read_to_end(&mut content)?;
            scan.metadata[half] = Some(Metadata::decode(&content, size));
        }
        Name::Closed { first, last } => scan.closed.push(Closed {
            file: file.to_owned(),
            first,
            last,
            content: segment(cache, key, source)?,
        }),
        Name::Open { counter } => scan.open.push(Open {
            file: file.to_owned(),
            counter,
            content: segment(cache, key, source)?,
        }),
        Name::Snapshot(name) => {
            let data = match cache.data.get(&key) {
                Some(data) => data.clone(),
                None => {
                    let data = read_data(BufReader::with_capacity(64 * 1024, source))?;
                    cache.data.insert(key, data.clone());
                    data
                }
            };
            let snapshot = snapshot(scan, name);
            snapshot.size = version.size;
            snapshot.data = Some(data);
        }
        Name::Meta(name) => snapshot(scan, name).meta = Some(read_meta(source)?),
        Name::Yaml | Name::Join | Name::Other => {}
    }
    Ok(())
}

fn segment(cache: &mut Cache, key: (String, Version), source: File) -> io::Result<Segment> {
    if let Some(segment) = cache.segments.get(&key) {
        return Ok(segment.clone());
    }
    let segment = read_segment(source, key.1.size)?;
    cache.segments.insert(key, segment.clone());
    Ok(segment)
}

/// The snapshot of that name, made where there is none yet.
fn snapshot(scan: &mut Scan, name: SnapshotName) -> &mut Snapshot {
    let position = scan.snapshots.iter().position(|s| s.name == name);
    let position = position.unwrap_or_else(|| {
        scan.snapshots.push(Snapshot {
            name,
            meta: None,
            data: None,
            size: 0,
        });
        scan.snapshots.len() - 1
    });
    &mut scan.snapshots[position]
}

/// A YAML file's content, or what is wrong with it; the system's errors apart.
fn yaml<T>(read: Result<Option<T>, ReadError>) -> Result<Option<Result<T, String>>, ScanError> {
    match read {
        Ok(content) => Ok(content.map(Ok)),
        Err(ReadError::Io { path, source }) => {
            if source.kind() == io::ErrorKind::InvalidData {
                Ok(Some(Err("it is no text".to_owned())))
            } else {
                Err(ScanError::Io { path, source })
            }
        }
        Err(error @ ReadError::Yaml { .. }) => {
            let mut text = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                text = format!("{text}: {source}");
            }
            Ok(Some(Err(text)))
        }
    }
}

/// A file of the unsupported format.
fn of_next(scan: &Scan) -> Option<String> {
    let next = |content: &Segment| {
        matches!(
            content.end,
            End::Format {
                format: FORMAT_NEXT,
                ..
            }
        )
    };
    let segments = scan.closed.iter().map(|s| (&s.file, &s.content));
    let segments = segments.chain(scan.open.iter().map(|s| (&s.file, &s.content)));
    let mut files = segments
        .filter(|(_, content)| next(content))
        .map(|(file, _)| file.clone());
    let snapshots = scan
        .snapshots
        .iter()
        .filter(|s| s.meta == Some(Err(MetaFault::Format(FORMAT_NEXT))));
    let halves = scan.metadata.iter().zip(1..);
    let halves = halves.filter(|(half, _)| **half == Some(Err(MetadataFault::Format(FORMAT_NEXT))));
    files
        .next()
        .or_else(|| snapshots.map(|s| format!("{}.meta", s.name)).next())
        .or_else(|| halves.map(|(_, number)| format!("metadata{number}")).next())
}
