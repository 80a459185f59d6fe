//! Taking the steps in a copy of a directory.
//!
//! Whoever calls has made the copy and is alone in it, and nobody uses it before it has been
//! verified: a crash in between leaves a copy that is thrown away.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::encode;
use super::plan::Plan;
use super::trial::{half, next_metadata};
use crate::remedy::{Step, closed_name};
use crate::scan::scan;
use crate::scan_error::ScanError;
use crate::yaml::{format_cluster, format_info};

/// Why a step could not be taken.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The system said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of the directories cannot be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Another directory has changed since the plan was made.
    #[error("{} has changed since it was looked at: stop whatever writes to it", .0.display())]
    Changed(PathBuf),
}

/// Takes the steps of a plan in `dir`, a copy of the directory that the plan is for.
///
/// # Errors
/// See [`ApplyError`]; the copy is of no use then.
pub fn apply(dir: &Path, plan: &Plan) -> Result<(), ApplyError> {
    let owner = fs::metadata(dir).map_err(doing("look at", dir))?;
    let owner = (owner.uid(), owner.gid());
    for planned in &plan.steps {
        take(dir, owner, plan, &planned.step)?;
    }
    let names = File::open(dir).map_err(doing("open", dir))?;
    names.sync_all().map_err(doing("sync", dir))
}

fn take(dir: &Path, owner: (u32, u32), plan: &Plan, step: &Step) -> Result<(), ApplyError> {
    let source_of = |number: usize| {
        let missing = || ApplyError::Changed(dir.to_owned());
        plan.sources.get(number).ok_or_else(missing)
    };
    match step {
        Step::LeaveOut { file } => {
            let path = dir.join(file);
            fs::remove_file(&path).map_err(doing("leave out", &path))
        }
        Step::Rename { file, to } => rename(&dir.join(file), &dir.join(to)),
        Step::Cut { file, size, to } => {
            let (path, kept) = (dir.join(file), dir.join(format!("tmp-{file}")));
            let source = File::open(&path).map_err(doing("open", &path))?;
            let meta = source.metadata().map_err(doing("look at", &path))?;
            let (owner, mode) = ((meta.uid(), meta.gid()), meta.mode());
            write(&kept, owner, mode, |target| {
                match io::copy(&mut source.take(*size), target)? {
                    copied if copied == *size => Ok(()),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            })?;
            fs::remove_file(&path).map_err(doing("leave out", &path))?;
            rename(&kept, &dir.join(to))
        }
        Step::Term { term } => {
            let metadata = next_metadata(&scan(dir)?, *term);
            let name = ["metadata1", "metadata2"][half(metadata)];
            replace(&dir.join(name), owner, &metadata.encode())
        }
        Step::Info { node } => {
            let content = format_info(node);
            replace(&dir.join(crate::INFO_FILE), owner, content.as_bytes())
        }
        Step::Cluster { nodes } => {
            let content = format_cluster(nodes);
            replace(&dir.join(crate::CLUSTER_FILE), owner, content.as_bytes())
        }
        Step::Entries { source, range } => {
            let source = source_of(*source)?;
            let all = encode::segments(&mut source.from(range.first), *range, |encoded| {
                let path = dir.join(closed_name(encoded.first, encoded.entries));
                write(&path, owner, 0o600, |file| file.write_all(&encoded.content))
            })?;
            if all {
                Ok(())
            } else {
                Err(ApplyError::Changed(source.dir.clone()))
            }
        }
        Step::Snapshot { source, file } => {
            let source = source_of(*source)?;
            for name in [file.clone(), format!("{file}.meta")] {
                let from = source.dir.join(&name);
                let mut content = File::open(&from).map_err(doing("open", &from))?;
                write(&dir.join(&name), owner, 0o600, |target| {
                    io::copy(&mut content, target).map(|_| ())
                })?;
            }
            Ok(())
        }
    }
}

/// A file that need not be there yet.
fn replace(path: &Path, owner: (u32, u32), content: &[u8]) -> Result<(), ApplyError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(doing("replace", path)(e)),
        _ => {}
    }
    write(path, owner, 0o600, |file| file.write_all(content))
}

/// A new file, durable: nobody else's until it is whole.
fn write(
    path: &Path,
    (uid, gid): (u32, u32),
    mode: u32,
    content: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), ApplyError> {
    let make = || {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        content(&mut file)?;
        chown(path, Some(uid), Some(gid))?;
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
        file.sync_all()
    };
    make().map_err(doing("write", path))
}

fn rename(from: &Path, to: &Path) -> Result<(), ApplyError> {
    // Nobody else is in the copy, so nothing comes in between.
    if to.symlink_metadata().is_ok() {
        return Err(doing("rename to", to)(io::ErrorKind::AlreadyExists.into()));
    }
    fs::rename(from, to).map_err(doing("rename to", to))
}

fn doing(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ApplyError {
    let path = path.to_owned();
    move |source| ApplyError::Io {
        doing,
        path,
        source,
    }
}
