//! The journal, by its native protocol (systemd's `JOURNAL_NATIVE_PROTOCOL`): one datagram is one
//! record. Written here in a few lines, because what a tracing subscriber brings would be most of
//! this program's start.
//!
//! A handler must never wait for the journal nor fail without it: the socket does not block, and
//! where it is absent (late in a shutdown, early in a boot) the kernel's log takes the message.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::net::UnixDatagram;

use crate::root::Root;
use two_node_ha_fence::answer::Level;

const SOCKET: &str = "/run/systemd/journal/socket";
const KERNEL_LOG: &str = "/dev/kmsg";
const IDENTIFIER: &str = "two-node-ha-hook";

/// A datagram to the journal may have some 200 KiB; above this a field says nothing to anyone.
const FIELD_LIMIT: usize = 8 * 1024;

/// A line of the kernel's log is cut near 1 KiB.
const KERNEL_LIMIT: usize = 900;

/// One record.
#[derive(Debug)]
pub struct Record {
    level: Level,
    text: String,
    fields: Vec<(&'static str, String)>,
}

impl Record {
    /// A record with its message.
    pub fn new(level: Level, text: String) -> Self {
        Self {
            level,
            text,
            fields: Vec::new(),
        }
    }

    /// Adds a field, unless it is empty.
    pub fn field(mut self, name: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.fields.push((name, value.to_owned()));
        }
        self
    }

    fn datagram(&self) -> Vec<u8> {
        let priority = (self.level as u8).to_string();
        let fixed = [
            ("MESSAGE", self.text.as_str()),
            ("PRIORITY", &priority),
            ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ];
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let mut datagram = Vec::new();
        for (name, value) in fixed.into_iter().chain(fields) {
            let value = cut(value, FIELD_LIMIT).as_bytes();
            datagram.extend_from_slice(name.as_bytes());
            if value.contains(&b'\n') {
                datagram.push(b'\n');
                datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                datagram.push(b'=');
            }
            datagram.extend_from_slice(value);
            datagram.push(b'\n');
        }
        datagram
    }

    /// `<PRIORITY>` and the message on one line, as `/dev/kmsg` takes it.
    fn kernel_line(&self) -> String {
        let text: String = self
            .text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        format!(
            "<{}>{IDENTIFIER}: {}\n",
            self.level as u8,
            cut(&text, KERNEL_LIMIT)
        )
    }
}

/// At most so many bytes, and no half characters.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Where records go.
#[derive(Debug)]
pub struct Journal {
    socket: Option<UnixDatagram>,
    root: Root,
}

impl Journal {
    /// The journal of this machine.
    pub fn open(root: &Root) -> Self {
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect(root.path(SOCKET))?;
            std::io::Result::Ok(socket)
        };
        Self {
            socket: connect().ok(),
            root: root.clone(),
        }
    }

    /// Sends a record. Whatever becomes of it, the caller goes on.
    pub fn send(&self, record: &Record) {
        let sent = self
            .socket
            .as_ref()
            .is_some_and(|s| s.send(&record.datagram()).is_ok());
        if !sent {
            self.send_to_kernel(record);
        }
    }

    /// Sends a record to the kernel's log, which a console shows although the node is reset.
    pub fn send_to_kernel(&self, record: &Record) {
        let line = record.kernel_line();
        let _ = OpenOptions::new()
            .append(true)
            .open(self.root.path(KERNEL_LOG))
            .and_then(|mut log| log.write_all(line.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_is_framed_by_its_length() {
        let record = Record::new(Level::Critical, "a\nb".into())
            .field("TWO_NODE_HA_HANDLER", "split-brain")
            .field("TWO_NODE_HA_PEER", "");
        let expected = [
            b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n".as_slice(),
            b"PRIORITY=2\nSYSLOG_IDENTIFIER=two-node-ha-hook\nTWO_NODE_HA_HANDLER=split-brain\n",
        ]
        .concat();
        assert_eq!(record.datagram(), expected);
        assert_eq!(record.kernel_line(), "<2>two-node-ha-hook: a b\n");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("aéb", 9), "aéb");
        let record = Record::new(Level::Info, "é".repeat(FIELD_LIMIT));
        assert!(record.datagram().len() < FIELD_LIMIT + 100);
        assert!(record.kernel_line().len() < 1024);
    }
}
