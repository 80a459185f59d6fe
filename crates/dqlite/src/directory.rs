//! What a state directory holds, seen without touching it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::metadata::{METADATA_SIZE, Metadata};
use crate::name::{Name, SnapshotName};
use crate::node::NodeInfo;
use crate::yaml::{ReadError, read_cluster, read_info};

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
    let mut halves: [Vec<SnapshotName>; 2] = [Vec::new(), Vec::new()];
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
            Name::Closed { .. } => found.segments += 1,
            Name::Open { .. } => found.open_segments += 1,
            Name::Snapshot(snapshot) => {
                if entry.metadata().map_err(io_error(&path))?.len() > 0 {
                    halves[0].push(snapshot);
                }
            }
            Name::Meta(snapshot) => halves[1].push(snapshot),
            Name::Other => found.other.push(name),
        }
    }
    let [data, meta] = &halves;
    found.snapshots = data.iter().filter(|name| meta.contains(name)).count();
    found.other.sort_unstable();
    Ok(found)
}

/// A metadata file that dqlite would take, of a term above 0.
fn holds_a_term(path: &Path) -> io::Result<bool> {
    let file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut content = Vec::new();
    file.take(METADATA_SIZE as u64).read_to_end(&mut content)?;
    Ok(Metadata::decode(&content, size).is_ok_and(|metadata| metadata.term > 0))
}
