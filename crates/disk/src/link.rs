//! The state directories as links (invariant I2): flipped by one atomic rename.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::effects;

/// What stands where the snap expects a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// A real directory, as on the first day.
    Directory,
    /// A link, and where it points.
    Link(PathBuf),
    /// Neither: a file, a socket.
    Foreign,
}

/// Looks, without following.
///
/// # Errors
/// What the system says.
pub fn look(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        Err(error) => Err(error),
        Ok(meta) if meta.is_symlink() => Ok(Found::Link(fs::read_link(path)?)),
        Ok(meta) if meta.is_dir() => Ok(Found::Directory),
        Ok(_) => Ok(Found::Foreign),
    }
}

/// `NAME.two-node-ha-new`, the link before it takes its place.
fn new_name(path: &Path) -> PathBuf {
    with_suffix(path, ".two-node-ha-new")
}

/// `NAME.before-two-node-ha`: the first day's directory, kept beside its link.
#[must_use]
pub fn kept_name(path: &Path) -> PathBuf {
    with_suffix(path, ".before-two-node-ha")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes `path` a link to `target`, whatever stands there, without a moment in which it is
/// missing. A real directory is exchanged with the link and kept as [`kept_name`].
///
/// May be called again after a crash at any point inside.
///
/// # Errors
/// What the system says; `EEXIST` where two first-day directories would have to be kept.
pub fn flip(path: &Path, target: &Path) -> io::Result<()> {
    let new = new_name(path);
    // Left by a crash: a link that never took its place, or a directory already exchanged.
    finish_exchange(path)?;
    match look(path)? {
        Found::Link(now) if now == target => return Ok(()),
        Found::Missing | Found::Link(_) => {
            effects::symlink(target, &new)?;
            crate::rename(&new, path)?;
        }
        Found::Directory => {
            if look(&kept_name(path))? != Found::Missing {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!(
                        "{} is a directory again although {} was kept from before: somebody put \
                         it there; look at both and move one away",
                        path.display(),
                        kept_name(path).display()
                    ),
                ));
            }
            effects::symlink(target, &new)?;
            effects::exchange(&new, path)?;
            finish_exchange(path)?;
        }
        Found::Foreign => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is neither a directory nor a link", path.display()),
            ));
        }
    }
    if let Some(parent) = path.parent() {
        effects::sync_directory(parent)?;
    }
    Ok(())
}

/// Brings an exchange that a crash interrupted to its end.
fn finish_exchange(path: &Path) -> io::Result<()> {
    let new = new_name(path);
    match look(&new)? {
        Found::Missing => Ok(()),
        Found::Directory => crate::rename(&new, &kept_name(path)),
        Found::Link(_) | Found::Foreign => effects::remove_file(&new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k8s-dqlite");
        (dir, path)
    }

    #[test]
    fn a_directory_becomes_a_link_and_is_kept_beside_it() {
        let (_dir, path) = scratch();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("info.yaml"), "ID: 1").unwrap();
        flip(&path, Path::new("/mnt/drbd0/k8s-dqlite")).unwrap();
        assert_eq!(
            look(&path).unwrap(),
            Found::Link("/mnt/drbd0/k8s-dqlite".into())
        );
        assert_eq!(
            fs::read_to_string(kept_name(&path).join("info.yaml")).unwrap(),
            "ID: 1"
        );
    }

    #[test]
    fn a_link_is_flipped_and_flipping_twice_changes_nothing() {
        let (dir, path) = scratch();
        for target in ["/a", "/b", "/b"] {
            flip(&path, Path::new(target)).unwrap();
            assert_eq!(look(&path).unwrap(), Found::Link(target.into()));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_crash_between_exchange_and_rename_is_brought_to_its_end() {
        let (_dir, path) = scratch();
        symlink("/volume", &path).unwrap();
        fs::create_dir(new_name(&path)).unwrap();
        flip(&path, Path::new("/volume")).unwrap();
        assert_eq!(look(&kept_name(&path)).unwrap(), Found::Directory);
        assert_eq!(look(&new_name(&path)).unwrap(), Found::Missing);
    }

    #[test]
    fn a_second_first_day_directory_is_refused_and_both_stay() {
        let (_dir, path) = scratch();
        fs::create_dir(&path).unwrap();
        fs::create_dir(kept_name(&path)).unwrap();
        assert!(flip(&path, Path::new("/volume")).is_err());
        assert_eq!(look(&path).unwrap(), Found::Directory);
        assert_eq!(look(&kept_name(&path)).unwrap(), Found::Directory);
    }
}
