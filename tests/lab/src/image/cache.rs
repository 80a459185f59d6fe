//! The cache: directories named `KIND-DIGEST`, complete or not there at all.

use crate::progress;
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Entries of a kind that outlive the making of a new one: switching between two branches should
/// not build everything anew each time.
const KEEP: usize = 3;

/// What an entry is made of.
pub struct Recipe(Sha256);

impl Recipe {
    /// A recipe for entries of this kind. `version` changes when the way of making them does.
    #[must_use]
    pub fn new(kind: &str, version: u32) -> Self {
        let mut recipe = Self(Sha256::new());
        recipe.add(kind.as_bytes());
        recipe.add(&version.to_le_bytes());
        recipe
    }

    /// Adds bytes, with their length, so that no two lists of ingredients read the same.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds a file or a whole tree: names, modes, contents, links.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn add_tree(&mut self, path: &Path) -> Result<()> {
        let context = || format!("read {}", path.display());
        let meta = fs::symlink_metadata(path).with_context(context)?;
        self.add(path.file_name().unwrap_or_default().as_bytes());
        self.add(&meta.permissions().mode().to_le_bytes());
        if meta.is_symlink() {
            self.add(
                fs::read_link(path)
                    .with_context(context)?
                    .as_os_str()
                    .as_bytes(),
            );
        } else if meta.is_dir() {
            let mut entries = fs::read_dir(path)
                .and_then(|entries| {
                    entries
                        .map(|e| e.map(|e| e.path()))
                        .collect::<Result<Vec<_>, _>>()
                })
                .with_context(context)?;
            entries.sort();
            self.add(&(entries.len() as u64).to_le_bytes());
            for entry in entries {
                self.add_tree(&entry)?;
            }
        } else {
            self.add(&fs::read(path).with_context(context)?);
        }
        Ok(())
    }

    /// 16 hexadecimal digits: enough for a cache.
    fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .take(8)
            .map(|b| format!("{b:02x}"))
            .collect()
    }
}

/// An entry of the cache: made if it is not there. `make` fills the directory it is given.
/// Several labs may ask at once; one makes it, the others wait.
///
/// # Errors
/// Those of `make`; a half-made entry is removed.
pub fn entry(
    cache: &Path,
    kind: &str,
    what: &str,
    recipe: Recipe,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let path = cache.join(format!("{kind}-{}", recipe.finish()));
    if path.is_dir() {
        touch(&path);
        return Ok(path);
    }
    fs::create_dir_all(cache).with_context(|| format!("make {}", cache.display()))?;
    let _lock = lock(cache, kind)?;
    if path.is_dir() {
        return Ok(path);
    }
    sweep(cache, kind);
    progress::step(what, || {
        let half = cache.join(format!("{kind}.part"));
        fs::create_dir(&half).with_context(|| format!("make {}", half.display()))?;
        let made = make(&half).and_then(|()| {
            fs::rename(&half, &path).with_context(|| format!("put {} in place", path.display()))
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&half);
        }
        made
    })?;
    prune(cache, kind, &path);
    Ok(path)
}

fn lock(cache: &Path, kind: &str) -> Result<Flock<File>> {
    let path = cache.join(format!("{kind}.lock"));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, _)) => progress::step(
            &format!("waiting for another lab that makes the same {kind}"),
            || {
                Flock::lock(file, FlockArg::LockExclusive)
                    .map_err(|(_, e)| e)
                    .with_context(|| format!("lock {}", path.display()))
            },
        ),
    }
}

/// Removes what a killed lab left half-made.
fn sweep(cache: &Path, kind: &str) {
    let _ = fs::remove_dir_all(cache.join(format!("{kind}.part")));
}

/// Marks the entry as used, for [`prune`].
fn touch(path: &Path) {
    if let Ok(dir) = File::open(path) {
        let _ = dir.set_modified(SystemTime::now());
    }
}

/// Removes the entries of the kind that were not used for longest, and not within the last hour,
/// so that no running lab loses its kernel.
fn prune(cache: &Path, kind: &str, new: &Path) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    let prefix = format!("{kind}-");
    let mut old: Vec<(i64, PathBuf)> = entries
        .flatten()
        .filter(|e| {
            e.file_name().to_string_lossy().starts_with(&prefix)
                && e.path() != new
                && e.path().is_dir()
        })
        .filter_map(|e| Some((e.metadata().ok()?.mtime(), e.path())))
        .collect();
    old.sort();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let limit = hour_ago
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let surplus = (old.len() + 1).saturating_sub(KEEP);
    for (used, path) in old.into_iter().take(surplus) {
        if used < limit {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[&[u8]]) -> String {
        let mut recipe = Recipe::new("test", 1);
        parts.iter().for_each(|p| recipe.add(p));
        recipe.finish()
    }

    #[test]
    fn moving_a_byte_between_ingredients_changes_the_digest() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[b"ab", b"c"]), digest(&[b"ab", b"c"]));
    }

    #[test]
    fn a_failed_making_leaves_nothing_and_the_next_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let make = |ok: bool| {
            entry(
                dir.path(),
                "thing",
                "making a thing",
                Recipe::new("thing", 1),
                |half| {
                    fs::write(half.join("file"), "x")?;
                    if ok { Ok(()) } else { anyhow::bail!("no") }
                },
            )
        };
        assert!(make(false).is_err());
        assert!(!dir.path().join("thing.part").exists());
        assert!(make(true).unwrap().join("file").is_file());
    }

    #[test]
    fn an_entry_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut made = 0;
        for _ in 0..2 {
            entry(
                dir.path(),
                "thing",
                "making a thing",
                Recipe::new("thing", 1),
                |_| {
                    made += 1;
                    Ok(())
                },
            )
            .unwrap();
        }
        assert_eq!(made, 1);
    }

    #[test]
    fn a_change_deep_in_a_tree_changes_the_digest() {
        let dir = tempfile::tempdir().unwrap();
        let of = || {
            let mut recipe = Recipe::new("tree", 1);
            recipe.add_tree(dir.path()).unwrap();
            recipe.finish()
        };
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/c"), "1").unwrap();
        let before = of();
        fs::write(dir.path().join("a/b/c"), "2").unwrap();
        assert_ne!(before, of());
    }
}
