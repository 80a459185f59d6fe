//! `info.yaml` (one mapping) and `cluster.yaml` (a list of them).
//!
//! Read with saphyr-parser's events, written by hand. Events rather than a ready-made tree
//! because those that are kept hold integers as `i64`, and ids use all 64 bits; and because events
//! know their line. The writer has three keys to write and must be byte for byte what go-dqlite
//! (through yaml.v2) writes, which no general emitter is.
//!
//! Strict where a mistake would be dangerous: a missing, repeated or misspelt value is an error,
//! never a zero. An unknown key is passed over, as go-dqlite does: a later snap may write one, and
//! that must not stop a failover.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use thiserror::Error;

use crate::node::{NodeInfo, Role, split_address};

/// The file with a node's own id and address.
pub const INFO_FILE: &str = "info.yaml";
/// The file with the last known members.
pub const CLUSTER_FILE: &str = "cluster.yaml";

/// More than any such file has; a cluster of two is some 130 bytes.
const SIZE_LIMIT: usize = 64 * 1024;

/// A text that is no such file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct YamlError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// A file that could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system could not read it.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It makes no sense.
    #[error("{} is no dqlite file", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: YamlError,
    },
}

/// A file that could not be written. The one that was there is untouched.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The value is none that dqlite could use.
    #[error("not written: `{0}` is no address of the form host:port or [IPv6]:port")]
    Address(String),
    /// The system could not write it.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Reads the text of an `info.yaml`.
///
/// # Errors
/// With the line, on anything but one node.
pub fn parse_info(text: &str) -> Result<NodeInfo, YamlError> {
    let mut events = Events::new(text)?;
    let (event, line) = events.next()?;
    let node = match event {
        Event::MappingStart(..) => events.node(line)?,
        other => {
            return Err(error(
                line,
                format!("one node is expected, not {}", name(&other)),
            ));
        }
    };
    events.end()?;
    Ok(node)
}

/// Reads the text of a `cluster.yaml`.
///
/// # Errors
/// With the line, on anything but a list of nodes. The list may be empty.
pub fn parse_cluster(text: &str) -> Result<Vec<NodeInfo>, YamlError> {
    let mut events = Events::new(text)?;
    let mut nodes = Vec::new();
    match events.next()? {
        (Event::SequenceStart(..), _) => loop {
            match events.next()? {
                (Event::SequenceEnd, _) => break,
                (Event::MappingStart(..), line) => nodes.push(events.node(line)?),
                (other, line) => {
                    return Err(error(
                        line,
                        format!("a node is expected, not {}", name(&other)),
                    ));
                }
            }
        },
        (other, line) => {
            return Err(error(
                line,
                format!("a list of nodes is expected, not {}", name(&other)),
            ));
        }
    }
    events.end()?;
    Ok(nodes)
}

/// The bytes that go-dqlite writes for a node.
#[must_use]
pub fn format_info(node: &NodeInfo) -> String {
    format!(
        "ID: {}\nAddress: {}\nRole: {}\n",
        node.id,
        scalar(&node.address),
        node.role.to_yaml()
    )
}

/// The bytes that go-dqlite writes for a list of nodes.
#[must_use]
pub fn format_cluster(nodes: &[NodeInfo]) -> String {
    if nodes.is_empty() {
        return "[]\n".to_owned();
    }
    let lines = nodes.iter().flat_map(|node| {
        let info = format_info(node);
        let lines: Vec<_> = info
            .lines()
            .zip(["- ", "  ", "  "])
            .map(|(line, indent)| format!("{indent}{line}\n"))
            .collect();
        lines
    });
    lines.collect()
}

/// yaml.v2's way with the addresses that [`split_address`] lets through: one that begins with a
/// bracket would be a list and is quoted, one that looks like a number to the base of 60 too.
fn scalar(address: &str) -> String {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match address.split_once(':') {
        _ if address.starts_with('[') => format!("'{address}'"),
        Some((host, port))
            if digits(host) && digits(port) && port.parse().is_ok_and(|n: u16| n < 60) =>
        {
            format!("\"{address}\"")
        }
        _ => address.to_owned(),
    }
}

/// Reads `info.yaml` of a state directory; `None` when there is none.
///
/// # Errors
/// When it cannot be read or makes no sense.
pub fn read_info(dir: &Path) -> Result<Option<NodeInfo>, ReadError> {
    read(dir, INFO_FILE, parse_info)
}

/// Reads `cluster.yaml` of a state directory; `None` when there is none.
///
/// # Errors
/// When it cannot be read or makes no sense.
pub fn read_cluster(dir: &Path) -> Result<Option<Vec<NodeInfo>>, ReadError> {
    read(dir, CLUSTER_FILE, parse_cluster)
}

fn read<T>(
    dir: &Path,
    name: &str,
    parse: impl Fn(&str) -> Result<T, YamlError>,
) -> Result<Option<T>, ReadError> {
    let path = dir.join(name);
    let mut text = String::new();
    let read = File::open(&path)
        .and_then(|file| file.take(SIZE_LIMIT as u64 + 1).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReadError::Io { path, source }),
    }
    parse(&text)
        .map(Some)
        .map_err(|source| ReadError::Yaml { path, source })
}

