//! `/proc/drbd` of 8.4: the one place where it says how far a resync is.
//!
//! DRBD 9 prints only its version there.

use serde::{Deserialize, Serialize};

use crate::event::percent;
use crate::{ConnectionState, DiskState, ReplicationState, Role, Version};

/// `/proc/drbd`, by minor: it names no resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcDrbd {
    /// From its first line.
    pub version: Option<Version>,
    /// The configured minors. One that is unconfigured is left out.
    pub minors: Vec<ProcMinor>,
}

/// One minor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcMinor {
    /// `N` of `/dev/drbdN`.
    pub minor: u32,
    /// From `cs:`, which on 8.4 is connection and replication in one.
    pub connection: ConnectionState,
    /// From `cs:` too.
    pub replication: ReplicationState,
    /// `ro:` before the slash.
    pub role: Role,
    /// `ro:` after it.
    pub peer_role: Role,
    /// `ds:` before the slash.
    pub disk: DiskState,
    /// `ds:` after it.
    pub peer_disk: DiskState,
    /// The column of flags, such as `r-----`: I/O suspension, resync suspensions.
    pub flags: String,
    /// `oos:`, in KiB.
    pub out_of_sync_kib: Option<u64>,
    /// `sync'ed:`, in percent; only while a resync runs.
    pub resync_done: Option<f32>,
}

impl ProcDrbd {
    /// The minor of that number; `None` when it is not configured.
    #[must_use]
    pub fn minor(&self, minor: u32) -> Option<&ProcMinor> {
        self.minors.iter().find(|m| m.minor == minor)
    }
}

impl ProcMinor {
    /// Whether I/O is suspended: the first flag is `s`, else `r`.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.flags.starts_with('s')
    }
}

/// Reads `/proc/drbd`. What it does not understand it leaves out: the file is meant for people.
#[must_use]
pub fn parse_proc_drbd(text: &str) -> ProcDrbd {
    let mut proc = ProcDrbd::default();
    let mut in_minor = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("version:") {
            proc.version = rest
                .split_ascii_whitespace()
                .next()
                .and_then(Version::parse);
            continue;
        }
        if let Some((minor, rest)) = minor_line(line) {
            let parsed = parse_minor(minor, rest);
            in_minor = parsed.is_some();
            proc.minors.extend(parsed);
        } else if let Some(minor) = proc.minors.last_mut().filter(|_| in_minor) {
            details(minor, line);
        }
    }
    proc
}

/// ` 0: cs:…` → `(0, "cs:…")`
fn minor_line(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.trim_start().split_once(':')?;
    Some((number.parse().ok()?, rest.trim()))
}

fn parse_minor(minor: u32, rest: &str) -> Option<ProcMinor> {
    let mut words = rest.split_ascii_whitespace();
    let cs = words.next()?.strip_prefix("cs:")?;
    if cs == "Unconfigured" {
        return None;
    }
    let (role, peer_role) = pair(words.next()?, "ro:")?;
    let (disk, peer_disk) = pair(words.next()?, "ds:")?;
    let (connection, replication) = both(cs);
    // After the protocol (`A`, `B`, `C`, or blanks when not connected).
    let flags = words
        .find(|word| word.len() > 1)
        .unwrap_or_default()
        .to_owned();
    Some(ProcMinor {
        minor,
        connection,
        replication,
        role: Role::parse(role),
        peer_role: Role::parse(peer_role),
        disk: DiskState::parse(disk),
        peer_disk: DiskState::parse(peer_disk),
        flags,
        out_of_sync_kib: None,
        resync_done: None,
    })
}

fn pair<'a>(word: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    word.strip_prefix(prefix)?.split_once('/')
}

/// 8.4 has one state for both: from `Connected` upwards it is a state of replication.
fn both(cs: &str) -> (ConnectionState, ReplicationState) {
    match ConnectionState::parse(cs) {
        ConnectionState::Connected => (ConnectionState::Connected, ReplicationState::Established),
        ConnectionState::Unrecognised(_) => match ReplicationState::parse(cs) {
            ReplicationState::Unrecognised(_) => (
                ConnectionState::Unrecognised(cs.to_owned()),
                ReplicationState::Off,
            ),
            replication => (ConnectionState::Connected, replication),
        },
        connection => (connection, ReplicationState::Off),
    }
}

/// The counters (`ns:0 … oos:0`) and the progress bar of a resync.
fn details(minor: &mut ProcMinor, line: &str) {
    let mut words = line.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("oos:") {
            minor.out_of_sync_kib = value.parse().ok();
        } else if let Some(value) = word.strip_prefix("sync'ed:") {
            // `sync'ed: 0.8%` has a blank, `sync'ed:100.0%` has none.
            let value = if value.is_empty() {
                words.next().unwrap_or_default()
            } else {
                value
            };
            minor.resync_done = value
                .trim_end_matches('%')
                .parse::<f32>()
                .ok()
                .and_then(percent);
        }
    }
}
