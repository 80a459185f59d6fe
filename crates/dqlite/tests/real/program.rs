//! Real dqlite itself, for the tests that are `#[ignore]`d: `tests/against-dqlite` builds the
//! program of fixtures/make with it and says in the environment where it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{Fixture, State};

/// Of the environment.
fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: tests/against-dqlite runs these tests and sets it")
    })
}

/// The program of fixtures/make.
pub fn program() -> String {
    setting("DQLITE_MAKE")
}

/// The generation of dqlite that the program was built with, one of [`super::GENERATIONS`].
pub fn generation() -> String {
    setting("DQLITE_GENERATION")
}

/// A number of the environment, or else `default`.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |n| n.parse().unwrap())
}

/// The program at work, killed after so many seconds. In the process group of the test, so that
/// Ctrl-C ends it too.
fn run(seconds: u64, arguments: &[&str], dir: &Path) -> Output {
    Command::new("timeout")
        .args(["--foreground", "-s", "KILL", &seconds.to_string()])
        .arg(program())
        .args(arguments)
        .arg(dir)
        .output()
        .unwrap()
}

/// Plays a scenario of main.go anew: what the archives hold, and with it what they leave out, such
/// as `state.under`.
pub fn scenario(name: &str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    // Most end themselves with SIGKILL.
    let output = run(120, &[name], dir.path());
    let text = String::from_utf8_lossy(&output.stdout);
    let acked = text.lines().rev().find_map(|l| l.strip_prefix("acked "));
    let acked = acked.unwrap_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{name} acknowledged nothing, {}: {said}", output.status)
    });
    fs::write(dir.path().join("acked"), format!("{acked}\n")).unwrap();
    Fixture(dir)
}

/// Gives a directory the members of its `cluster.yaml` through libdqlite: what `cluster-recover` does.
/// False where libdqlite refuses it.
pub fn recover(state: &State) -> bool {
    run(60, &["recover"], &state.0).status.success()
}

/// Starts real dqlite on a directory, has it take a snapshot at once and kills it.
pub fn snapshots(state: &State) {
    run(60, &["snapshot"], &state.0);
}

/// Starts real dqlite on a directory, has it take snapshots while it adds rows, and kills it. Returns how
/// many rows were acknowledged.
pub fn goes_on(state: &State) -> usize {
    let output = run(60, &["goes-on"], &state.0);
    let text = String::from_utf8_lossy(&output.stdout);
    let acked = text.lines().rev().find_map(|l| l.strip_prefix("acked "));
    let acked = acked.unwrap_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("no row was acknowledged, {}: {said}", output.status)
    });
    acked.parse().unwrap()
}

/// Starts real dqlite on the voter's directory and the spare's below `dir`, which ends with the spare as
/// the voter; what was printed.
pub fn joins(dir: &Path) -> Vec<String> {
    let output = run(120, &["joins"], dir);
    let lines: Vec<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    if lines.last().map(String::as_str) != Some("end") {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!(
            "the spare did not become the voter, {}: {said}",
            output.status
        );
    }
    lines
}

/// What real dqlite made of a directory.
#[derive(Debug, Clone)]
pub struct Started {
    /// Its rows: number and value each.
    pub rows: BTreeSet<String>,
    /// Whether it has moved something away as corrupt to get there.
    pub moved: bool,
}

/// Starts real dqlite on a copy of a directory; `None` where it does not start.
pub fn start(state: &State) -> Option<Started> {
    let copy = tempfile::tempdir().unwrap();
    let dir = copy.path().join("state");
    let mut copy_it = Command::new("cp");
    copy_it
        .args(["-a", "--sparse=always"])
        .arg(&state.0)
        .arg(&dir);
    assert!(copy_it.status().unwrap().success());
    let output = run(20, &["rows"], &dir);
    // It ends itself with SIGKILL once it has printed all.
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if lines.pop().as_deref() != Some("end") {
        return None;
    }
    let is_moved = |name: std::ffi::OsString| name.to_string_lossy().starts_with("corrupt-");
    let mut files = fs::read_dir(&dir).unwrap();
    Some(Started {
        rows: lines.into_iter().collect(),
        moved: files.any(|entry| is_moved(entry.unwrap().file_name())),
    })
}
