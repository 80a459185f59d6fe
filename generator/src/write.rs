//! Writing a finished tree: all of it is staged beside its place, then renamed into it, so that
//! what systemd loads is whole or not there.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use crate::tree::{Entry, Tree};
use crate::unit::{DROP_IN, HEADER};

/// Not a name that systemd loads.
const STAGE: &str = ".two-node-ha-generator";

/// What failed, at which path.
#[derive(Debug)]
pub struct WriteError {
    doing: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.doing, self.path, self.error)
    }
}

impl std::error::Error for WriteError {}

/// Turns an I/O error into one that says what was being done to what.
fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> WriteError + 'a {
    move |error| WriteError {
        doing,
        path: path.to_owned(),
        error,
    }
}

/// Writes `tree` below `dir`, which is made if it is not there. When anything fails, nothing of
/// `tree` is left.
///
/// # Errors
/// The first thing that failed. Also a path in `tree` that would leave `dir`.
pub fn write(dir: &Path, tree: &Tree) -> Result<(), WriteError> {
    for (path, _) in tree.iter() {
        check(path).map_err(at("write", Path::new(path)))?;
    }
    make_dir(dir)?;
    let stage = dir.join(STAGE);
    // Left behind by a generator that was killed.
    remove_stage(&stage);
    let mut placed = Vec::with_capacity(tree.len());
    let result = stage_all(&stage, tree).and_then(|()| place_all(&stage, dir, tree, &mut placed));
    if result.is_err() {
        for path in placed {
            let _ = fs::remove_file(path);
        }
    }
    remove_stage(&stage);
    result
}

/// Only plain names, one or two of them: `UNIT`, `UNIT.d/DROP-IN`, `UNIT.wants/UNIT`.
fn check(path: &str) -> io::Result<()> {
    let components: Vec<Component<'_>> = Path::new(path).components().collect();
    let plain = matches!(
        components[..],
        [Component::Normal(_)] | [Component::Normal(_), Component::Normal(_)]
    );
    if plain && !path.ends_with('/') {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a path below the generator's directory",
    ))
}

fn make_dir(dir: &Path) -> Result<(), WriteError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(at("create the directory", dir))
}

fn remove_stage(stage: &Path) {
    // Not followed if someone made it a link; and an error shows when the stage is made anew.
    if fs::remove_dir(stage).is_err_and(|e| e.kind() != io::ErrorKind::NotFound) {
        let _ = fs::remove_dir_all(stage);
    }
}

/// Here a full file system shows, before anything is live. The names are the positions in `tree`.
fn stage_all(stage: &Path, tree: &Tree) -> Result<(), WriteError> {
    DirBuilder::new()
        .mode(0o755)
        .create(stage)
        .map_err(at("create the directory", stage))?;
    for (i, (_, entry)) in tree.iter().enumerate() {
        let path = stage.join(i.to_string());
        match entry {
            Entry::File { content } => OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(&path)
                .and_then(|mut file| file.write_all(content.as_bytes()))
                .map_err(at("write", &path))?,
            Entry::Symlink { target } => symlink(target, &path).map_err(at("link", &path))?,
        }
    }
    Ok(())
}

fn place_all(
    stage: &Path,
    dir: &Path,
    tree: &Tree,
    placed: &mut Vec<PathBuf>,
) -> Result<(), WriteError> {
    for (i, (path, _)) in tree.iter().enumerate() {
        let live = dir.join(path);
        if let Some((parent, _)) = path.rsplit_once('/') {
            let parent = dir.join(parent);
            match DirBuilder::new().mode(0o755).create(&parent) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    // A link there would lead the file out of our directory.
                    let meta = fs::symlink_metadata(&parent).map_err(at("look at", &parent))?;
                    if !meta.is_dir() {
                        return Err(at("write below", &parent)(io::Error::from(
                            io::ErrorKind::NotADirectory,
                        )));
                    }
                }
                other => other.map_err(at("create the directory", &parent))?,
            }
        }
        fs::rename(stage.join(i.to_string()), &live).map_err(at("put in place", &live))?;
        placed.push(live);
    }
    Ok(())
}

/// Removes what an earlier run with another configuration left in `dir` and none of `trees` holds.
///
/// systemd empties the directory before each run; this is for whoever runs the generator by hand.
/// Ours are known by their names, drop-ins by their first line, masks by what they mask: all our
/// masks are of DRBD's units, and no other generator writes such.
///
/// # Errors
/// A directory that cannot be listed, or a stale file that cannot be removed.
pub fn sweep(dir: &Path, trees: &[&Tree]) -> Result<(), WriteError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(at("list", dir))?,
    };
    let kept = |path: &str| trees.iter().any(|tree| tree.contains(path));
    for entry in entries {
        let entry = entry.map_err(at("list", dir))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = entry.path();
        let kind = entry.file_type().map_err(at("look at", &path))?;
        let stale = if kind.is_dir() {
            let inside = match name.rsplit_once('.') {
                Some((_, "d")) => vec![DROP_IN.to_owned()],
                Some((_, "wants")) => ours_in(&path)?,
                _ => continue,
            };
            inside
                .into_iter()
                .filter(|file| !kept(&format!("{name}/{file}")))
                .map(|file| path.join(file))
                .filter(|file| !file.ends_with(DROP_IN) || is_ours(file))
                .collect()
        } else if kept(name) {
            continue;
        } else if kind.is_symlink() {
            let mask = name.starts_with("drbd")
                && fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null"));
            if mask { vec![path.clone()] } else { continue }
        } else if name.starts_with("two-node-ha-") && is_ours(&path) {
            vec![path.clone()]
        } else {
            continue;
        };
        for file in &stale {
            fs::remove_file(file).map_err(at("remove the stale", file))?;
        }
        if kind.is_dir() && !stale.is_empty() {
            // Only if it is empty now; others may have files there.
            let _ = fs::remove_dir(&path);
        }
    }
    Ok(())
}

