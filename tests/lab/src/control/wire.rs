//! The line protocol between the host and the hands of the lab in a node.
//!
//! One record a line, payloads in hexadecimal, so that a line torn by a crash cannot be taken for
//! another. Records stay short, so that the output of one program does not hold up another's.
//!
//! The serial line of User Mode Linux 6.1 buffers 4 KiB towards the node, and stops for good once
//! that is full. So the node tells how much it took, and the host never has more than [`WINDOW`]
//! bytes under way.

use std::fmt::Write as _;

/// Bytes of payload in one record.
pub const CHUNK: usize = 1024;

/// Bytes that may be under way towards the node.
pub const WINDOW: usize = 3500;

/// From the host to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGuest {
    /// A piece of the arguments of a program, each of them ended by a zero byte.
    Args(u32, Vec<u8>),
    /// Start the program with the arguments sent before, the program first.
    Run(u32),
    /// Send the content of a file as if a program had printed it. No fork: cheap enough to poll.
    Read(u32, Vec<u8>),
    /// Bytes for the standard input of a program; none closes it.
    In(u32, Vec<u8>),
    /// A signal for a program's process group.
    Kill(u32, i32),
    /// The answer to [`FromGuest::Fence`]: exit code, and words to print.
    Fenced(u32, i32, String),
}

/// From the node to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromGuest {
    /// The hands are there. Boot id of the kernel.
    Hello(String),
    /// Standard output of a program.
    Out(u32, Vec<u8>),
    /// Standard error of a program.
    Err(u32, Vec<u8>),
    /// A program ended; 128 + N when by signal N, 126 or 127 when it could not be started.
    Exit(u32, i32),
    /// So many bytes were taken from the line.
    Took(usize),
    /// A program in the node asks to fence: action, node.
    Fence(u32, String, String),
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 1);
    if bytes.is_empty() {
        // An empty payload must still be a word.
        text.push('-');
    }
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        return Some(Vec::new());
    }
    if !text.is_ascii() || text.len() % 2 != 0 {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

impl ToGuest {
    /// The record with its newline.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Args(id, piece) => format!("args {id} {}\n", hex(piece)),
            Self::Run(id) => format!("run {id}\n"),
            Self::Read(id, path) => format!("read {id} {}\n", hex(path)),
            Self::In(id, data) => format!("in {id} {}\n", hex(data)),
            Self::Kill(id, signal) => format!("kill {id} {signal}\n"),
            Self::Fenced(id, code, words) => {
                format!("fenced {id} {code} {}\n", hex(words.as_bytes()))
            }
        }
    }

    /// The record in `line`; `None` when it is torn or unknown.
    #[must_use]
    pub fn decode(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let verb = words.next()?;
        let id = words.next()?.parse().ok()?;
        Some(match verb {
            "args" => Self::Args(id, unhex(words.next()?)?),
            "run" => Self::Run(id),
            "read" => Self::Read(id, unhex(words.next()?)?),
            "in" => Self::In(id, unhex(words.next()?)?),
            "kill" => Self::Kill(id, words.next()?.parse().ok()?),
            "fenced" => {
                let code = words.next()?.parse().ok()?;
                Self::Fenced(id, code, String::from_utf8(unhex(words.next()?)?).ok()?)
            }
            _ => return None,
        })
    }
}

impl FromGuest {
    /// The record with its newline.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Hello(boot) => format!("hello {boot}\n"),
            Self::Out(id, data) => format!("out {id} {}\n", hex(data)),
            Self::Err(id, data) => format!("err {id} {}\n", hex(data)),
            Self::Exit(id, code) => format!("exit {id} {code}\n"),
            Self::Took(bytes) => format!("took {bytes}\n"),
            Self::Fence(id, action, node) => format!("fence {id} {action} {node}\n"),
        }
    }

    /// The record in `line`; `None` when it is torn or unknown.
    #[must_use]
    pub fn decode(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match *words.as_slice() {
            ["hello", boot] => Self::Hello(boot.to_owned()),
            ["out", id, data] => Self::Out(id.parse().ok()?, unhex(data)?),
            ["err", id, data] => Self::Err(id.parse().ok()?, unhex(data)?),
            ["exit", id, code] => Self::Exit(id.parse().ok()?, code.parse().ok()?),
            ["took", bytes] => Self::Took(bytes.parse().ok()?),
            ["fence", id, action, node] => {
                Self::Fence(id.parse().ok()?, action.to_owned(), node.to_owned())
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_to_the_guest_comes_back_as_it_was() {
        for record in [
            ToGuest::Args(1, b"sh\0-c\0echo \xff\n\0\0".to_vec()),
            ToGuest::Run(1),
            ToGuest::Read(2, b"/proc/drbd".to_vec()),
            ToGuest::In(3, Vec::new()),
            ToGuest::Kill(4, 15),
            ToGuest::Fenced(5, 0, "haone hatwo".to_owned()),
        ] {
            assert_eq!(
                ToGuest::decode(record.encode().trim_end_matches('\n')),
                Some(record)
            );
        }
    }

    #[test]
    fn every_record_from_the_guest_comes_back_as_it_was() {
        for record in [
            FromGuest::Hello("b00t".to_owned()),
            FromGuest::Out(1, vec![0, 10, 255]),
            FromGuest::Err(1, b"no\n".to_vec()),
            FromGuest::Exit(9, 143),
            FromGuest::Took(2070),
            FromGuest::Fence(2, "off".to_owned(), "hatwo".to_owned()),
        ] {
            assert_eq!(
                FromGuest::decode(record.encode().trim_end_matches('\n')),
                Some(record)
            );
        }
    }

    #[test]
    fn the_largest_record_fits_the_window() {
        assert!(ToGuest::Args(u32::MAX, vec![0; CHUNK]).encode().len() < WINDOW);
    }

    #[test]
    fn a_torn_line_is_no_record() {
        for line in [
            "",
            "out",
            "out 1",
            "out 1 abc",
            "out 1 zz",
            "exit 1",
            "took",
            "args 1",
            "run",
            "run x",
            "out 1 00 00",
        ] {
            assert_eq!(FromGuest::decode(line), None, "{line:?}");
            assert_eq!(ToGuest::decode(line), None, "{line:?}");
        }
    }
}
