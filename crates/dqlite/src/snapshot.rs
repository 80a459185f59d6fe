//! Snapshots: the databases as they were at one index of the log, and the configuration of then.
//!
//! Layout and rules: `uv_snapshot.c`, `compress.c` and `fsm.c` of dqlite. The data is read once, in
//! pieces, through the decompressor: what it takes in memory is the frame's block size, 4 MiB at
//! most, a few times over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use lz4_flex::frame::FrameDecoder;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bytes::Bytes;
use crate::configuration::{ConfigurationFault, Server, decode_configuration};
use crate::crc::Crc;
use crate::metadata::FORMAT;

/// dqlite's limit for the configuration in a meta file.
const LONGEST_CONFIGURATION: u64 = 1024 * 1024;
/// Format, checksum, configuration index, configuration length.
const META_HEADER: usize = 32;
/// The start of an LZ4 frame.
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// The longest name of a database that is taken for one.
const LONGEST_NAME: u64 = 64 * 1024;

/// The meta half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The index of the entry with the configuration.
    pub configuration_index: u64,
    /// The members.
    pub servers: Vec<Server>,
}

/// Why a meta half is of no use. dqlite refuses to start with any of them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetaFault {
    /// It is of another format.
    #[error("it is of format {0}, not 1")]
    Format(u64),
    /// It ends too early.
    #[error("it ends too early")]
    Short,
    /// It claims to hold no configuration, or one that is too long.
    #[error("it claims to hold a configuration of {0} bytes")]
    Length(u64),
    /// The checksum is wrong.
    #[error("its checksum is wrong")]
    Checksum,
    /// The configuration makes no sense.
    #[error(transparent)]
    Configuration(#[from] ConfigurationFault),
}

/// Reads a meta half.
///
/// # Errors
/// When it cannot be read.
pub fn read_meta<R: Read>(source: R) -> io::Result<Result<Meta, MetaFault>> {
    let mut content = Vec::new();
    source
        .take(META_HEADER as u64 + LONGEST_CONFIGURATION)
        .read_to_end(&mut content)?;
    Ok(decode_meta(&content))
}

/// Decodes a meta half. What follows the configuration is passed over, as dqlite does.
///
/// # Errors
/// When dqlite would not take it.
pub fn decode_meta(content: &[u8]) -> Result<Meta, MetaFault> {
    let mut bytes = Bytes(content);
    let mut word = || bytes.u64().ok_or(MetaFault::Short);
    let (format, checksum, configuration_index, len) = (word()?, word()?, word()?, word()?);
    if format != FORMAT {
        return Err(MetaFault::Format(format));
    }
    if len == 0 || len > LONGEST_CONFIGURATION {
        return Err(MetaFault::Length(len));
    }
    let configuration = usize::try_from(len)
        .ok()
        .and_then(|len| bytes.take(len))
        .ok_or(MetaFault::Short)?;
    let mut crc = Crc::new();
    crc.update(&content[16..META_HEADER]);
    crc.update(configuration);
    // dqlite compares the low half of the word and passes over the high one.
    if u64::from(crc.value()) != checksum & u64::from(u32::MAX) {
        return Err(MetaFault::Checksum);
    }
    Ok(Meta {
        configuration_index,
        servers: decode_configuration(configuration)?,
    })
}

/// A database in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The size of its main file, in bytes.
    pub main: u64,
    /// The size of its write-ahead log, in bytes; 0 since dqlite 1.17.
    pub wal: u64,
}

/// The data half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Whether it is compressed; libdqlite without LZ4 writes it as it is.
    pub compressed: bool,
    /// Its size when decompressed, in bytes.
    pub size: u64,
    /// What it holds.
    pub databases: Vec<Database>,
}

/// Why a data half is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataFault {
    /// There is nothing in it: dqlite passes over the whole snapshot.
    #[error("it is empty")]
    Empty,
    /// The LZ4 frame is damaged.
    #[error("its LZ4 frame is damaged: {0}")]
    Frame(String),
    /// The LZ4 frame ends too early.
    #[error("its LZ4 frame ends too early")]
    FrameShort,
    /// The LZ4 frame does not tell its size, which dqlite needs, or has no checksum.
    #[error("its LZ4 frame lacks the content's size or checksum: dqlite did not write it")]
    FrameForeign,
    /// What is in it is of another format.
    #[error("its content is of format {0}, not 1")]
    Format(u64),
    /// What is in it ends too early.
    #[error("its content ends within a database")]
    Short,
    /// A database's name is none.
    #[error("a database's name is too long, or does not end")]
    Name,
    /// A database has no whole number of pages.
    #[error("the size of database {0} is no whole number of pages")]
    Pages(String),
}

