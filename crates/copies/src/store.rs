//! The directory: names, and what is there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, io_error};
use crate::lock::Lock;
use crate::record::{Method, Record, VERSION};
use crate::{Copies, effects, time};

/// Bytes of the largest record that is read.
const RECORD_LIMIT: u64 = 64 * 1024;
/// What a file has at the end of its name while it is made, or on its way out.
const PART: &str = ".part";
/// `20261124T200000Z`
const TIME: usize = 16;

/// A copy that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its name, for the commands: `RESOURCE-TIME`.
    pub name: String,
    /// Its record.
    pub record: Record,
    /// The image, or the snapshot's device.
    pub path: PathBuf,
    /// Bytes that the image takes on the disk (those of a reflink are shared for as long as they
    /// are the same); `None` with a snapshot.
    pub stored: Option<u64>,
}

/// A resync that was let begin and has not been seen to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// [`VERSION`]: it has that of a [`Record`]. In whichever form, that it is there says that a resync
    /// has not ended.
    pub format: u32,
    /// When it was let begin, in seconds since 1970.
    pub since: u64,
    /// The copy from before it, where there is one.
    pub copy: Option<String>,
}

/// All there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The whole copies, the oldest first.
    pub copies: Vec<Copy>,
    /// The resync that has not ended.
    pub unfinished: Option<Unfinished>,
    /// What a crash left: no copies, cleared by the next call that makes or drops one.
    pub leftovers: Vec<PathBuf>,
    /// Records whose copy is not there or not of its size, and why.
    pub damaged: Vec<(String, String)>,
}

impl Listing {
    /// The copy of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Copy> {
        self.copies.iter().find(|copy| copy.name == name)
    }
}

impl Copies {
    /// All there is. Takes no lock: a copy that is made or dropped meanwhile is in it or not.
    ///
    /// # Errors
    /// When the directory cannot be read. One that is not there is empty.
    pub fn list(&self) -> Result<Listing, Error> {
        let mut listing = Listing {
            unfinished: self.unfinished(),
            ..Listing::default()
        };
        let names = self.names()?;
        for name in &names {
            if let Some(copy) = name.strip_suffix(".json").filter(|copy| self.is_name(copy)) {
                match self.read(copy) {
                    Ok(copy) => listing.copies.push(copy),
                    Err(why) => listing.damaged.push((copy.to_owned(), why)),
                }
            } else if self.is_leftover(name, &names) {
                listing.leftovers.push(self.dir.join(name));
            }
        }
        listing
            .copies
            .sort_by(|a, b| (a.record.time, &a.name).cmp(&(b.record.time, &b.name)));
        Ok(listing)
    }

