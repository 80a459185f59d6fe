//! Failpoints: in a test, a power that can be cut before any change of the disk.
//!
//! A test plugs in a [`Supply`] for its own thread; without one every change is taken as it
//! comes. From the cut on, the node that it hit can change nothing any more. With
//! [`Loss::Unsynced`], the cut also takes back what was never made durable, as POSIX allows: a
//! name changes for good when one of its directories is synced, a file's content when the file
//! is, and what is not synced is cut to half its length. It is cut wherever that leaves the disk
//! otherwise than every other cut.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::change::{Change, TEMPORARY};
use crate::fault::Fault;

/// What a cut takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing that was done is lost.
    Nothing,
    /// What was not synced is lost.
    Unsynced,
}

/// Called after each change with what it was, and with the node that made it.
pub type Watch = dyn Fn(usize, &Change<'_>);

/// Called before each change with whose it is and what it is: it may do what the world does meanwhile,
/// or refuse the change, as a full disk does.
pub type Hook = dyn Fn(usize, &Change<'_>) -> io::Result<()>;

/// The device of a node's directory, and what is wrong with it.
pub type Room = dyn Fn(usize, &Path) -> (u64, Option<Fault>);

/// The power of a test's nodes.
pub struct Supply {
    loss: Loss,
    /// The change before which it is cut, counted from 1.
    cut_at: Option<u64>,
    changes: u64,
    /// Whose changes are being made.
    node: usize,
    /// Whom the cut has hit.
    off: Option<usize>,
    /// Where what an undo needs is kept.
    attic: PathBuf,
    kept: u64,
    names: Vec<(usize, Name)>,
    contents: Vec<(usize, File)>,
    protected: BTreeSet<PathBuf>,
    watch: Option<Rc<Watch>>,
    hook: Option<Rc<Hook>>,
    room: Option<Rc<Room>>,
    last: String,
}

/// How to take back a change of a name.
#[derive(Debug)]
enum Name {
    Renamed(PathBuf, PathBuf, Before),
    Exchanged(PathBuf, PathBuf),
    /// With the inode, so that nobody else's is removed.
    Made(PathBuf, u64),
    Removed(PathBuf, Before),
}

/// What stood under a name.
#[derive(Debug)]
enum Before {
    Nothing,
    Link(PathBuf),
    /// A file, linked into the attic.
    File(PathBuf),
}

thread_local! {
    static SUPPLY: RefCell<Option<Supply>> = const { RefCell::new(None) };
}

fn with<T>(use_it: impl FnOnce(&mut Supply) -> T) -> Option<T> {
    SUPPLY.with(|supply| supply.borrow_mut().as_mut().map(use_it))
}

/// Plugs a supply in for this thread, with the power on until the change `cut_at`.
pub fn plug_in(attic: &Path, loss: Loss, watch: Rc<Watch>, flags: BTreeSet<PathBuf>) {
    fs::create_dir_all(attic).unwrap();
    let supply = Supply {
        loss,
        cut_at: None,
        changes: 0,
        node: 0,
        off: None,
        attic: attic.to_path_buf(),
        kept: 0,
        names: Vec::new(),
        contents: Vec::new(),
        protected: flags,
        watch: Some(watch),
        hook: None,
        room: None,
        last: String::new(),
    };
    SUPPLY.with(|slot| *slot.borrow_mut() = Some(supply));
}

/// Whether a supply is plugged in for this thread.
#[must_use]
pub fn is_plugged_in() -> bool {
    with(|_| ()).is_some()
}

/// Runs `work` with a supply of its own, that is cut before its `nth` change. With what it returned,
/// the change that did not happen; `None` where there were fewer.
pub fn cut_before<T>(
    nth: u64,
    loss: Loss,
    attic: &Path,
    work: impl FnOnce() -> T,
) -> (T, Option<String>) {
    plug_in(attic, loss, Rc::new(|_, _| ()), BTreeSet::new());
    cut_at(Some(nth));
    let result = work();
    let cut = off().map(|(_, change)| change);
    SUPPLY.with(|slot| *slot.borrow_mut() = None);
    (result, cut)
}

/// Has `hook` called before each change from now on.
pub fn before_each(hook: Option<Rc<Hook>>) {
    with(|s| s.hook = hook);
}

/// Has `ask` tell what is wrong with a file system, of which nothing is without it.
pub fn rooms(ask: Option<Rc<Room>>) {
    with(|s| s.room = ask);
}

/// What statvfs(2) would say. `None` without a supply.
pub(crate) fn room(directory: &Path) -> Option<(u64, Option<Fault>)> {
    let (ask, node) = with(|s| (s.room.clone(), s.node))?;
    Some(ask.map_or((0, None), |ask| ask(node, directory)))
}

/// The immutable flags that are set.
pub fn flags() -> BTreeSet<PathBuf> {
    with(|s| s.protected.clone()).unwrap_or_default()
}

/// Cuts the power before the `nth` change from now on.
pub fn cut_at(nth: Option<u64>) {
    with(|s| (s.changes, s.cut_at) = (0, nth));
}

/// The node that the cut has hit, and the change that it prevented.
pub fn off() -> Option<(usize, String)> {
    with(|s| s.off.map(|node| (node, s.last.clone()))).flatten()
}

/// The node has power again; everything that it had done until then is on its disk.
pub fn back() {
    with(|s| {
        s.off = None;
        s.names.clear();
        s.contents.clear();
    });
}

/// Whatever `work` changes is `node`'s doing.
pub fn of_node<T>(node: usize, work: impl FnOnce() -> T) -> T {
    let before = with(|s| std::mem::replace(&mut s.node, node));
    let result = work();
    if let Some(before) = before {
        with(|s| s.node = before);
    }
    result
}

/// The immutable flag, which in a test is a note: setting it needs a privilege. `None` without a
/// supply.
pub(crate) fn flag(path: &Path, set: Option<bool>) -> Option<io::Result<Option<bool>>> {
    let change = Change::Other("flag", path);
    with(|_| ())?;
    if let Some(set) = set {
        let noted = pass(change, || {
            with(|s| match set {
                true => s.protected.insert(path.to_path_buf()),
                false => s.protected.remove(path),
            });
            Ok(())
        });
        if let Err(error) = noted {
            return Some(Err(error));
        }
    }
    with(|s| Ok(Some(s.protected.contains(path))))
}

/// A power cut leaves temporary files behind.
pub(crate) fn keep(mut file: tempfile::NamedTempFile) -> tempfile::NamedTempFile {
    file.disable_cleanup(with(|_| ()).is_some());
    file
}

/// Takes a change, unless the power is off.
pub fn pass<T>(change: Change<'_>, take: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(on) = with(|s| s.reach(&change)) else {
        return take();
    };
    if !on {
        return Err(io::Error::other("the power is off"));
    }
    if let Some((Some(hook), node)) = with(|s| (s.hook.clone(), s.node)) {
        hook(node, &change)?;
    }
    let before = with(|s| s.before(&change)).flatten();
    let result = take();
    if result.is_ok() {
        with(|s| s.record(&change, before));
    }
    let watch = with(|s| (s.watch.clone(), s.node));
    if let Some((Some(watch), node)) = watch {
        watch(node, &change);
    }
    result
}

impl Supply {
    /// Whether the power is on for the node at hand.
    fn reach(&mut self, change: &Change<'_>) -> bool {
        if self.off == Some(self.node) {
            return false;
        }
        if !self.is_a_point(change) {
            return true;
        }
        self.changes += 1;
        if self.cut_at == Some(self.changes) {
            self.off = Some(self.node);
            self.last = describe(change);
            self.cut(change);
            return false;
        }
        true
    }

    /// Whether a cut before this change leaves what no other cut does.
    fn is_a_point(&self, change: &Change<'_>) -> bool {
        match change {
            // Before a sync all is as before the next change, or, with its loss, as it was before.
            Change::Sync(_) | Change::SyncDirectory(_) | Change::SyncAll(_) => return false,
            // Nobody but its maker sees a temporary file: one cut before it gets its name will do.
            Change::Write(file) => {
                let path = path_of(file);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with(TEMPORARY) {
                    return false;
                }
            }
            _ => {}
        }
        let hit = |node: &usize| *node == self.node;
        self.loss == Loss::Nothing
            || self.names.iter().any(|(node, _)| hit(node))
            || self.contents.iter().any(|(node, _)| hit(node))
    }

    fn cut(&mut self, change: &Change<'_>) {
        if let Change::RemoveTree(path) = change {
            remove_half(path);
        }
        if self.loss == Loss::Nothing {
            return;
        }
        let hit = self.node;
        for (node, file) in std::mem::take(&mut self.contents) {
            if node == hit {
                let half = file.metadata().unwrap().len() / 2;
                file.set_len(half).unwrap();
            }
        }
        for (node, name) in std::mem::take(&mut self.names).into_iter().rev() {
            if node == hit {
                name.undo();
            }
        }
    }

    /// What must be known of before the change to take it back.
    fn before(&mut self, change: &Change<'_>) -> Option<Before> {
        if self.loss == Loss::Nothing {
            return None;
        }
        match change {
            Change::Rename(_, path) | Change::Remove(path) => Some(self.keep(path)),
            _ => None,
        }
    }

    fn keep(&mut self, path: &Path) -> Before {
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_symlink() => Before::Link(fs::read_link(path).unwrap()),
            Ok(meta) if meta.is_dir() => Before::Nothing,
            Ok(_) => {
                self.kept += 1;
                let attic = self.attic.join(self.kept.to_string());
                fs::hard_link(path, &attic).unwrap();
                Before::File(attic)
            }
            Err(_) => Before::Nothing,
        }
    }

    fn record(&mut self, change: &Change<'_>, before: Option<Before>) {
        // `/run` is empty after every cut.
        let gone = |path: &Path| path.components().any(|c| c.as_os_str() == "run");
        let passing = match change {
            Change::Make(path) | Change::Remove(path) | Change::Rename(_, path) => gone(path),
            _ => false,
        };
        if self.loss == Loss::Nothing || passing {
            return;
        }
        let node = self.node;
        let before = before.unwrap_or(Before::Nothing);
        match change {
            Change::Rename(from, to) => {
                self.names
                    .push((node, Name::Renamed(real(from), real(to), before)));
            }
            Change::Exchange(one, other) => {
                self.names
                    .push((node, Name::Exchanged(real(one), real(other))));
            }
            Change::Make(path) => {
                let inode = fs::symlink_metadata(path).unwrap().ino();
                self.names.push((node, Name::Made(real(path), inode)));
            }
            Change::Remove(path) => {
                self.names.push((node, Name::Removed(real(path), before)));
            }
            Change::Write(file) => {
                let known = |(whose, other): &(usize, File)| {
                    *whose == node && identity(other) == identity(file)
                };
                if !self.contents.iter().any(known) {
                    self.contents.push((node, file.try_clone().unwrap()));
                }
            }
            Change::Sync(file) => {
                let synced = identity(file);
                self.contents.retain(|(_, other)| identity(other) != synced);
            }
            Change::SyncDirectory(path) => {
                let path = fs::canonicalize(path).unwrap();
                self.names.retain(|(_, name)| !name.is_in(&path));
            }
            Change::SyncAll(path) => {
                let path = fs::canonicalize(path).unwrap();
                self.names.retain(|(_, name)| !name.is_below(&path));
                self.contents
                    .retain(|(_, file)| !path_of(file).starts_with(&path));
            }
            Change::RemoveTree(_) | Change::Other(..) => {}
        }
    }
}

