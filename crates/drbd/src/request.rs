//! What a handler is asked, typed: arguments and environment of DRBD 8.4 and 9, as the kernel
//! (`usermode_helper`) and as drbdadm pass them, and of udev.
//!
//! Nothing in it can fail: a handler must answer whatever it was passed. What makes no sense is
//! left out and named in [`Request::problems`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::Path;

use crate::Handler;

/// Bytes of a value that are kept: none of DRBD's comes near.
const VALUE_LIMIT: usize = 4096;

/// A typed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What was called.
    pub handler: Handler,
    /// DRBD's resource. 8.4's kernel names it to (un)fence handlers only; the others get a minor.
    pub resource: Option<String>,
    /// The volumes concerned.
    pub volumes: Vec<Volume>,
    /// The peer concerned.
    pub peer: Peer,
    /// `UP_TO_DATE_NODES` of DRBD 9's fence handlers: bit N is set when node N is up to date.
    pub up_to_date_nodes: Option<u64>,
    /// `DRBD_CSTATE` of DRBD 9's kernel.
    pub connection: Option<String>,
    /// What could not be understood.
    pub problems: Vec<String>,
    /// The variables that all this comes from.
    pub env: BTreeMap<String, String>,
}

/// A volume, as far as it was named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its number in the resource.
    pub number: Option<u32>,
    /// `N` of `/dev/drbdN`.
    pub minor: Option<u32>,
    /// The device underneath.
    pub backing: Option<String>,
}

/// The peer, as far as it was named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its host names; more than one where a floating address is shared.
    pub names: Vec<String>,
    /// Its node id. DRBD 9 only.
    pub node_id: Option<u32>,
    /// Its address on the replication link.
    pub address: Option<IpAddr>,
}

impl Peer {
    /// The best name there is.
    pub fn name(&self) -> Option<String> {
        self.names
            .first()
            .cloned()
            .or_else(|| self.address.map(|address| address.to_string()))
            .or_else(|| self.node_id.map(|id| format!("node id {id}")))
    }
}

/// The handler's name and what follows it: by the name that the program was called by, else by
/// its first argument.
pub fn command(args: &[OsString]) -> (Option<String>, Option<String>) {
    let text = |arg: &OsString| arg.to_string_lossy().into_owned();
    let own = args
        .first()
        .and_then(|arg| Path::new(arg).file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| Handler::of(name).is_some());
    match own {
        Some(name) => (Some(name), args.get(1).map(text)),
        None => (args.get(1).map(text), args.get(2).map(text)),
    }
}

/// The process's environment, lossily as text: DRBD's own names and addresses are ASCII.
pub fn environment() -> BTreeMap<String, String> {
    let text = |value: &OsStr| {
        let mut value = value.to_string_lossy().into_owned();
        let end = (0..=VALUE_LIMIT.min(value.len()))
            .rev()
            .find(|end| value.is_char_boundary(*end))
            .unwrap_or(0);
        value.truncate(end);
        value
    };
    std::env::vars_os()
        .map(|(key, value)| (text(&key), text(&value)))
        .collect()
}

/// Whether DRBD, or drbdadm, has passed this environment.
pub fn is_of_drbd(env: &BTreeMap<String, String>) -> bool {
    env.keys().any(|key| key.starts_with("DRBD_"))
}

/// Variables that are kept in the record.
fn is_kept(handler: &Handler, key: &str) -> bool {
    match handler {
        Handler::Udev => matches!(
            key,
            "ACTION"
                | "DEVNAME"
                | "DEVPATH"
                | "DEVTYPE"
                | "SUBSYSTEM"
                | "MAJOR"
                | "MINOR"
                | "SEQNUM"
                | "DISK_RO"
        ),
        _ => key.starts_with("DRBD_") || key.starts_with("UP_TO_DATE_NODES"),
    }
}

impl Request {
    /// Understands an environment. `argument` is what follows the handler's name: `minor-N`, or a
    /// resource.
    pub fn new(handler: Handler, argument: Option<&str>, env: BTreeMap<String, String>) -> Self {
        let env = env
            .into_iter()
            .filter(|(key, _)| is_kept(&handler, key))
            .collect();
        let mut request = Self {
            handler,
            resource: None,
            volumes: Vec::new(),
            peer: Peer::default(),
            up_to_date_nodes: None,
            connection: None,
            problems: Vec::new(),
            env,
        };
        if request.handler == Handler::Udev {
            let minor = request.number("MINOR");
            request.volumes.extend(minor.map(|minor| Volume {
                minor: Some(minor),
                ..Volume::default()
            }));
        } else {
            request.understand(argument);
        }
        request
    }

    fn understand(&mut self, argument: Option<&str>) {
        self.resource = self.get("DRBD_RESOURCE").map(str::to_owned);
        self.volumes = self.lists();
        if self.volumes.is_empty() {
            self.volumes = self.numbered();
        }
        match argument.map(|text| (text, text.strip_prefix("minor-"))) {
            Some((text, Some(minor))) => match minor.parse() {
                Ok(minor) if self.volumes.is_empty() => {
                    self.volumes.push(Volume {
                        minor: Some(minor),
                        ..Volume::default()
                    });
                }
                Ok(_) => {}
                // A resource may well be called minor-league.
                Err(_) => self.name_resource(text),
            },
            Some((text, None)) => self.name_resource(text),
            None => {}
        }
        self.peer = Peer {
            names: self.peer_names(),
            node_id: self.number("DRBD_PEER_NODE_ID"),
            address: self.address("DRBD_PEER_ADDRESS"),
        };
        self.connection = self.get("DRBD_CSTATE").map(str::to_owned);
        self.up_to_date_nodes = self.mask("UP_TO_DATE_NODES");
    }

