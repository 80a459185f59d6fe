//! A machine: a root with a journal that listens, on which the real program is called.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use two_node_ha_events::{Event, take_all};

pub const HOOK: &str = env!("CARGO_BIN_EXE_two-node-ha-hook");

/// Two nodes, no fencing.
pub const CONFIG: &str = two_node_ha_sample::UNFENCED;

/// The machine.
pub struct Machine {
    pub root: TempDir,
    journal: UnixDatagram,
}

pub type Fields = BTreeMap<String, String>;

impl Machine {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for dir in ["run/systemd/journal", "var/lib", "etc", "dev"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let journal = UnixDatagram::bind(root.path().join("run/systemd/journal/socket")).unwrap();
        journal.set_nonblocking(true).unwrap();
        Self { root, journal }
    }

    pub fn configured(text: &str) -> Self {
        let machine = Self::new();
        fs::write(machine.root.path().join("etc/two-node-ha.toml"), text).unwrap();
        machine
    }

    pub fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(HOOK);
        command
            .args(args)
            .env_clear()
            .env("TWO_NODE_HA_ROOT", self.root.path())
            .envs(env.iter().copied())
            .stdin(Stdio::null());
        command
    }

    pub fn call(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        self.command(args, env).output().unwrap()
    }

    pub fn records(&self) -> Vec<Fields> {
        let mut buffer = vec![0; 1 << 18];
        let mut records = Vec::new();
        while let Ok(size) = self.journal.recv(&mut buffer) {
            records.push(parse(&buffer[..size]));
        }
        records
    }

    pub fn events(&self) -> Vec<Event> {
        let dir = self.root.path().join("var/lib/two-node-ha/events");
        let taken = take_all(&dir).unwrap();
        assert!(taken.unreadable.is_empty());
        taken
            .events
            .into_iter()
            .map(|pending| pending.event)
            .collect()
    }

    pub fn alert(&self, script: &str) -> String {
        let path = self.root.path().join("alert");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        format!("{CONFIG}[hooks]\nalert_command = \"{}\"\n", path.display())
    }
}

/// The journal's native protocol.
fn parse(mut datagram: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|b| *b == b'\n').unwrap();
        let line = std::str::from_utf8(&datagram[..end]).unwrap();
        let rest = &datagram[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.insert(name.to_owned(), value.to_owned());
            datagram = rest;
        } else {
            let size = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
            let value = std::str::from_utf8(&rest[8..8 + size]).unwrap();
            fields.insert(line.to_owned(), value.to_owned());
            datagram = &rest[8 + size + 1..];
        }
    }
    fields
}

/// What drbdadm of 8.4 adds to the environment.
pub const DRBDADM_84: [(&str, &str); 9] = [
    ("DRBD_RESOURCE", "r0"),
    ("DRBD_CONF", "/etc/drbd.conf"),
    ("DRBD_PEER", "beta"),
    ("DRBD_PEERS", "beta"),
    ("DRBD_PEER_AF", "ipv4"),
    ("DRBD_PEER_ADDRESS", "10.0.0.2"),
    ("DRBD_MINOR", "0"),
    ("DRBD_VOLUME", "0"),
    ("DRBD_LL_DISK", "/dev/lodrbd"),
];