    /// The copy of that name.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn get(&self, name: &str) -> Result<Copy, Error> {
        if !self.is_name(name) || !self.record_path(name).exists() {
            return Err(Error::NoSuchCopy {
                name: name.to_owned(),
                dir: self.dir.clone(),
            });
        }
        self.read(name).map_err(|what| Error::Damaged {
            name: name.to_owned(),
            what,
        })
    }

    /// The names in the directory, sorted.
    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error("list", &self.dir))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_error("list", &self.dir))?.file_name();
            names.extend(name.to_str().map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    fn is_leftover(&self, name: &str, all: &[String]) -> bool {
        let (bare, part) = match name.strip_suffix(PART) {
            Some(bare) => (bare, true),
            None => (name, false),
        };
        let Some((copy, kind)) = bare.rsplit_once('.') else {
            return false;
        };
        let record = format!("{copy}.json");
        self.is_name(copy)
            && match (kind, part) {
                ("img" | "json", true) => true,
                ("img", false) => !all.contains(&record),
                _ => false,
            }
    }

    /// Whether a copy of this resource may be called that: `RESOURCE-TIME`, perhaps `-N`.
    fn is_name(&self, name: &str) -> bool {
        let rest = name
            .strip_prefix(&self.resource)
            .and_then(|rest| rest.strip_prefix('-'));
        let Some((time, rest)) = rest.and_then(|rest| rest.split_at_checked(TIME)) else {
            return false;
        };
        let is_time = time.bytes().enumerate().all(|(index, byte)| match index {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
        let number = rest.strip_prefix('-').map(str::parse::<u32>);
        is_time && (rest.is_empty() || matches!(number, Some(Ok(_))))
    }

    /// A name that nothing has yet.
    pub(crate) fn new_name(&self, seconds: u64) -> String {
        let base = format!("{}-{}", self.resource, time::compact(seconds));
        let taken = |name: &str| {
            let mut paths = vec![self.record_path(name), self.image_path(name)];
            paths.extend([part(&self.record_path(name)), part(&self.image_path(name))]);
            paths.iter().any(|path| path.exists())
        };
        let mut name = base.clone();
        let mut number = 2_u32;
        while taken(&name) {
            name = format!("{base}-{number}");
            number = number.saturating_add(1);
        }
        name
    }

    fn read(&self, name: &str) -> Result<Copy, String> {
        let path = self.record_path(name);
        let record = read_record(&path)?;
        if record.method == Method::LvmSnapshot {
            let snapshot = record.snapshot.as_deref().unwrap_or_default();
            let path = self.snapshot_path(snapshot);
            if !path.exists() {
                return Err(format!("the snapshot {} is gone", path.display()));
            }
            return Ok(Copy {
                name: name.to_owned(),
                record,
                path,
                stored: None,
            });
        }
        let path = self.image_path(name);
        let meta = path
            .metadata()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if meta.len() != record.size {
            return Err(format!(
                "{} has {} bytes and not {}",
                path.display(),
                meta.len(),
                record.size
            ));
        }
        Ok(Copy {
            name: name.to_owned(),
            record,
            path,
            stored: Some(meta.blocks().saturating_mul(512)),
        })
    }

    pub(crate) fn record_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    pub(crate) fn image_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.img"))
    }

    /// `/dev/VG/LV`
    pub(crate) fn snapshot_path(&self, snapshot: &str) -> PathBuf {
        self.root.join("dev").join(snapshot)
    }

    fn unfinished_path(&self) -> PathBuf {
        self.dir.join(format!("{}.unfinished.json", self.resource))
    }

    /// Makes the directory and takes the lock, waiting until `until`.
    pub(crate) fn lock(&self, until: Option<Instant>) -> Result<Lock, Error> {
        effects::private_directory(&self.dir).map_err(io_error("create", &self.dir))?;
        Lock::take(&self.dir.join(format!("{}.lock", self.resource)), until)
    }

    /// The resync that was let begin and has not been seen to end. A record that cannot be read
    /// says that there is one, and no more.
    pub(crate) fn unfinished(&self) -> Option<Unfinished> {
        let bytes = fs::read(self.unfinished_path()).ok()?;
        let unknown = Unfinished {
            format: VERSION,
            since: 0,
            copy: None,
        };
        Some(serde_json::from_slice(&bytes).unwrap_or(unknown))
    }

    pub(crate) fn set_unfinished(&self, copy: Option<&str>) -> Result<(), Error> {
        let record = Unfinished {
            format: VERSION,
            since: time::now(),
            copy: copy.map(str::to_owned),
        };
        let path = self.unfinished_path();
        let content = serde_json::to_vec(&record).unwrap_or_default();
        effects::replace(&path, &part(&path), &content).map_err(io_error("write", &path))
    }

    pub(crate) fn clear_unfinished(&self) -> Result<(), Error> {
        let path = self.unfinished_path();
        effects::remove(&path)
            .and_then(|()| effects::sync_directory(&self.dir))
            .map_err(io_error("remove", &path))
    }
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Reads a record, whatever its name.
pub fn read_record(path: &Path) -> Result<Record, String> {
    let of = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let size = path.metadata().map_err(|error| of(&error))?.len();
    if size > RECORD_LIMIT {
        return Err(of(&"too large for a record"));
    }
    let bytes = fs::read(path).map_err(|error| of(&error))?;
    // The version comes before the fields: a newer record may lack or add any of them.
    let Head { format } = serde_json::from_slice(&bytes).map_err(|error| of(&error))?;
    if format != VERSION {
        return Err(format!(
            "{} has format {format}, and this version knows {VERSION}: upgrade two-node-ha here",
            path.display()
        ));
    }
    serde_json::from_slice(&bytes).map_err(|error| of(&error))
}

/// The name of a file that is not whole yet.
pub fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_sample::contract::fixtures;

    #[test]
    fn the_record_of_a_resync_that_has_not_ended_has_the_form_of_its_version_and_is_read() {
        let here = fixtures(env!("CARGO_MANIFEST_DIR"));
        let record = Unfinished {
            format: VERSION,
            since: 1_795_552_215,
            copy: Some("r0-20261124T203015Z".into()),
        };
        here.is_todays(
            VERSION,
            "unfinished.json",
            &serde_json::to_string(&record).unwrap(),
        );
        let read: Unfinished = serde_json::from_str(&here.read(1, "unfinished.json")).unwrap();
        assert_eq!(read, record);
    }
}
