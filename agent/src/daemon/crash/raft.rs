//! raft's files on the bench: of dqlite's own format, written as libraft writes them and read by the
//! reader that the agent uses. An entry of the databases is the text `w N`, the Nth acknowledged
//! write.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use two_node_ha_disk::effects::{self, Change};
use two_node_ha_dqlite::{
    EntryType, Meta, NodeInfo, Role, Server, Verdict, assess, decode_configuration, encode_batch,
    encode_configuration, encode_meta, entries, scan,
};

/// What a log holds: `w N`, or `change ID…`, the voters' ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub entries: Vec<String>,
}

impl Log {
    /// The only voter: the last configuration counts.
    pub fn voter(&self) -> Option<u64> {
        let last = self.entries.iter().rev();
        let last = last
            .filter_map(|entry| entry.strip_prefix("change "))
            .next();
        last?.parse().ok()
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

/// Every entry is of one term: an only voter elects itself in the one it finds.
const TERM: u64 = 1;
/// A database's page.
const PAGE: usize = 4096;
/// Its first page's header.
const HEADER: usize = 100;

fn change(voters: impl Iterator<Item = u64>) -> String {
    let ids: Vec<_> = voters.map(|id| id.to_string()).collect();
    format!("change {}", ids.join(" "))
}

fn voters(servers: &[Server]) -> impl Iterator<Item = u64> {
    let voters = servers.iter().filter(|s| s.role == Role::Voter);
    voters.map(|server| server.id)
}

/// Members as raft's configuration, with these voters.
pub fn servers(members: &[NodeInfo], voters: &[u64]) -> Vec<Server> {
    let server = |member: &NodeInfo| Server {
        id: member.id,
        address: member.address.clone(),
        role: if voters.contains(&member.id) {
            Role::Voter
        } else {
            Role::Spare
        },
    };
    members.iter().map(server).collect()
}

/// Reads everything, as strictly as libraft: what it would not start on is an error.
pub fn load(dir: &Path) -> Result<Log, String> {
    let seen = scan(dir).map_err(|error| error.to_string())?;
    let report = assess(&seen);
    if !matches!(report.verdict, Verdict::Sound) {
        return Err(format!("{}: {:?}", dir.display(), report.problems));
    }
    let mut all = Vec::new();
    if let Some(snapshot) = report.snapshot {
        let named = seen
            .snapshots
            .iter()
            .find(|s| s.name.index == snapshot.index);
        all = in_snapshot(&dir.join(named.unwrap().name.to_string()));
        assert_eq!(all.len() as u64, snapshot.index);
    }
    for entry in entries(dir).map_err(|error| error.to_string())? {
        let index = usize::try_from(entry.index).unwrap();
        all.truncate(index - 1);
        assert_eq!(all.len() + 1, index, "{}", dir.display());
        all.push(match entry.kind {
            EntryType::Change => change(voters(&decode_configuration(&entry.data).unwrap())),
            EntryType::Command => String::from_utf8(entry.data)
                .unwrap()
                .trim_end_matches('\0')
                .to_owned(),
            EntryType::Barrier => "barrier".to_owned(),
        });
    }
    Ok(Log { entries: all })
}

/// The data half holds one database, whose pages are the entries as lines.
fn in_snapshot(data: &Path) -> Vec<String> {
    let content = fs::read(data).unwrap();
    let text = String::from_utf8_lossy(&content[16 + 8 + 16 + HEADER..]).into_owned();
    let text = text.trim_end_matches('\0');
    text.lines().map(str::to_owned).collect()
}

fn snapshot_data(log: &Log) -> Vec<u8> {
    // SQLite's header, of which the page size counts here.
    let mut pages = vec![0; HEADER];
    pages[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    for entry in &log.entries {
        pages.extend(format!("{entry}\n").into_bytes());
    }
    pages.resize(pages.len().next_multiple_of(PAGE), 0);
    let mut content = Vec::new();
    for word in [1_u64, 1] {
        content.extend(word.to_le_bytes());
    }
    content.extend(b"writes\0\0");
    for size in [pages.len() as u64, 0] {
        content.extend(size.to_le_bytes());
    }
    content.extend(pages);
    content
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

fn is_closed(name: &str) -> bool {
    name.split_once('-')
        .is_some_and(|(first, _)| first.len() == 16)
}

fn closed_name(first: usize, last: usize) -> String {
    format!("{first:016}-{last:016}")
}

/// The data of an entry, padded to whole words as dqlite does it.
fn command(number: u64) -> Vec<u8> {
    let mut data = format!("w {number}").into_bytes();
    data.resize(data.len().next_multiple_of(8), 0);
    data
}

/// A segment of one entry that is a configuration.
fn change_segment(servers: &[Server]) -> Vec<u8> {
    let mut content = 1_u64.to_le_bytes().to_vec();
    let configuration = encode_configuration(servers);
    content.extend(encode_batch(&[(TERM, EntryType::Change, &configuration)]));
    content
}

/// An acknowledged write: durable, and by path, as dqlite does it.
pub fn append(dir: &Path, number: u64) {
    let open = dir.join("open-1");
    let mut file = fs::File::options().append(true).open(open).unwrap();
    if file.metadata().unwrap().len() == 0 {
        file.write_all(&1_u64.to_le_bytes()).unwrap();
    }
    let batch = encode_batch(&[(TERM, EntryType::Command, &command(number))]);
    file.write_all(&batch).unwrap();
}

/// The founding: one entry, which makes the first member the only voter.
pub fn found(dir: &Path, members: &[NodeInfo]) {
    let servers = servers(members, &[members[0].id]);
    fs::write(dir.join(closed_name(1, 1)), change_segment(&servers)).unwrap();
    metadata(dir);
}

fn metadata(dir: &Path) {
    let metadata = dir.join("metadata1");
    if !metadata.exists() {
        // Format, version, term, vote (uv_metadata.c): the founding.
        let words = [1_u64, 1, TERM, 1].into_iter().flat_map(u64::to_le_bytes);
        fs::write(metadata, words.collect::<Vec<u8>>()).unwrap();
    }
}

/// A voter starts: the open segments closed, a snapshot now and then, and the term as it was, since
/// an only voter elects itself in the one it finds. None of it is a point to be cut at: libraft's
/// own crash safety is not what is tested here.
pub fn start(dir: &Path) {
    close_open(
        dir,
        |from, to| fs::rename(from, to),
        |path| fs::remove_file(path),
    )
    .unwrap();
    let closed: Vec<_> = files(dir)
        .into_iter()
        .filter(|(name, _)| is_closed(name))
        .collect();
    if closed.len() > 4 {
        let log = load(dir).unwrap();
        let report = assess(&scan(dir).unwrap());
        let snapshot = dir.join(format!("snapshot-{TERM}-{}-1", log.entries.len()));
        let name = snapshot.file_name().unwrap().to_str().unwrap().to_owned();
        fs::write(&snapshot, snapshot_data(&log)).unwrap();
        let meta = Meta {
            configuration_index: report.configuration_index.unwrap_or(1),
            servers: report.configuration,
        };
        fs::write(dir.join(format!("{name}.meta")), encode_meta(&meta)).unwrap();
        for (_, path) in closed {
            fs::remove_file(path).unwrap();
        }
        for (other, path) in files(dir) {
            if other.starts_with("snapshot-") && !other.starts_with(&name) {
                fs::remove_file(path).unwrap();
            }
        }
    }
    fs::write(dir.join("open-1"), "").unwrap();
    metadata(dir);
}

fn close_open(
    dir: &Path,
    rename: impl Fn(&Path, &Path) -> io::Result<()>,
    remove: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let report = assess(&scan(dir).unwrap());
    for (name, path) in files(dir) {
        if !name.starts_with("open-") {
            continue;
        }
        match report
            .segments
            .iter()
            .find(|s| s.file == name && s.entries > 0)
        {
            None => remove(&path)?,
            Some(segment) => {
                let first = usize::try_from(segment.first_index.unwrap()).unwrap();
                let last = first + usize::try_from(segment.entries).unwrap() - 1;
                rename(&path, &dir.join(closed_name(first, last)))?;
            }
        }
    }
    Ok(())
}

/// `dqlite.ReconfigureMembershipExt`: what is open is closed, and a segment of one entry follows.
/// The terms stay as they are.
pub fn recover(dir: &Path, members: &[NodeInfo], voter: u64) -> io::Result<Result<(), String>> {
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
    write(&segment, &change_segment(&servers(members, &[voter])))?;
    effects::sync(&fs::File::open(&segment)?)?;
    effects::sync_directory(dir)?;
    Ok(Ok(()))
}

/// k8s-dqlite is asked to stop (`app.Handover`): the spare becomes a voter, gets the whole log, and
/// puts the old voter out, of which only it knows (seen with real dqlite of two generations: the
/// fixtures `handover` of crates/dqlite).
pub fn hand_over(from: &Path, to: &Path, members: &[NodeInfo], [old, new]: [u64; 2]) {
    let append = |dir: &Path, voters: &[u64]| {
        close_open(
            dir,
            |from, to| fs::rename(from, to),
            |path| fs::remove_file(path),
        )
        .unwrap();
        let index = load(dir).unwrap().entries.len() + 1;
        let segment = dir.join(closed_name(index, index));
        fs::write(segment, change_segment(&servers(members, voters))).unwrap();
    };
    append(from, &[old, new]);
    for (name, path) in files(to) {
        if is_closed(&name) || name.starts_with("open-") || name.starts_with("snapshot-") {
            fs::remove_file(path).unwrap();
        }
    }
    for (name, path) in files(from) {
        if is_closed(&name) || name.starts_with("snapshot-") || name.starts_with("metadata") {
            fs::copy(path, to.join(name)).unwrap();
        }
    }
    append(to, &[new]);
    fs::write(to.join("open-1"), "").unwrap();
}

/// Writes a file the way Go programs do: readable, in place, and not synced.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if !path.exists() {
        drop(effects::create_private(path)?);
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    }
    let file = fs::File::options().write(true).open(path)?;
    let written = effects::pass(Change::Write(&file), || {
        file.set_len(0)?;
        (&file).write_all(content)
    });
    // Emptied it can be on a full disk, too.
    if let Err(error) = &written {
        if error.kind() == io::ErrorKind::StorageFull {
            file.set_len(0)?;
        }
    }
    written
}