impl Name {
    fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Renamed(a, b, _) | Self::Exchanged(a, b) => vec![a, b],
            Self::Made(path, _) | Self::Removed(path, _) => vec![path],
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        self.paths()
            .iter()
            .any(|path| path.parent() == Some(directory))
    }

    fn is_below(&self, directory: &Path) -> bool {
        self.paths().iter().all(|path| path.starts_with(directory))
    }

    /// What is gone with something above it cannot and need not be taken back.
    fn undo(self) {
        match self {
            Self::Renamed(from, to, before) => {
                if fs::rename(&to, &from).is_ok() {
                    before.put_back(&to);
                }
            }
            Self::Exchanged(one, other) => {
                let aside = one.with_extension("undone");
                if fs::rename(&one, &aside).is_ok() {
                    fs::rename(&other, &one).unwrap();
                    fs::rename(&aside, &other).unwrap();
                }
            }
            Self::Made(path, inode) => {
                if let Ok(meta) = fs::symlink_metadata(&path) {
                    if meta.ino() == inode && meta.is_dir() {
                        fs::remove_dir_all(&path).unwrap();
                    } else if meta.ino() == inode {
                        fs::remove_file(&path).unwrap();
                    }
                }
            }
            Self::Removed(path, before) => {
                if fs::symlink_metadata(&path).is_err() {
                    before.put_back(&path);
                }
            }
        }
    }
}

