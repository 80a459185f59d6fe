//! Everything in a state directory that dqlite reads, read without touching it.
//!
//! A running node is not disturbed and not waited for: neither its lock nor any other is taken. It
//! appends to one open segment, renames that when it is full, writes snapshots and deletes what they
//! cover. So all files are opened first, between two listings that must be alike, and then read from
//! what was opened, whatever has become of their names. Open segments are read from the newest to the
//! oldest: if there was an entry in the newer one, the older one was complete by then. Damage in one is
//! believed when a second look shows the same: it may have been a write under way, of which the front
//! was read before it and the rest after it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::directory::Directory;
use crate::listing::{Listing, Version, alike, list, open, open_one};
use crate::metadata::{FORMAT_NEXT, METADATA_SIZE, Metadata, MetadataFault};
use crate::name::{Name, SnapshotName};
use crate::node::NodeInfo;
use crate::parallel::{self, Job, Large};
use crate::scan_error::{ATTEMPTS, ScanError, io_error};
use crate::segment::{End, Segment, read_segment};
use crate::snapshot::{Data, DataFault, Meta, MetaFault, read_meta};
use crate::yaml::{ReadError, read_cluster, read_info};

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

    /// The same without the files that say which node this is: `info.yaml`, `cluster.yaml` and `join`. For
    /// whoever is about to put others in their place.
    #[must_use]
    pub fn without_identity(self) -> Self {
        Self {
            info: None,
            cluster: None,
            join: false,
            ..self
        }
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
    scan_with(dir, &mut Cache::default(), Depth::Whole)
}

/// How much of a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every byte that dqlite would read.
    Whole,
    /// The same, but for the data halves of the snapshots before the newest one, which are taken on trust.
    Loaded,
    /// The same, but for the snapshot's data half, which is taken on trust: what is left does not grow with
    /// the database. dqlite keeps no more than some thousands of entries that the snapshot covers.
    Log,
    /// What lies behind the newest snapshot, of which the data half is taken on trust.
    Tail,
}

/// The same of what dqlite would load: of a snapshot that it would not, because there is a newer one, the
/// data half is taken on trust. dqlite keeps two, so that this reads about half as much.
///
/// # Errors
/// See [`scan`].
pub fn scan_loaded(dir: &Path) -> Result<Scan, ScanError> {
    scan_with(dir, &mut Cache::default(), Depth::Loaded)
}

/// The same, remembering what was read in `cache`, which is for one directory and one depth.
pub(crate) fn scan_with(dir: &Path, cache: &mut Cache, depth: Depth) -> Result<Scan, ScanError> {
    let list = |cache: &mut Cache| -> Result<Listing, ScanError> {
        let mut listing = list(dir)?;
        match depth {
            Depth::Whole => {}
            Depth::Loaded => cache.trust_older_snapshots(&listing),
            Depth::Log | Depth::Tail => cache.leave_what_precedes(&mut listing, depth),
        }
        Ok(listing)
    };
    let mut doubted = Vec::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE * attempt);
        }
        let listing = list(cache)?;
        let Some(sources) = open(dir, &listing)? else {
            continue;
        };
        if !alike(&listing, &list(cache)?) {
            continue;
        }
        let Some(scan) = read(dir, &listing, sources, cache)? else {
            continue;
        };
        let damaged = scan.open.iter().filter(|open| is_doubtful(&open.content));
        let damaged: Vec<_> = damaged.cloned().collect();
        if !damaged.is_empty() && (damaged != doubted || list(cache)? != listing) {
            doubted = damaged;
            continue;
        }
        cache.keep_only(&listing);
        return match of_next(&scan) {
            Some(file) => Err(ScanError::Next(dir.join(file))),
            None => Ok(scan),
        };
    }
    Err(ScanError::Unsettled(dir.to_owned()))
}

/// Whether an open segment may look so because it was read while dqlite wrote to it.
fn is_doubtful(segment: &Segment) -> bool {
    match segment.end {
        End::Bad(_) | End::Format { .. } | End::Short => true,
        End::Whole | End::Zeros | End::Empty => false,
    }
}

/// What was read already, so that a change elsewhere does not cost it again.
#[derive(Debug, Default)]
pub(crate) struct Cache(HashMap<(String, Version), Large>);

impl Cache {
    /// Takes a snapshot's data half for read: it is not looked into.
    fn trust(&mut self, listing: &Listing, snapshot: SnapshotName) {
        let data = snapshot.to_string();
        if let Some(Some(version)) = listing.get(&data) {
            let unread = Data {
                compressed: true,
                size: 0,
                databases: Vec::new(),
            };
            self.0.insert((data, *version), Large::Data(Ok(unread)));
        }
    }

    /// Takes the data halves of all snapshots but the newest for read.
    fn trust_older_snapshots(&mut self, listing: &Listing) {
        let all = snapshots(listing);
        let newest = all.iter().max().copied();
        for older in all.into_iter().filter(|name| Some(*name) != newest) {
            self.trust(listing, older);
        }
    }