/// Reads a data half.
///
/// # Errors
/// When it cannot be read.
pub fn read_data<R: BufRead>(mut source: R) -> io::Result<Result<Data, DataFault>> {
    let start = source.fill_buf()?;
    if start.is_empty() {
        return Ok(Err(DataFault::Empty));
    }
    if start.len() < 4 || start[..4] != MAGIC {
        let mut content = Counted::new(source);
        return content.databases().map(|databases| {
            Ok(Data {
                compressed: false,
                size: content.taken,
                databases: databases?,
            })
        });
    }
    // The descriptor's flags (byte 4): 8 the content's size, 4 the content's checksum.
    if start.get(4).is_some_and(|flags| flags & 0b1100 != 0b1100) {
        return Ok(Err(DataFault::FrameForeign));
    }
    let mut content = Counted::new(FrameDecoder::new(Watched {
        inner: source,
        ended: false,
        failed: None,
    }));
    let databases = content.databases().and_then(|databases| {
        if databases.is_ok() {
            // To the frame's end, where the checksum is. A short frame ends without an error there.
            content.pass(u64::MAX)?;
        }
        Ok(databases)
    });
    let size = content.taken;
    let watched = content.source.into_inner();
    match (databases, watched.failed) {
        (_, Some(error)) => Err(error),
        (_, None) if watched.ended => Ok(Err(DataFault::FrameShort)),
        (Err(error), None) => Ok(Err(DataFault::Frame(error.to_string()))),
        (Ok(Err(fault)), None) => Ok(Err(fault)),
        (Ok(Ok(databases)), None) => Ok(Ok(Data {
            compressed: true,
            size,
            databases,
        })),
    }
}

/// What a data half that is sound holds, decompressed.
pub(crate) fn content(source: File) -> io::Result<Box<dyn Read>> {
    let mut source = BufReader::new(source);
    let start = source.fill_buf()?;
    Ok(if start.starts_with(&MAGIC) {
        Box::new(FrameDecoder::new(source))
    } else {
        Box::new(source)
    })
}

/// Remembers what the decoder would mix up with the content's faults: that the file ended, and that
/// the system could not read it.
struct Watched<R> {
    inner: R,
    ended: bool,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(out) {
            Ok(0) if !out.is_empty() => {
                self.ended = true;
                Ok(0)
            }
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                let kind = e.kind();
                self.failed = Some(e);
                Err(kind.into())
            }
            other => other,
        }
    }
}

/// The decompressed content and how much of it was taken.
struct Counted<R> {
    source: R,
    taken: u64,
}

impl<R: BufRead> Counted<R> {
    fn new(source: R) -> Self {
        Self { source, taken: 0 }
    }

    /// Up to `most` bytes more through `see`, until it says that it has enough; how many there were.
    fn each(&mut self, most: u64, mut see: impl FnMut(&[u8]) -> usize) -> io::Result<u64> {
        let mut left = most;
        while left > 0 {
            let some = match self.source.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(some.len());
            if len == 0 {
                break;
            }
            let used = see(&some[..len]);
            self.source.consume(used);
            left -= used as u64;
            if used < len {
                break;
            }
        }
        let taken = most - left;
        self.taken += taken;
        Ok(taken)
    }

    fn pass(&mut self, most: u64) -> io::Result<u64> {
        self.each(most, <[u8]>::len)
    }

    fn take(&mut self, most: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.each(most, |some| {
            out.extend_from_slice(some);
            some.len()
        })?;
        Ok(out)
    }

    fn word(&mut self) -> io::Result<Option<u64>> {
        Ok(Bytes(&self.take(8)?).u64())
    }

    /// A NUL-terminated text, padded to whole words.
    fn text(&mut self) -> io::Result<Option<String>> {
        let mut out = Vec::new();
        while out.len() as u64 <= LONGEST_NAME {
            let word = self.take(8)?;
            if word.len() < 8 {
                break;
            }
            out.extend_from_slice(&word);
            if let Some(end) = out.iter().position(|byte| *byte == 0) {
                out.truncate(end);
                return Ok(Some(String::from_utf8_lossy(&out).into_owned()));
            }
        }
        Ok(None)
    }

    fn databases(&mut self) -> io::Result<Result<Vec<Database>, DataFault>> {
        let (Some(format), Some(count)) = (self.word()?, self.word()?) else {
            return Ok(Err(DataFault::Short));
        };
        if format != FORMAT {
            return Ok(Err(DataFault::Format(format)));
        }
        let mut databases = Vec::new();
        for _ in 0..count {
            let Some(name) = self.text()? else {
                return Ok(Err(DataFault::Name));
            };
            let (Some(main), Some(wal)) = (self.word()?, self.word()?) else {
                return Ok(Err(DataFault::Short));
            };
            // SQLite's header has the page size at byte 16, big-endian.
            let header = self.take(main.min(100))?;
            let page = match header.get(16..18) {
                Some([0, 1]) => 65536,
                Some(size) => u64::from(size[0]) << 8 | u64::from(size[1]),
                None => 512,
            };
            if page == 0 || main % page != 0 {
                return Ok(Err(DataFault::Pages(name)));
            }
            let rest = (main - header.len() as u64).saturating_add(wal);
            if self.pass(rest)? < rest {
                return Ok(Err(DataFault::Short));
            }
            databases.push(Database { name, main, wal });
        }
        Ok(Ok(databases))
    }
}
