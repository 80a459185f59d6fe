//! One line of `drbdsetup events2`, typed.

use std::fmt;

use thiserror::Error;

use crate::{ConnectionState, DiskState, ReplicationState, Role, Suspension};

/// A line that is not what drbdsetup prints.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of the output of drbdsetup {command}: {problem} in `{text}`")]
pub struct ParseError {
    /// `events2` or `status`.
    pub command: &'static str,
    /// Counted from 1; 1 where a single line was parsed.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
    /// The line, cut short.
    pub text: String,
}

/// Something that DRBD reported.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// `exists`: part of the state at the beginning.
    Exists(Target, Snapshot),
    /// `create`: a new object.
    Create(Target, Snapshot),
    /// `change`: 8.4 prints only the fields that changed, 9 some or all.
    Change(Target, Snapshot),
    /// `destroy`
    Destroy(Target),
    /// DRBD 9's `rename resource`.
    Rename {
        /// Its name until now.
        from: String,
        /// Its name from now on.
        to: String,
    },
    /// `call helper`: the kernel has called a handler and waits for it.
    Call {
        /// Resource, and peer or volume, that it is about.
        key: Key,
        /// The handler's name.
        helper: String,
    },
    /// `response helper`: the handler has answered.
    Response {
        /// Resource, and peer or volume, that it is about.
        key: Key,
        /// The handler's name.
        helper: String,
        /// How it ended.
        status: HelperStatus,
    },
    /// `exists -`: the state at the beginning is complete.
    InitialStateDone,
    /// `- skipped N`: 8.4 lost events; the state must be read again.
    Skipped(u64),
    /// An action or an object that this crate does not know.
    Unrecognised(String),
}

/// How a handler ended. The kernel reports what `call_usermodehelper` returned: a wait status, or
/// a negative error number, printed without its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelperStatus {
    /// It exited with this code.
    Exited(u8),
    /// A signal ended it; DRBD takes that for exit code 0.
    Signalled(u8),
    /// It could not be run: an error number, such as 2 (`ENOENT`) for a program that is not there.
    NotRun(i32),
}

impl HelperStatus {
    fn of(status: u32) -> Self {
        let number = status as i32;
        if number < 0 {
            return Self::NotRun(number.saturating_neg());
        }
        match (status & 0x7f, (status >> 8) & 0xff) {
            (0, code) => Self::Exited(code as u8),
            (signal, _) => Self::Signalled(signal as u8),
        }
    }
}

/// What kind of object an event is about, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A resource.
    Resource(Key),
    /// A volume here.
    Device(Key),
    /// A connection.
    Connection(Key),
    /// A volume across a connection.
    PeerDevice(Key),
    /// A path of a connection.
    Path(Key),
}

/// The names of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// `name:`, the resource's name.
    pub resource: String,
    /// `peer-node-id:`
    pub peer_node_id: Option<u32>,
    /// `conn-name:`
    pub conn_name: Option<String>,
    /// `volume:`
    pub volume: Option<u32>,
    /// `minor:`
    pub minor: Option<u32>,
    /// `local:`
    pub local: Option<String>,
    /// `peer:`
    pub peer: Option<String>,
}

/// The fields of an event: those that were printed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// `role:`, of a resource or of a peer.
    pub role: Option<Role>,
    /// `suspended:`
    pub suspended: Option<Suspension>,
    /// `may_promote:`
    pub may_promote: Option<bool>,
    /// `promotion_score:`
    pub promotion_score: Option<i64>,
    /// `disk:`
    pub disk: Option<DiskState>,
    /// `size:`, in KiB.
    pub size_kib: Option<u64>,
    /// `backing_dev:`; the inner `None` is `none`.
    pub backing_dev: Option<Option<String>>,
    /// `client:`
    pub client: Option<bool>,
    /// `open:`
    pub open: Option<bool>,
    /// `quorum:`
    pub quorum: Option<bool>,
    /// `connection:`
    pub connection: Option<ConnectionState>,
    /// `congested:`
    pub congested: Option<bool>,
    /// `replication:`
    pub replication: Option<ReplicationState>,
    /// `peer-disk:`
    pub peer_disk: Option<DiskState>,
    /// `peer-client:`
    pub peer_client: Option<bool>,
    /// `resync-suspended:`; the inner `None` is `no`.
    pub resync_suspended: Option<Option<String>>,
    /// `done:`, in percent.
    pub resync_done: Option<f32>,
    /// `out-of-sync:`, in KiB.
    pub out_of_sync_kib: Option<u64>,
    /// Whether the line carries a peer device's statistics: then an amount out of sync that is
    /// not printed is 0.
    pub statistics: bool,
    /// `established:`
    pub established: Option<bool>,
}