impl Before {
    fn put_back(self, path: &Path) {
        // The directory may be gone.
        let _ = match self {
            Self::Nothing => Ok(()),
            Self::Link(target) => symlink(target, path),
            Self::File(attic) => fs::hard_link(attic, path),
        };
    }
}

/// The paths whose content or names a change is about; none for what is beside the disk.
pub fn paths(change: &Change<'_>) -> Vec<PathBuf> {
    match change {
        Change::Rename(one, other) | Change::Exchange(one, other) => {
            vec![one.to_path_buf(), other.to_path_buf()]
        }
        Change::Make(path)
        | Change::Remove(path)
        | Change::RemoveTree(path)
        | Change::SyncDirectory(path)
        | Change::SyncAll(path)
        | Change::Other(_, path) => vec![path.to_path_buf()],
        Change::Write(file) | Change::Sync(file) => vec![path_of(file)],
    }
}

/// In words, for whoever looks for the cut that something did not survive.
pub fn describe(change: &Change<'_>) -> String {
    let (what, path) = match change {
        Change::Rename(_, to) => ("rename to", to.to_path_buf()),
        Change::Exchange(one, _) => ("exchange", one.to_path_buf()),
        Change::Make(path) => ("make", path.to_path_buf()),
        Change::Remove(path) => ("remove", path.to_path_buf()),
        Change::RemoveTree(path) => ("remove all of", path.to_path_buf()),
        Change::Write(file) => ("write", path_of(file)),
        Change::Sync(file) => ("sync", path_of(file)),
        Change::SyncDirectory(path) | Change::SyncAll(path) => ("sync", path.to_path_buf()),
        Change::Other(what, path) => (*what, path.to_path_buf()),
    };
    format!("{what} {}", path.display())
}

fn identity(file: &File) -> (u64, u64) {
    let meta = file.metadata().unwrap();
    (meta.dev(), meta.ino())
}

/// The path with its directory resolved: the same name is reached through links, too.
fn real(path: &Path) -> PathBuf {
    let parent = fs::canonicalize(path.parent().unwrap()).unwrap();
    parent.join(path.file_name().unwrap())
}

fn path_of(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

/// A directory whose removal was cut short.
fn remove_half(path: &Path) {
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    let mut all: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    for path in all.iter().take(all.len().div_ceil(2)) {
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}