    fn name_resource(&mut self, name: &str) {
        if self.resource.is_none() && !name.is_empty() {
            self.resource = Some(name.to_owned());
        }
    }

    /// The variable, unless it is absent or empty.
    fn get(&self, key: &str) -> Option<&str> {
        self.env
            .get(key)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// `DRBD_MINOR`, `DRBD_VOLUME` and `DRBD_LL_DISK` (drbdadm) or `DRBD_BACKING_DEV` (DRBD 9's
    /// kernel): one value or a list separated by blanks. 8.4's drbdadm gives resource handlers the
    /// minors alone.
    fn lists(&mut self) -> Vec<Volume> {
        let minors = self.numbers("DRBD_MINOR");
        let numbers = self.numbers("DRBD_VOLUME");
        let backing = self
            .get("DRBD_LL_DISK")
            .or_else(|| self.get("DRBD_BACKING_DEV"));
        let backing = backing.unwrap_or_default().to_owned();
        let backing: Vec<_> = backing.split_ascii_whitespace().collect();
        let count = minors.len().max(numbers.len());
        if numbers.len() != minors.len() && !numbers.is_empty() && !minors.is_empty() {
            self.problems.push(format!(
                "DRBD_MINOR lists {} and DRBD_VOLUME {} volumes",
                minors.len(),
                numbers.len()
            ));
        }
        (0..count)
            .map(|index| Volume {
                number: numbers.get(index).copied(),
                minor: minors.get(index).copied(),
                // A path with a blank makes one too many: then none can be told.
                backing: backing
                    .get(index)
                    .filter(|disk| backing.len() == count && **disk != "none")
                    .map(|disk| (*disk).to_owned()),
            })
            .collect()
    }

    /// `DRBD_MINOR_n` and `DRBD_BACKING_DEV_n`, n being the volume's number: DRBD 9's kernel where
    /// a connection with all its volumes is concerned.
    fn numbered(&mut self) -> Vec<Volume> {
        let numbers: Vec<u32> = self
            .env
            .keys()
            .filter_map(|key| key.strip_prefix("DRBD_MINOR_"))
            .filter_map(|number| number.parse().ok())
            .collect();
        let mut volumes: Vec<_> = numbers
            .into_iter()
            .map(|number| Volume {
                number: Some(number),
                minor: self.number(&format!("DRBD_MINOR_{number}")),
                backing: self
                    .get(&format!("DRBD_BACKING_DEV_{number}"))
                    .map(str::to_owned),
            })
            .collect();
        volumes.sort_unstable_by_key(|volume| volume.number);
        volumes
    }

    /// 8.4's drbdadm: `DRBD_PEERS`, or the older `DRBD_PEER`. 9's: `DRBD_NODE_ID_n`, n being the
    /// peer's node id.
    fn peer_names(&self) -> Vec<String> {
        let by_id = self
            .get("DRBD_PEER_NODE_ID")
            .and_then(|id| self.get(&format!("DRBD_NODE_ID_{id}")));
        self.get("DRBD_PEERS")
            .or_else(|| self.get("DRBD_PEER"))
            .or(by_id)
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect()
    }

    fn numbers(&mut self, key: &str) -> Vec<u32> {
        let words: Vec<String> = self
            .get(key)
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(Into::into)
            .collect();
        let mut numbers = Vec::with_capacity(words.len());
        for word in words {
            match word.parse() {
                Ok(number) => numbers.push(number),
                Err(_) => self.problems.push(format!("{key} has `{word}`, no number")),
            }
        }
        numbers
    }

    fn number(&mut self, key: &str) -> Option<u32> {
        let value = self.get(key)?.to_owned();
        let number = value.parse().ok();
        if number.is_none() {
            self.problems.push(format!("{key} is `{value}`, no number"));
        }
        number
    }

    fn mask(&mut self, key: &str) -> Option<u64> {
        let value = self.get(key)?.to_owned();
        let digits = value
            .strip_prefix("0x")
            .or_else(|| value.strip_prefix("0X"));
        let mask = u64::from_str_radix(digits.unwrap_or(&value), 16).ok();
        if mask.is_none() {
            self.problems
                .push(format!("{key} is `{value}`, no mask of nodes"));
        }
        mask
    }

    /// The kernel writes IPv6 in full; drbdadm as the configuration does, perhaps in brackets.
    fn address(&mut self, key: &str) -> Option<IpAddr> {
        let value = self.get(key)?.to_owned();
        let bare = value
            .strip_prefix('[')
            .and_then(|v| v.strip_suffix(']'))
            .unwrap_or(&value);
        // fe80::1%eth0: std knows no zones.
        let address = bare.split('%').next().and_then(|bare| bare.parse().ok());
        if address.is_none() {
            self.problems
                .push(format!("{key} is `{value}`, no IP address"));
        }
        address
    }

    /// The minors, where they are known.
    pub fn minors(&self) -> Vec<u32> {
        self.volumes
            .iter()
            .filter_map(|volume| volume.minor)
            .collect()
    }

    /// The volume numbers, where they are known.
    pub fn volume_numbers(&self) -> Vec<u32> {
        self.volumes
            .iter()
            .filter_map(|volume| volume.number)
            .collect()
    }

    /// What it is about, for a sentence: `r0`, `minor 0`.
    pub fn subject(&self) -> String {
        match (&self.resource, self.minors().first()) {
            (Some(resource), _) => resource.clone(),
            (None, Some(minor)) => format!("minor {minor}"),
            (None, None) => "an unnamed resource".to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