fn ours_in(dir: &Path) -> Result<Vec<String>, WriteError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("list", dir))? {
        let name = entry.map_err(at("list", dir))?.file_name();
        if let Some(name) = OsStr::to_str(&name) {
            if name.starts_with("two-node-ha-") {
                names.push(name.to_owned());
            }
        }
    }
    Ok(names)
}

fn is_ours(file: &Path) -> bool {
    fs::read(file).is_ok_and(|content| content.starts_with(HEADER.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, content) in files {
            tree.file((*path).to_owned(), (*content).to_owned());
        }
        tree
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_tree_is_written_with_its_parents_and_nothing_else_is_left() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("run/generator");
        let mut tree = tree(&[("a.service", "A"), ("b.service.d/x.conf", "B")]);
        tree.symlink("c.wants/a.service".to_owned(), "../a.service".to_owned());
        write(&dir, &tree).unwrap();
        assert_eq!(names(&dir), ["a.service", "b.service.d", "c.wants"]);
        assert_eq!(
            fs::read_to_string(dir.join("b.service.d/x.conf")).unwrap(),
            "B"
        );
        assert_eq!(
            fs::read_to_string(dir.join("c.wants/a.service")).unwrap(),
            "A"
        );
    }

    #[test]
    fn a_path_that_leaves_the_directory_is_refused_before_anything_is_written() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("normal");
        for bad in [
            "../x",
            "/etc/x",
            "a/../../x",
            "a/b/c",
            "",
            ".",
            "x/",
            "a/./../b",
        ] {
            assert!(
                write(&dir, &tree(&[("a.service", "A"), (bad, "X")])).is_err(),
                "{bad:?}"
            );
            assert!(!dir.exists(), "{bad:?}");
        }
    }

    #[test]
    fn a_linked_parent_is_refused_and_what_was_placed_before_is_taken_back() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("normal");
        let outside = base.path().join("outside");
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, dir.join("z.service.d")).unwrap();
        let error = write(&dir, &tree(&[("a.service", "A"), ("z.service.d/x", "X")])).unwrap_err();
        assert!(error.to_string().contains("z.service.d"), "{error}");
        assert_eq!(names(&dir), ["z.service.d"]);
        assert_eq!(names(&outside), [""; 0]);
    }

    #[test]
    fn an_existing_file_is_replaced_and_a_stage_left_by_a_killed_run_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(STAGE)).unwrap();
        fs::write(dir.path().join(STAGE).join("0"), "half").unwrap();
        fs::write(dir.path().join("a.service"), "old").unwrap();
        write(dir.path(), &tree(&[("a.service", "new")])).unwrap();
        assert_eq!(names(dir.path()), ["a.service"]);
        assert_eq!(
            fs::read_to_string(dir.path().join("a.service")).unwrap(),
            "new"
        );
    }

    #[test]
    fn a_sweep_takes_our_stale_files_and_leaves_those_of_others() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path();
        let ours = format!("{HEADER}x");
        let drop_in = format!("snap.k8s.x.service.d/{DROP_IN}");
        let theirs = format!("other.service.d/{DROP_IN}");
        let mut old = tree(&[
            ("two-node-ha-config-error.service", &ours),
            (&drop_in, &ours),
            (&theirs, "# somebody else's\n"),
            ("snap.k8s.y.service.d/other.conf", "other"),
            ("two-node-ha-by-hand.service", "# by hand\n"),
        ]);
        let link = |tree: &mut Tree, path: &str, target: &str| {
            tree.symlink(path.to_owned(), target.to_owned());
        };
        link(&mut old, "drbd@old.service", "/dev/null");
        link(&mut old, "drbd.service", "/dev/null");
        link(&mut old, "other.service", "/dev/null");
        link(
            &mut old,
            "multi-user.target.wants/two-node-ha-k8s.service",
            "/x",
        );
        link(&mut old, "multi-user.target.wants/other.service", "/x");
        write(dir, &old).unwrap();

        let mut new = Tree::default();
        link(&mut new, "drbd.service", "/dev/null");
        sweep(dir, &[&new]).unwrap();
        assert_eq!(
            names(dir),
            [
                "drbd.service",
                "multi-user.target.wants",
                "other.service",
                "other.service.d",
                "snap.k8s.y.service.d",
                "two-node-ha-by-hand.service",
            ]
        );
        assert_eq!(
            names(&dir.join("multi-user.target.wants")),
            ["other.service"]
        );
    }
}