    /// Leaves out of the listing what is not read at that depth, and takes the newest snapshot's data half
    /// for read.
    fn leave_what_precedes(&mut self, listing: &mut Listing, depth: Depth) {
        let newest = snapshots(listing).into_iter().max();
        let Some(newest) = newest else { return };
        // The entries in open segments follow the newest closed one, also where that ends before the
        // snapshot does.
        let last = |file: &String| match Name::of(file) {
            Name::Closed { last, .. } => Some(last),
            Name::Yaml
            | Name::Join
            | Name::Metadata(_)
            | Name::Open { .. }
            | Name::Snapshot(_)
            | Name::Meta(_)
            | Name::Other => None,
        };
        let newest_closed = listing.keys().filter_map(last).max();
        let ends_before = newest_closed.filter(|last| *last < newest.index);
        listing.retain(|file, _| match Name::of(file) {
            Name::Snapshot(name) | Name::Meta(name) => name == newest,
            Name::Closed { last, .. } => {
                depth == Depth::Log || last > newest.index || Some(last) == ends_before
            }
            Name::Yaml | Name::Join | Name::Metadata(_) | Name::Open { .. } | Name::Other => true,
        });
        self.trust(listing, newest);
    }

    /// Forgets the files that are not there any more, and versions that they no longer have.
    fn keep_only(&mut self, listing: &Listing) {
        self.0
            .retain(|(file, version), _| listing.get(file) == Some(&Some(*version)));
    }
}

/// The snapshots of which both halves are there and the data is not empty.
fn snapshots(listing: &Listing) -> Vec<SnapshotName> {
    let has_data = |name: &SnapshotName| {
        let data = listing.get(&name.to_string()).copied().flatten();
        data.is_some_and(|version| version.size > 0)
    };
    let all = listing.iter().filter(|(_, version)| version.is_some());
    all.filter_map(|(file, _)| match Name::of(file) {
        Name::Meta(name) if has_data(&name) => Some(name),
        _ => None,
    })
    .collect()
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
    let mut large = Vec::new();
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
                one(&mut scan, cache, &mut large, file, name, source)
                    .map_err(io_error(&dir.join(file)))?;
            }
        }
    }
    for (job, read) in parallel::read(large) {
        let read = read.map_err(io_error(&dir.join(&job.file)))?;
        add(
            &mut scan,
            &job.file,
            job.name,
            job.version.size,
            read.clone(),
        );
        cache.0.insert((job.file, job.version), read);
    }
    scan.snapshots
        .sort_unstable_by_key(|snapshot| snapshot.name);
    scan.closed
        .sort_unstable_by_key(|segment| (segment.first, segment.last));
    scan.open.sort_unstable_by_key(|segment| segment.counter);
    scan.other.sort_unstable();
    Ok(Some(scan))
}

/// Reads one file of dqlite's, or leaves it to be read with the other large ones.
fn one(
    scan: &mut Scan,
    cache: &mut Cache,
    large: &mut Vec<Job>,
    file: &str,
    name: Name,
    source: File,
) -> io::Result<()> {
    let version = Version::of(&source.metadata()?);
    let key = (file.to_owned(), version);
    let known = cache.0.get(&key).cloned();
    match (name, known) {
        (Name::Metadata(half), _) => {
            let mut content = Vec::new();
            source
                .take(METADATA_SIZE as u64)
                .read_to_end(&mut content)?;
            scan.metadata[half] = Some(Metadata::decode(&content, version.size));
        }
        (Name::Meta(name), _) => snapshot(scan, name).meta = Some(read_meta(source)?),
        (Name::Closed { .. } | Name::Open { .. } | Name::Snapshot(_), Some(read)) => {
            add(scan, file, name, version.size, read);
        }
        // In their order, and before all others: they may be written to.
        (Name::Open { .. }, None) => {
            let content = read_segment(source, version.size)?;
            let doubtful = is_doubtful(&content);
            let read = Large::Segment(Box::new(content));
            if !doubtful {
                cache.0.insert(key, read.clone());
            }
            add(scan, file, name, version.size, read);
        }
        (Name::Closed { .. } | Name::Snapshot(_), None) => large.push(Job {
            file: file.to_owned(),
            name,
            version,
            source,
        }),
        (Name::Yaml | Name::Join | Name::Other, _) => {}
    }
    Ok(())
}

/// Adds what was read of a large file.
fn add(scan: &mut Scan, file: &str, name: Name, size: u64, read: Large) {
    let file = file.to_owned();
    match (name, read) {
        (Name::Closed { first, last }, Large::Segment(content)) => scan.closed.push(Closed {
            file,
            first,
            last,
            content: *content,
        }),
        (Name::Open { counter }, Large::Segment(content)) => scan.open.push(Open {
            file,
            counter,
            content: *content,
        }),
        (Name::Snapshot(name), Large::Data(data)) => {
            let snapshot = snapshot(scan, name);
            snapshot.size = size;
            snapshot.data = Some(data);
        }
        // The name says what is read.
        (_, Large::Segment(_) | Large::Data(_)) => {}
    }
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
