//! `two-node-ha raft verify` of a large directory against reading the same files, side by side in
//! one run with a warm cache. Prints the ratio and the memory; asserts nothing about time.
//!
//! `make bench`, or `cargo bench -p two-node-ha --bench raft`. The directory, of `RAFT_BENCH_MIB`
//! MiB (1100 by default), is made below the temporary directory and removed afterwards.

#![allow(clippy::unwrap_used)] // A bench that panics has failed.

#[path = "../../crates/dqlite/tests/real/mod.rs"]
mod real;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

fn main() {
    let mib = std::env::var("RAFT_BENCH_MIB").map_or(1100, |mib| mib.parse().unwrap());
    let fixture = Fixture::unpack("1.18", "snapshots");
    let state = fixture.dir("state");
    lengthen(&state, mib);
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
        let read = timed(Command::new("cat").args(&files));
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
        "{} files, {:.2} GB, median of {RUNS} runs in turns",
        files.len(),
        bytes as f64 / 1e9
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
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!(
        "  most memory of a process     {:6.1} MiB (goal: at most 32)",
        memory as f64 / 1024.0
    );
}