/// Replaces `info.yaml` of a state directory, atomically; mode 0600, as dqlite's own.
///
/// # Errors
/// When the address is none, or the system fails. The old file is then untouched.
pub fn write_info(dir: &Path, node: &NodeInfo) -> Result<(), WriteError> {
    write(
        dir,
        INFO_FILE,
        std::slice::from_ref(node),
        &format_info(node),
    )
}

/// Replaces `cluster.yaml` of a state directory, atomically; mode 0600, as dqlite's own.
///
/// # Errors
/// When an address is none, or the system fails. The old file is then untouched.
pub fn write_cluster(dir: &Path, nodes: &[NodeInfo]) -> Result<(), WriteError> {
    write(dir, CLUSTER_FILE, nodes, &format_cluster(nodes))
}

fn write(dir: &Path, name: &str, nodes: &[NodeInfo], text: &str) -> Result<(), WriteError> {
    if let Some(node) = nodes
        .iter()
        .find(|node| split_address(&node.address).is_none())
    {
        return Err(WriteError::Address(node.address.clone()));
    }
    let path = dir.join(name);
    let replace = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            // A name that dqlite passes over, should it be left behind.
            .prefix("tmp-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()
    };
    replace().map_err(|source| WriteError::Io {
        path: path.clone(),
        source,
    })
}

fn error(line: usize, problem: impl Into<String>) -> YamlError {
    YamlError {
        line,
        problem: problem.into(),
    }
}

fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::Scalar(..) => "a single value",
        Event::SequenceStart(..) => "a list",
        Event::MappingStart(..) => "a mapping",
        Event::Alias(..) => "an alias",
        _ => "nothing",
    }
}

/// The events of the one document of a text.
struct Events<'a>(Parser<'a, saphyr_parser::StrInput<'a>>);

impl<'a> Events<'a> {
    fn new(text: &'a str) -> Result<Self, YamlError> {
        if text.len() > SIZE_LIMIT {
            return Err(error(1, format!("it is longer than {SIZE_LIMIT} bytes")));
        }
        let strange = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if let Some(index) = text.lines().position(|line| line.contains(strange)) {
            return Err(error(index + 1, "it has a control character: no text file"));
        }
        let mut events = Self(Parser::new_from_str(text));
        for _ in ["start of the stream", "start of the document"] {
            match events.next()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (_, line) => return Err(error(line, "it is empty")),
            }
        }
        Ok(events)
    }

    fn next(&mut self) -> Result<(Event<'a>, usize), YamlError> {
        match self.0.next_event() {
            Some(Ok((event, span))) => Ok((event, line(&span))),
            Some(Err(scan)) => Err(error(scan.marker().line(), scan.info())),
            None => Err(error(1, "it ends too early")),
        }
    }

    fn end(&mut self) -> Result<(), YamlError> {
        for _ in ["end of the document", "end of the stream"] {
            match self.next()? {
                (Event::DocumentEnd | Event::StreamEnd, _) => {}
                (_, line) => return Err(error(line, "there is a second document")),
            }
        }
        Ok(())
    }

    /// What follows the start of a mapping, up to its end.
    fn node(&mut self, start: usize) -> Result<NodeInfo, YamlError> {
        let (mut id, mut address, mut role) = (None, None, None);
        loop {
            let (key, line) = match self.next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(key, ..), line) => (key, line),
                (other, line) => {
                    return Err(error(
                        line,
                        format!("a key is expected, not {}", name(&other)),
                    ));
                }
            };
            let again = match &*key {
                "ID" => id.replace(self.number("ID")?).is_some(),
                "Role" => {
                    let number = self.number("Role")?;
                    let value = Role::from_yaml(number).ok_or_else(|| {
                        error(
                            line,
                            format!("Role is {number}: 0 is voter, 1 stand-by, 2 spare"),
                        )
                    })?;
                    role.replace(value).is_some()
                }
                "Address" => {
                    let value = self.address()?;
                    address.replace(value).is_some()
                }
                _ => {
                    self.skip()?;
                    false
                }
            };
            if again {
                return Err(error(line, format!("{key} is there twice")));
            }
        }
        let missing = |key| error(start, format!("the node has no {key}"));
        Ok(NodeInfo {
            id: id.ok_or_else(|| missing("ID"))?,
            address: address.ok_or_else(|| missing("Address"))?,
            role: role.ok_or_else(|| missing("Role"))?,
        })
    }

    fn number(&mut self, key: &str) -> Result<u64, YamlError> {
        match self.next()? {
            (Event::Scalar(value, ScalarStyle::Plain, ..), line) => value.parse().map_err(|_| {
                error(
                    line,
                    format!("{key} is `{value}`, no whole number from 0 to 2^64-1"),
                )
            }),
            (other, line) => Err(error(
                line,
                format!("{key} must be a number, not {}", name(&other)),
            )),
        }
    }

    fn address(&mut self) -> Result<String, YamlError> {
        match self.next()? {
            (Event::Scalar(value, ..), line) => match split_address(&value) {
                Some(_) => Ok(value.into_owned()),
                None => Err(error(
                    line,
                    format!("Address is `{value}`, neither host:port nor [IPv6]:port"),
                )),
            },
            (other, line) => Err(error(
                line,
                format!("Address must be a text, not {}", name(&other)),
            )),
        }
    }

    /// Passes over the value of an unknown key.
    fn skip(&mut self) -> Result<(), YamlError> {
        let mut depth = 0_usize;
        loop {
            match self.next()?.0 {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

fn line(span: &Span) -> usize {
    span.start.line()
}
