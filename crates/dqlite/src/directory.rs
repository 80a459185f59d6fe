//! What a state directory holds, seen without touching it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::node::NodeInfo;
use crate::yaml::{ReadError, read_cluster, read_info};

/// The marker of a node that has not finished joining its cluster (go-dqlite's `joinFile`).
const JOIN_FILE: &str = "join";

/// A state directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// `info.yaml`
    pub info: Option<NodeInfo>,
    /// `cluster.yaml`
    pub cluster: Option<Vec<NodeInfo>>,
    /// Whether `join` is there.
    pub join: bool,
    /// Whether `metadata1` and `metadata2` hold a raft term. One that is short, of another format
    /// or of term 0 counts as absent: dqlite throws the first away and bootstraps over the last.
    pub metadata: [bool; 2],
    /// Snapshots of which both halves are there and the data is not empty.
    pub snapshots: usize,
    /// Closed segments.
    pub segments: usize,
    /// Open segments.
    pub open_segments: usize,
    /// Names of everything else, sorted: certificates, sockets, leftovers.
    pub other: Vec<String>,
}

/// Why a state directory could not be inspected.
#[derive(Debug, Error)]
pub enum InspectError {
    /// There is none.
    #[error("{} is not there", .0.display())]
    Absent(PathBuf),
    /// The system could not read it.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// One of its YAML files cannot be read.
    #[error(transparent)]
    Yaml(#[from] ReadError),
}

impl Directory {
    /// Whether raft has been running here: a term is recorded. Without one dqlite would bootstrap
    /// or wait, whatever segments lie about.
    #[must_use]
    pub fn has_raft_state(&self) -> bool {
        self.metadata.contains(&true)
    }

    /// Whether any of the database's own files is here.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.snapshots > 0 || self.segments > 0 || self.open_segments > 0
    }
}

/// Says what a state directory holds. Reads only.
///
/// # Errors
/// When it is not there, cannot be read, or has a YAML file that makes no sense.
pub fn inspect(dir: &Path) -> Result<Directory, InspectError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| InspectError::Io { path, source }
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(InspectError::Absent(dir.to_owned()));
        }
        Err(e) => return Err(io_error(dir)(e)),
    };
    let mut found = Directory {
        info: read_info(dir)?,
        cluster: read_cluster(dir)?,
        ..Directory::default()
    };
    let mut snapshots: Vec<(String, bool)> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error(dir))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(io_error(&path))?;
        match Name::of(&name) {
            _ if !kind.is_file() => found.other.push(name),
            Name::Yaml => {}
            Name::Join => found.join = true,
            Name::Metadata(index) => {
                found.metadata[index] = holds_a_term(&path).map_err(io_error(&path))?;
            }
            Name::Closed => found.segments += 1,
            Name::Open => found.open_segments += 1,
            Name::Snapshot => {
                let size = entry.metadata().map_err(io_error(&path))?.len();
                snapshots.push((name, size > 0));
            }
            Name::Other => found.other.push(name),
        }
    }
    for (name, has_content) in &snapshots {
        let Some(data) = name.strip_suffix(".meta") else {
            continue;
        };
        if *has_content
            && snapshots
                .iter()
                .any(|(other, content)| other == data && *content)
        {
            found.snapshots += 1;
        }
    }
    found.other.sort_unstable();
    Ok(found)
}

/// What a file of dqlite's is, by its name.
enum Name {
    Yaml,
    Join,
    Metadata(usize),
    Closed,
    Open,
    Snapshot,
    Other,
}

impl Name {
    fn of(name: &str) -> Self {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        match name {
            crate::INFO_FILE | crate::CLUSTER_FILE => return Self::Yaml,
            JOIN_FILE => return Self::Join,
            "metadata1" => return Self::Metadata(0),
            "metadata2" => return Self::Metadata(1),
            _ => {}
        }
        if name.strip_prefix("open-").is_some_and(digits) {
            return Self::Open;
        }
        // %016d-%016d, the first and the last index.
        if let Some((first, last)) = name.split_once('-') {
            if first.len() >= 16 && last.len() >= 16 && digits(first) && digits(last) {
                return Self::Closed;
            }
        }
        // snapshot-TERM-INDEX-TIMESTAMP, with or without .meta
        if let Some(rest) = name.strip_prefix("snapshot-") {
            let parts = rest.strip_suffix(".meta").unwrap_or(rest);
            if parts.split('-').count() == 3 && parts.split('-').all(digits) {
                return Self::Snapshot;
            }
        }
        Self::Other
    }
}

/// Format 1 and a term above 0 in a whole metadata file: u64 format, version, term, voted_for.
fn holds_a_term(path: &Path) -> io::Result<bool> {
    let mut bytes = [0; 32];
    match fs::File::open(path)?.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(e) => return Err(e),
    }
    let word = |index: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
        u64::from_le_bytes(word)
    };
    Ok(word(0) == 1 && word(2) > 0)
}
