//! Steps taken on what was read of a directory, and not on the directory: what comes of them is
//! known before anything is done.

use std::collections::HashMap;
use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use super::encode;
use super::source::Source;
use crate::metadata::Metadata;
use crate::name::Name;
use crate::remedy::{Step, closed_name};
use crate::scan::{Closed, Open, Scan};
use crate::scan_error::{ScanError, io_error};
use crate::segment::{End, Segment, read_segment};

/// A directory as it would be.
#[derive(Debug, Clone)]
pub(super) struct Trial<'a> {
    dir: &'a Path,
    /// What would be read of it.
    pub scan: Scan,
    /// The names that its files have on the disk, where that is another one.
    on_disk: HashMap<String, String>,
}

impl<'a> Trial<'a> {
    pub fn new(dir: &'a Path, scan: Scan) -> Self {
        Self {
            dir,
            scan,
            on_disk: HashMap::new(),
        }
    }

    /// Takes a step; false where it is none that can be taken here.
    pub fn take(&mut self, step: &Step, sources: &[Source]) -> Result<bool, ScanError> {
        match step {
            Step::LeaveOut { file } => self.leave_out(file),
            Step::Rename { file, to } => {
                let Some(content) = self.segment(file) else {
                    return Ok(false);
                };
                self.leave_out(file);
                return Ok(self.put(file, to, content));
            }
            Step::Cut { file, size, to } => {
                let Some(content) = self.segment(file) else {
                    return Ok(false);
                };
                let content = self.cut(file, content, *size)?;
                self.leave_out(file);
                return Ok(self.put(file, to, content));
            }
            Step::Term { term } => {
                let metadata = next_metadata(&self.scan, *term);
                self.scan.metadata[half(metadata)] = Some(Ok(metadata));
            }
            Step::Info { node } => self.scan.info = Some(Ok(node.clone())),
            Step::Cluster { nodes } => self.scan.cluster = Some(Ok(nodes.clone())),
            Step::Entries { source, range } => {
                let Some(source) = sources.get(*source) else {
                    return Ok(false);
                };
                let mut log = source.from(range.first);
                let closed = &mut self.scan.closed;
                let all = encode::segments(&mut log, *range, |encoded| {
                    let size = encoded.content.len() as u64;
                    let content = read_segment(Cursor::new(encoded.content), size)
                        .map_err(io_error(&source.dir))?;
                    closed.push(Closed {
                        file: closed_name(encoded.first, encoded.entries),
                        first: encoded.first,
                        last: encoded.first + (encoded.entries - 1),
                        content,
                    });
                    Ok::<_, ScanError>(())
                })?;
                closed.sort_unstable_by_key(|segment| (segment.first, segment.last));
                return Ok(all);
            }
            Step::Snapshot { source, file } => {
                let snapshot = sources.get(*source).and_then(|source| {
                    let mut snapshots = source.scan.snapshots.iter();
                    snapshots.find(|snapshot| snapshot.name.to_string() == *file)
                });
                let Some(snapshot) = snapshot else {
                    return Ok(false);
                };
                self.scan
                    .snapshots
                    .retain(|other| other.name != snapshot.name);
                self.scan.snapshots.push(snapshot.clone());
                self.scan.snapshots.sort_unstable_by_key(|s| s.name);
            }
        }
        Ok(true)
    }

    fn segment(&self, file: &str) -> Option<Segment> {
        let closed = self.scan.closed.iter().map(|s| (&s.file, &s.content));
        let open = self.scan.open.iter().map(|s| (&s.file, &s.content));
        closed
            .chain(open)
            .find(|(name, _)| *name == file)
            .map(|(_, content)| content.clone())
    }

    fn leave_out(&mut self, file: &str) {
        let scan = &mut self.scan;
        match Name::of(file) {
            Name::Metadata(half) => scan.metadata[half] = None,
            Name::Closed { .. } | Name::Open { .. } => {
                scan.closed.retain(|segment| segment.file != file);
                scan.open.retain(|segment| segment.file != file);
            }
            Name::Snapshot(name) => {
                for snapshot in scan.snapshots.iter_mut().filter(|s| s.name == name) {
                    snapshot.data = None;
                }
            }
            Name::Meta(name) => {
                for snapshot in scan.snapshots.iter_mut().filter(|s| s.name == name) {
                    snapshot.meta = None;
                }
            }
            Name::Join => scan.join = false,
            Name::Yaml if file == crate::INFO_FILE => scan.info = None,
            Name::Yaml => scan.cluster = None,
            Name::Other => {
                scan.other.retain(|other| other != file);
                // Tests make up names.
                scan.closed.retain(|segment| segment.file != file);
                scan.open.retain(|segment| segment.file != file);
            }
        }
        scan.snapshots
            .retain(|snapshot| snapshot.data.is_some() || snapshot.meta.is_some());
    }

    /// A segment under another name; false where that is taken, or is none of a segment.
    fn put(&mut self, file: &str, to: &str, content: Segment) -> bool {
        if self.segment(to).is_some() {
            return false;
        }
        let on_disk = self.on_disk.remove(file).unwrap_or_else(|| file.to_owned());
        self.on_disk.insert(to.to_owned(), on_disk);
        match Name::of(to) {
            Name::Closed { first, last } => {
                self.scan.closed.push(Closed {
                    file: to.to_owned(),
                    first,
                    last,
                    content,
                });
                self.scan
                    .closed
                    .sort_unstable_by_key(|segment| (segment.first, segment.last));
            }
            Name::Open { counter } => {
                self.scan.open.push(Open {
                    file: to.to_owned(),
                    counter,
                    content,
                });
                self.scan
                    .open
                    .sort_unstable_by_key(|segment| segment.counter);
            }
            _ => return false,
        }
        true
    }

    fn cut(&self, file: &str, content: Segment, size: u64) -> Result<Segment, ScanError> {
        if size == content.used && content.entries > 0 {
            return Ok(Segment {
                size,
                end: End::Whole,
                ..content
            });
        }
        let on_disk = self.on_disk.get(file).map_or(file, String::as_str);
        let path = self.dir.join(on_disk);
        let source = File::open(&path).map_err(io_error(&path))?;
        read_segment(source, size).map_err(io_error(&path))
    }
}

/// The next version of the metadata, with a new term and no vote.
pub(super) fn next_metadata(scan: &Scan, term: u64) -> Metadata {
    let found = scan.metadata.iter().flatten().flatten();
    let version = found.map(|metadata| metadata.version).max();
    Metadata {
        version: version.unwrap_or(0).saturating_add(1),
        term,
        voted_for: 0,
    }
}

/// 0 for `metadata1`, 1 for `metadata2`.
pub(super) fn half(metadata: Metadata) -> usize {
    usize::from(metadata.version % 2 == 0)
}
