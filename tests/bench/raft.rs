//! `two-node-ha raft verify`, which is what a takeover does first, of a large directory against reading
//! the same files, side by side in one run with a warm cache: once of segments, once of a snapshot, which
//! has to be decompressed. Prints the ratio and the memory; asserts nothing about time.
//!
//! `make bench`, or `cargo bench -p two-node-ha --bench raft`. The directories, of `RAFT_BENCH_MIB`
//! MiB (1100 by default) and of a database of half as many, are made below the temporary directory and
//! removed afterwards. With `RAFT_BENCH_COLD=1`, as root, the cache is dropped before each reading: then
//! the disk decides.

#![allow(clippy::unwrap_used)] // A bench that panics has failed.

#[path = "../../crates/dqlite/tests/real/mod.rs"]
mod real;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use nix::sys::resource::{UsageWho, getrusage};
use real::{Fixture, State};

/// Runs of each, taking turns.
const RUNS: usize = 9;

/// Lengthens a directory of real dqlite: the batches of its first segment again and again, in
/// segments of 8 MiB as dqlite makes them.
fn lengthen(state: &State, mib: u64) {
    let scan = state.scan();
    let content = state.read(&scan.closed[0].file);
    let starts = state.batches(&scan.closed[0].file);
    let batches = &content[8..usize::try_from(*starts.last().unwrap()).unwrap()];
    let entries = scan.closed[0].content.entries;
    let mut next = scan.closed.last().unwrap().last + 1;
    for open in &scan.open {
        state.remove(&open.file);
    }
    let repeats = (8 << 20) / batches.len();
    let mut segment = content[..8].to_vec();
    segment.extend(batches.repeat(repeats));
    for _ in 0..(mib << 20) / segment.len() as u64 {
        let last = next + entries * repeats as u64 - 1;
        state.write(&format!("{next:016}-{last:016}"), &segment);
        next = last + 1;
    }
}

fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    began.elapsed()
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// Makes the newest snapshot one of a database of so many MiB: rows of text with numbers in them, as those
/// of Kubernetes are.
fn enlarge(state: &State, mib: u64) {
    const PAGE: u64 = 4096;
    let main = mib << 20;
    let words: Vec<&str> = include_str!("../../man/two-node-ha.8")
        .split_whitespace()
        .collect();
    let mut content = Vec::new();
    for word in [1, 1, u64::from_le_bytes(*b"k8s\0\0\0\0\0"), main, 0] {
        content.extend(word.to_le_bytes());
    }
    let start = content.len();
    content.extend(b"SQLite format 3\0");
    content.extend(u16::try_from(PAGE).unwrap().to_be_bytes());
    content.resize(start + 100, 0);
    let mut number = 1_u64;
    while ((content.len() - start) as u64) < main {
        number = number.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        content.extend(words[(number >> 40) as usize % words.len()].as_bytes());
        if number >> 61 == 0 {
            content.extend(number.to_le_bytes());
        }
    }
    content.truncate(start + usize::try_from(main).unwrap());
    let info = FrameInfo::new()
        .content_size(Some(content.len() as u64))
        .content_checksum(true)
        .block_size(BlockSize::Max4MB);
    let mut frame = FrameEncoder::with_frame_info(info, Vec::new());
    frame.write_all(&content).unwrap();
    state.write(&state.snapshot(0), &frame.finish().unwrap());
}

/// Leaves nothing of the files in memory.
fn drop_cache() {
    assert!(Command::new("sync").status().unwrap().success());
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

fn main() {
    let mib = std::env::var("RAFT_BENCH_MIB").map_or(1100, |mib| mib.parse().unwrap());
    let fixture = Fixture::unpack("1.18", "snapshots");
    let state = fixture.dir("state");
    lengthen(&state, mib);
    measure("segments", &state);
    let fixture = Fixture::unpack("1.18", "snapshots");
    let state = fixture.dir("state");
    enlarge(&state, mib / 2);
    measure("a snapshot", &state);
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!(
        "most memory of a process       {:6.1} MiB (goal: at most 32)",
        memory as f64 / 1024.0
    );
}

fn measure(what: &str, state: &State) {
    let cold = std::env::var_os("RAFT_BENCH_COLD").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(&state.0)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let bytes: u64 = files
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let (mut cat, mut verify) = (Vec::new(), Vec::new());
    for run in 0..=RUNS {
        if cold {
            drop_cache();
        }
        let read = timed(Command::new("cat").args(&files));
        if cold {
            drop_cache();
        }
        let program = env!("CARGO_BIN_EXE_two-node-ha");
        let verified = timed(Command::new(program).args(["raft", "verify"]).arg(&state.0));
        // The first one warms the cache.
        if run > 0 {
            cat.push(read);
            verify.push(verified);
        }
    }
    let rate = |seconds: f64| bytes as f64 / seconds / 1e9;
    let (cat, verify) = (median(&mut cat), median(&mut verify));
    println!(
        "{what}: {} files, {:.2} GB, median of {RUNS} runs in turns, the cache {}",
        files.len(),
        bytes as f64 / 1e9,
        if cold { "cold" } else { "warm" }
    );
    println!(
        "  cat >/dev/null               {:6.3} s  {:5.2} GB/s",
        cat,
        rate(cat)
    );
    println!(
        "  two-node-ha raft verify      {:6.3} s  {:5.2} GB/s",
        verify,
        rate(verify)
    );
    println!(
        "  ratio of the speeds          {:6.2}    (goal: at least 0.8)",
        cat / verify
    );
}
