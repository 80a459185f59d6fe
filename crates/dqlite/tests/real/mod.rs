//! State directories that real dqlite has written, of two generations, and ways to damage them.
#![allow(clippy::unwrap_used, dead_code, unused_imports)] // Each test uses some of it.

mod program;
mod random;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;
use two_node_ha_dqlite::repair::{Plan, PlanError, apply};
use two_node_ha_dqlite::{Report, Scan, assess, crc32, scan};

pub use program::{
    Started, generation, goes_on, joins, number, program, recover, scenario, snapshots, start,
};
pub use random::{Random, damage, rounds};

/// The generations of dqlite: folders of `fixtures`.
pub const GENERATIONS: [&str; 2] = ["1.11", "1.18"];

/// Directories of one scenario, unpacked or made just now.
pub struct Fixture(TempDir);

impl Fixture {
    /// Unpacks one. The zeros of open segments become holes.
    pub fn unpack(generation: &str, name: &str) -> Self {
        // The agent's tests use this file too.
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut rooms = manifest
            .ancestors()
            .map(|room| room.join("crates/dqlite/tests/fixtures"));
        let path = rooms
            .find(|fixtures| fixtures.is_dir())
            .unwrap()
            .join(generation)
            .join(format!("{name}.tar.gz"));
        let dir = tempfile::tempdir().unwrap();
        let mut archive =
            tar::Archive::new(flate2::read::GzDecoder::new(File::open(path).unwrap()));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let target = dir.path().join(entry.path().unwrap());
            if entry.header().entry_type().is_dir() {
                fs::create_dir_all(target).unwrap();
                continue;
            }
            let mut file = File::create(target).unwrap();
            let mut block = vec![0; 64 * 1024];
            let mut size = 0;
            loop {
                let read = entry.read(&mut block).unwrap();
                if read == 0 {
                    break;
                }
                if block[..read].iter().any(|byte| *byte != 0) {
                    file.seek(SeekFrom::Start(size)).unwrap();
                    file.write_all(&block[..read]).unwrap();
                }
                size += read as u64;
            }
            file.set_len(size).unwrap();
        }
        Self(dir)
    }

    /// One of its directories.
    pub fn dir(&self, name: &str) -> State {
        State(self.0.path().join(name))
    }
}

/// A state directory.
#[derive(Clone)]
pub struct State(pub PathBuf);

impl State {
    pub fn scan(&self) -> Scan {
        scan(&self.0).unwrap()
    }

    pub fn report(&self) -> Report {
        assess(&self.scan())
    }

    /// Its files with their times and contents.
    pub fn files(&self) -> Vec<(std::ffi::OsString, SystemTime, Option<Vec<u8>>)> {
        let mut files: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let modified = entry.metadata().unwrap().modified().unwrap();
                (entry.file_name(), modified, fs::read(entry.path()).ok())
            })
            .collect();
        files.sort();
        files
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap()
    }

    pub fn write(&self, file: &str, content: &[u8]) {
        fs::write(self.path(file), content).unwrap();
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub fn cut(&self, file: &str, len: u64) {
        File::options()
            .write(true)
            .open(self.path(file))
            .unwrap()
            .set_len(len)
            .unwrap();
    }

    /// Overwrites a part.
    pub fn patch(&self, file: &str, at: u64, bytes: &[u8]) {
        let mut file = File::options().write(true).open(self.path(file)).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// Makes the last byte of a segment's nth batch another one, with checksums as if it had been
    /// written so.
    pub fn rewrite(&self, file: &str, nth: usize) {
        let mut content = self.read(file);
        let starts = batches(&content);
        let (start, end) = (starts[nth] as usize, starts[nth + 1] as usize);
        content[end - 1] ^= 1;
        let count = u64::from_le_bytes(content[start + 8..start + 16].try_into().unwrap());
        let data = start + 16 + usize::try_from(count).unwrap() * 16;
        let sum = crc32(&content[data..end]);
        content[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
        self.write(file, &content);
    }

    /// Flips the lowest bit of a byte.
    pub fn flip(&self, file: &str, at: u64) {
        let content = self.read(file);
        self.patch(file, at, &[content[usize::try_from(at).unwrap()] ^ 1]);
    }

    /// A copy beside it, in a directory of its own that goes with what is returned.
    pub fn copy(&self) -> (TempDir, Self) {
        let beside = tempfile::tempdir().unwrap();
        let copy = Self(beside.path().join("state"));
        let mut cp = std::process::Command::new("cp");
        cp.args(["-a", "--sparse=always"]).arg(&self.0).arg(&copy.0);
        assert!(cp.status().unwrap().success());
        (beside, copy)
    }

    /// The plan of its repair, and a copy that is repaired.
    pub fn repaired(&self, sources: &[&Self]) -> Result<(Plan, TempDir, Self), PlanError> {
        let sources: Vec<_> = sources.iter().map(|source| source.0.as_path()).collect();
        let plan = Plan::of(&self.0, &sources)?;
        let (beside, copy) = self.copy();
        apply(&copy.0, &plan).unwrap();
        Ok((plan, beside, copy))
    }

    /// The newest closed segment.
    pub fn closed(&self) -> String {
        self.scan().closed.last().unwrap().file.clone()
    }

    /// The first open segment with entries.
    pub fn open(&self) -> String {
        let scan = self.scan();
        scan.open
            .iter()
            .find(|open| open.content.entries > 0)
            .unwrap()
            .file
            .clone()
    }

    /// The n-th newest snapshot's data half.
    pub fn snapshot(&self, n: usize) -> String {
        self.scan()
            .snapshots
            .iter()
            .rev()
            .nth(n)
            .unwrap()
            .name
            .to_string()
    }

    /// Where the batches of a segment start; the last number is where the last one ends.
    pub fn batches(&self, file: &str) -> Vec<u64> {
        batches(&self.read(file))
    }
}

/// Where the batches of a segment start, and where the last one ends.
pub fn batches(content: &[u8]) -> Vec<u64> {
    let word = |at: usize| u64::from_le_bytes(content[at..at + 8].try_into().unwrap());
    let mut starts = vec![8];
    let mut at = 8;
    while at + 16 <= content.len() && word(at + 8) != 0 {
        let entries = usize::try_from(word(at + 8)).unwrap();
        let table = at + 16;
        let data: usize = (0..entries)
            .map(|n| {
                let len = table + n * 16 + 12;
                u32::from_le_bytes(content[len..len + 4].try_into().unwrap()) as usize
            })
            .sum();
        at = table + entries * 16 + data;
        starts.push(at as u64);
    }
    starts
}
