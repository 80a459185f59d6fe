//! A stand-in for raft's files: the names and the rules of libraft's loader, with entries that are
//! lines of text. An entry is `w N`, the Nth acknowledged write, or `change ID`, the configuration
//! that makes ID the only voter.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files::effects;

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub entries: Vec<String>,
}

impl Log {
    /// The only voter: the last configuration counts.
    pub fn voter(&self) -> Option<u64> {
        let last = self.entries.iter().rev();
        last.filter_map(|entry| entry.strip_prefix("change "))
            .map(|id| id.parse().unwrap())
            .next()
    }

    /// The writes in it, which must be all from the first on.
    pub fn writes(&self) -> u64 {
        let writes = self.entries.iter().filter_map(|e| e.strip_prefix("w "));
        let mut count = 0;
        for number in writes {
            count += 1;
            assert_eq!(number, count.to_string(), "a write is missing or doubled");
        }
        count
    }

    pub fn changes(&self) -> usize {
        let is_change = |entry: &&String| entry.starts_with("change ");
        self.entries.iter().filter(is_change).count()
    }
}

fn files(dir: &Path) -> Vec<(String, PathBuf)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    all.sort();
    all
}

fn closed(name: &str) -> Option<(usize, usize)> {
    let (first, last) = name.split_once('-')?;
    (first.len() == 16).then(|| (first.parse().unwrap(), last.parse().unwrap()))
}

fn closed_name(first: usize, last: usize) -> String {
    format!("{first:016}-{last:016}")
}

fn lines(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path).unwrap();
    let text = text.trim_end_matches('\0');
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("{} is torn", path.display()));
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// Reads everything, as strictly as libraft: a segment that is not what its name says, or a gap,
/// is an error.
pub fn load(dir: &Path) -> Result<Log, String> {
    let mut entries = Vec::new();
    let all = files(dir);
    for (name, path) in &all {
        let whole = path.with_file_name(format!("{name}.meta")).exists();
        if name.starts_with("snapshot-") && !name.ends_with(".meta") && whole {
            // Names sort by index, for they are made so below.
            entries = lines(path)?;
        }
    }
    for (name, path) in &all {
        let Some((first, last)) = closed(name) else {
            continue;
        };
        let segment = lines(path)?;
        if segment.len() != last + 1 - first {
            return Err(format!("{name} holds {} entries", segment.len()));
        }
        if first > entries.len() + 1 {
            return Err(format!("{name} is past the entry {}", entries.len()));
        }
        entries.truncate(first - 1);
        entries.extend(segment);
    }
    for (name, path) in &all {
        if name.starts_with("open-") {
            entries.extend(lines(path)?);
        }
    }
    Ok(Log { entries })
}

/// An acknowledged write: durable, and by path, as dqlite does it.
pub fn append(dir: &Path, number: u64) {
    let open = dir.join("open-1");
    let mut file = fs::File::options().append(true).open(open).unwrap();
    writeln!(file, "w {number}").unwrap();
}

/// A voter starts: the open segments closed, a snapshot now and then, and the term as it was, since
/// an only voter elects itself in the one it finds. None of it is a point to be cut at: libraft's
/// own crash safety is not what is tested here.
pub fn start(dir: &Path) {
    let log = load(dir).unwrap();
    close_open(
        dir,
        |from, to| fs::rename(from, to),
        |path| fs::remove_file(path),
    )
    .unwrap();
    let closed: Vec<_> = files(dir)
        .into_iter()
        .filter(|(name, _)| closed(name).is_some())
        .collect();
    if closed.len() > 4 {
        let snapshot = dir.join(format!("snapshot-1-{:06}-1", log.entries.len()));
        let text: String = log.entries.iter().map(|e| format!("{e}\n")).collect();
        fs::write(&snapshot, text).unwrap();
        fs::write(
            snapshot.with_file_name(format!(
                "{}.meta",
                snapshot.file_name().unwrap().to_str().unwrap()
            )),
            "meta",
        )
        .unwrap();
        for (_, path) in closed {
            fs::remove_file(path).unwrap();
        }
        for (name, path) in files(dir) {
            if name.starts_with("snapshot-")
                && !name.starts_with(snapshot.file_name().unwrap().to_str().unwrap())
            {
                fs::remove_file(path).unwrap();
            }
        }
    }
    fs::write(dir.join("open-1"), "").unwrap();
    let metadata = dir.join("metadata1");
    if !metadata.exists() {
        // Format, version, term, vote (uv_metadata.c): the founding.
        let words = [1_u64, 1, 1, 1].into_iter().flat_map(u64::to_le_bytes);
        fs::write(metadata, words.collect::<Vec<u8>>()).unwrap();
    }
}

fn close_open(
    dir: &Path,
    rename: impl Fn(&Path, &Path) -> io::Result<()>,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let all = load(dir).unwrap().entries.len();
    for (name, path) in files(dir) {
        if name.starts_with("open-") {
            match lines(&path).unwrap().len() {
                0 => remove(&path)?,
                n => rename(&path, &dir.join(closed_name(all + 1 - n, all)))?,
            }
        }
    }
    Ok(())
}

/// `dqlite.ReconfigureMembershipExt`: what is open is closed, and a segment of one entry follows.
/// The terms stay as they are.
pub fn recover(dir: &Path, voter: u64) -> io::Result<Result<(), String>> {
    let log = match load(dir) {
        Ok(log) => log,
        Err(why) => return Ok(Err(why)),
    };
    let last = log.entries.last();
    assert_ne!(
        last,
        Some(&format!("change {voter}")),
        "I7: recovered on top of a recovery in {}",
        dir.display()
    );
    close_open(dir, effects::rename, effects::remove_file)?;
    let index = log.entries.len() + 1;
    let segment = dir.join(closed_name(index, index));
    write(&segment, format!("change {voter}\n").as_bytes())?;
    effects::sync(&fs::File::open(&segment)?)?;
    effects::sync_directory(dir)?;
    Ok(Ok(()))
}

/// Writes a file the way Go programs do: readable, in place, and not synced.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if path.exists() {
        fs::File::options().write(true).truncate(true).open(path)?;
    } else {
        drop(effects::create_private(path)?);
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    }
    let file = fs::File::options().write(true).open(path)?;
    effects::write(&mut &*content, &file)?;
    Ok(())
}