impl Event {
    /// Reads one line, with or without a timestamp before it (`--timestamps`).
    ///
    /// # Errors
    /// On a line that is no event at all. An action, object or field that is merely new is none:
    /// see [`Event::Unrecognised`].
    pub fn parse(line: &str) -> Result<Self, ParseError> {
        parse(line.trim()).map_err(|problem| ParseError {
            command: "events2",
            line: 1,
            problem,
            text: shorten(line),
        })
    }
}

/// As much of a line as an error message needs.
pub(crate) fn shorten(line: &str) -> String {
    line.trim().chars().take(200).collect()
}

/// `None` for a line with nothing on it.
fn parse(line: &str) -> Result<Event, &'static str> {
    let mut words = line.split_ascii_whitespace().peekable();
    // 2024-01-31T12:00:00.000000+01:00
    if words
        .peek()
        .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()))
    {
        words.next();
    }
    let action = words.next().ok_or("nothing")?;
    let object = words.next().ok_or("no object")?;
    if action == "-" {
        let count = words.next().and_then(|n| n.parse::<i64>().ok());
        return match (object, count) {
            // A negative number is the sequence number's wrap: something was lost all the same.
            ("skipped", Some(n)) => Ok(Event::Skipped(n.unsigned_abs())),
            _ => Ok(Event::Unrecognised(line.to_owned())),
        };
    }
    if action == "exists" && object == "-" {
        return Ok(Event::InitialStateDone);
    }
    if !matches!(
        action,
        "exists" | "create" | "change" | "destroy" | "call" | "response" | "rename"
    ) {
        return Ok(Event::Unrecognised(line.to_owned()));
    }

    let fields = Fields::read(words)?;
    let key = fields.key()?;
    let target = match object {
        "resource" if action == "rename" => {
            let to = fields.get("new_name").ok_or("no new name")?.to_owned();
            return Ok(Event::Rename {
                from: key.resource,
                to,
            });
        }
        "helper" => {
            let helper = fields.get("helper").ok_or("no handler")?.to_owned();
            return match action {
                "call" => Ok(Event::Call { key, helper }),
                "response" => {
                    let status = fields.get("status").ok_or("no status")?;
                    let status: u32 = status.parse().map_err(|_| "a status that is no number")?;
                    Ok(Event::Response {
                        key,
                        helper,
                        status: HelperStatus::of(status),
                    })
                }
                _ => Ok(Event::Unrecognised(line.to_owned())),
            };
        }
        "resource" => Target::Resource(key),
        "device" => {
            key.volume.ok_or("no volume number")?;
            Target::Device(key)
        }
        "connection" | "peer-device" | "path" => {
            // 8.4 invents both; 9 always has both.
            if key.peer_node_id.is_none() && key.conn_name.is_none() {
                return Err("no peer");
            }
            match object {
                "connection" => Target::Connection(key),
                "path" => Target::Path(key),
                _ => {
                    key.volume.ok_or("no volume number")?;
                    Target::PeerDevice(key)
                }
            }
        }
        _ => return Ok(Event::Unrecognised(line.to_owned())),
    };
    if action == "destroy" {
        return Ok(Event::Destroy(target));
    }
    let snapshot = fields.snapshot()?;
    Ok(match action {
        "exists" => Event::Exists(target, snapshot),
        "create" => Event::Create(target, snapshot),
        "change" => Event::Change(target, snapshot),
        _ => Event::Unrecognised(line.to_owned()),
    })
}

