//! A small file as a whole: the old one, or the new one, and never a part of either.

use std::ffi::OsString;
use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::change::TEMPORARY;
pub use crate::change::meant;
use crate::effects;

/// Replaces `path` by `content`: for root alone from the first byte (0600), durable when this returns.
///
/// # Errors
/// What the system says; the old file is still whole.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_with_mode(path, content, 0o600)
}

/// As [`replace`], with another mode for what others may read.
///
/// # Errors
/// What the system says; the old file is still whole.
pub fn replace_with_mode(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let file = written(path, content, Access::Mode(mode))?;
    effects::persist(file, path)?;
    effects::sync_directory(parent(path))
}

/// Makes a new file of `content` (0600) under the first of `names` that nothing has yet; durable when
/// this returns the name.
///
/// # Errors
/// What the system says; there is no new file then, unless only its name could not be made durable.
pub fn create(mut names: impl FnMut() -> PathBuf, content: &[u8]) -> io::Result<PathBuf> {
    let mut path = names();
    let mut file = written(&path, content, Access::Mode(0o600))?;
    loop {
        match effects::persist_new(file, &path)? {
            None => break,
            Some(back) => (file, path) = (back, names()),
        }
    }
    effects::sync_directory(parent(&path))?;
    Ok(path)
}

/// Makes a new file of `content` under `path`, for those who may read and write its neighbour; durable
/// when this returns true. False where the name is taken: then nothing has changed.
///
/// # Errors
/// What the system says; there is no new file then, unless only its name could not be made durable.
pub fn create_like(path: &Path, content: &[u8], neighbour: &Metadata) -> io::Result<bool> {
    let file = written(path, content, Access::Like(neighbour))?;
    if effects::persist_new(file, path)?.is_some() {
        return Ok(false);
    }
    effects::sync_directory(parent(path))?;
    Ok(true)
}

/// Who may read and write a new file.
enum Access<'a> {
    /// Whom the mode lets, of its maker.
    Mode(u32),
    /// Whoever may read and write that file.
    Like(&'a Metadata),
}

/// The content on the disk, without its name.
fn written(path: &Path, content: &[u8], access: Access<'_>) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut prefix = OsString::from(TEMPORARY);
    prefix.push(name);
    prefix.push(".");
    let file = effects::create_temporary(parent(path), &prefix)?;
    effects::write(&mut &*content, file.as_file())?;
    let mode = match access {
        Access::Mode(mode) => mode,
        Access::Like(neighbour) => {
            // The owner first: a change of owner clears set-id bits.
            fchown(file.as_file(), Some(neighbour.uid()), Some(neighbour.gid()))?;
            neighbour.mode() & 0o7777
        }
    };
    if mode != 0o600 {
        let permissions = Permissions::from_mode(mode);
        file.as_file().set_permissions(permissions)?;
    }
    effects::sync(file.as_file())?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::{Loss, cut_before};
    use std::fs;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_replaced_file_is_private_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        fs::write(&path, "old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(mode(&path), 0o600);
        replace_with_mode(&path, b"", 0o644).unwrap();
        assert_eq!(mode(&path), 0o644);
        assert_eq!(names(dir.path()), ["record"]);
    }

    #[test]
    fn a_power_cut_anywhere_leaves_the_old_or_the_new_file_and_the_new_one_stays() {
        for loss in [Loss::Nothing, Loss::Unsynced] {
            for nth in 1.. {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("record");
                fs::write(&path, "old").unwrap();
                let attic = dir.path().join("attic");
                let work = || {
                    let done = replace(&path, b"new");
                    // Whatever happens next: what was said to be durable is not taken back.
                    for next in ["one", "two"] {
                        let _ = effects::make_directory(&dir.path().join(next), 0o700);
                    }
                    done
                };
                let (done, cut) = cut_before(nth, loss, &attic, work);
                let found = fs::read_to_string(&path).unwrap();
                match done {
                    Ok(()) => assert_eq!(found, "new", "{loss:?} {nth}"),
                    Err(_) => assert!(["old", "new"].contains(&&*found), "{loss:?} {nth}: {found}"),
                }
                for name in names(dir.path()) {
                    let left = meant(&name).is_none_or(|meant| meant == "record");
                    assert!(left, "{loss:?} {nth}: {name}");
                }
                if cut.is_none() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_power_cut_anywhere_leaves_a_new_file_whole_or_none_and_one_that_is_made_stays() {
        for loss in [Loss::Nothing, Loss::Unsynced] {
            for nth in 1.. {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("event");
                let attic = dir.path().join("attic");
                let (done, cut) = cut_before(nth, loss, &attic, || {
                    let done = create(|| path.clone(), b"new");
                    for next in ["one", "two"] {
                        let _ = effects::make_directory(&dir.path().join(next), 0o700);
                    }
                    done
                });
                let found = fs::read_to_string(&path).ok();
                match done {
                    Ok(_) => assert_eq!(found.as_deref(), Some("new"), "{loss:?} {nth}"),
                    Err(_) => assert!([None, Some("new")].contains(&found.as_deref()), "{found:?}"),
                }
                if cut.is_none() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_new_file_takes_the_first_free_name_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1"), "mine").unwrap();
        let mut number = 0;
        let numbered = || {
            number += 1;
            dir.path().join(number.to_string())
        };
        let made = create(numbered, b"new").unwrap();
        assert_eq!(made, dir.path().join("2"));
        assert_eq!(mode(&made), 0o600);
        assert_eq!(fs::read_to_string(made).unwrap(), "new");
        assert_eq!(fs::read_to_string(dir.path().join("1")).unwrap(), "mine");
        assert_eq!(names(dir.path()), ["1", "2"]);
    }

    #[test]
    fn a_file_made_like_its_neighbour_has_its_mode_and_owner_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, "").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o640)).unwrap();
        // Only root can give a file away.
        let _ = std::os::unix::fs::chown(&old, Some(65_534), Some(65_533));
        let like = fs::metadata(&old).unwrap();
        assert!(create_like(&new, b"new", &like).unwrap());
        let made = fs::metadata(&new).unwrap();
        let access = |meta: &Metadata| (meta.mode() & 0o7777, meta.uid(), meta.gid());
        assert_eq!(access(&made), access(&like));
        assert!(!create_like(&new, b"newer", &like).unwrap());
        assert_eq!(fs::read_to_string(&new).unwrap(), "new");
        assert_eq!(names(dir.path()), ["new", "old"]);
    }

    #[test]
    fn what_a_cut_leaves_behind_says_what_it_was_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r0.unfinished.json");
        let attic = dir.path().join("attic");
        // The change that is prevented is the one that gives the name.
        let (done, cut) = cut_before(2, Loss::Nothing, &attic, || replace(&path, b"new"));
        assert!(done.is_err() && cut.unwrap().starts_with("rename"));
        let left: Vec<_> = names(dir.path())
            .into_iter()
            .filter_map(|name| meant(&name).map(str::to_owned))
            .collect();
        assert_eq!(left, ["r0.unfinished.json"]);
        for other in ["record", "tmp-", "tmp-record", "tmp-.x", "tmp-record."] {
            assert_eq!(meant(other), None, "{other}");
        }
    }
}