/// The `key:value` words of a line.
pub(crate) struct Fields<'a>(Vec<(&'a str, String)>);

impl<'a> Fields<'a> {
    pub(crate) fn read(words: impl Iterator<Item = &'a str>) -> Result<Self, &'static str> {
        let mut fields: Vec<(&str, String)> = Vec::new();
        for word in words {
            match (word.split_once(':'), fields.last_mut()) {
                (Some((key, value)), _) => fields.push((key, value.to_owned())),
                // The rest of a value with a blank in it: a path.
                (None, Some((_, value))) => {
                    value.push(' ');
                    value.push_str(word);
                }
                (None, None) => return Err("a word that is no field"),
            }
        }
        Ok(Self(fields))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    pub(crate) fn number<T: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, &'static str> {
        match self.get(name).map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err("a number that is none"),
        }
    }

    /// `unknown`, which DRBD 9 prints for a module that does not say, is no answer.
    fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            _ => None,
        }
    }

    fn key(&self) -> Result<Key, &'static str> {
        Ok(Key {
            resource: self.text("name").ok_or("no resource name")?,
            peer_node_id: self.number("peer-node-id")?,
            conn_name: self.text("conn-name"),
            volume: self.number("volume")?,
            minor: self.number("minor")?,
            local: self.text("local"),
            peer: self.text("peer"),
        })
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, &'static str> {
        Ok(Snapshot {
            role: self.get("role").map(Role::parse),
            suspended: self.get("suspended").map(suspension),
            may_promote: self.flag("may_promote"),
            promotion_score: self.number("promotion_score")?,
            disk: self.get("disk").map(DiskState::parse),
            size_kib: self.number("size")?.filter(is_said),
            backing_dev: self
                .get("backing_dev")
                .map(|v| (v != "none").then(|| v.to_owned())),
            client: self.flag("client"),
            open: self.flag("open"),
            quorum: self.flag("quorum"),
            connection: self.get("connection").map(ConnectionState::parse),
            congested: self.flag("congested"),
            replication: self.get("replication").map(ReplicationState::parse),
            peer_disk: self.get("peer-disk").map(DiskState::parse),
            peer_client: self.flag("peer-client"),
            resync_suspended: self
                .get("resync-suspended")
                .map(|v| (v != "no").then(|| v.to_owned())),
            resync_done: self.number("done")?.and_then(percent),
            out_of_sync_kib: self.number("out-of-sync")?.filter(is_said),
            statistics: self.get("received").is_some(),
            established: self.flag("established"),
        })
    }
}

/// A percentage. DRBD 9 subtracts without a sign: where more is out of sync than was when the resync
/// began it prints some 10^19, which says nothing.
pub(crate) fn percent(value: f32) -> Option<f32> {
    (0.0..=100.0).contains(&value).then_some(value)
}

/// Whether an amount in KiB is one: a module that does not say it has all bits set, in sectors, which
/// drbdsetup halves.
pub(crate) fn is_said(kib: &u64) -> bool {
    *kib < u64::MAX / 2
}

fn suspension(value: &str) -> Suspension {
    let has = |reason| value.split(',').any(|part| part == reason);
    let mut by = Suspension {
        user: has("user"),
        no_data: has("no-data"),
        fencing: has("fencing"),
        quorum: has("quorum"),
    };
    // A reason of a later version: suspended all the same, which is what counts.
    if !by.any() && value != "no" {
        by.user = true;
    }
    by
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, key) = match self {
            Self::Resource(key) => ("resource", key),
            Self::Device(key) => ("device", key),
            Self::Connection(key) => ("connection", key),
            Self::PeerDevice(key) => ("peer-device", key),
            Self::Path(key) => ("path", key),
        };
        write!(f, "{kind} {}", key.resource)?;
        if let Some(name) = &key.conn_name {
            write!(f, " {name}")?;
        }
        if let Some(volume) = key.volume {
            write!(f, "/{volume}")?;
        }
        Ok(())
    }
}
