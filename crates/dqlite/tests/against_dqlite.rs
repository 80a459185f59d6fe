//! Damages directories at random and compares the verdict with what real dqlite makes of them.
//!
//! Needs a program of fixtures/make (see its README) that runs here:
//!
//! ```text
//! DQLITE_MAKE=/path/to/make DQLITE_GENERATION=1.11 DQLITE_ROUNDS=200 DQLITE_SEED=1 \
//!     cargo test -p two-node-ha-dqlite --test against_dqlite -- --ignored --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod real;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use real::{Fixture, State};
use two_node_ha_dqlite::{ProblemKind, Verdict, assess, scan};

/// xorshift64*: a seed gives the same rounds again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// What real dqlite made of a directory.
struct Started {
    /// Its rows.
    rows: BTreeSet<String>,
    /// Whether it has moved something away as corrupt to get there.
    moved: bool,
}

/// What real dqlite makes of a copy; `None` where it does not start.
fn start(make: &str, state: &State) -> Option<Started> {
    let copy = tempfile::tempdir().unwrap();
    let dir = copy.path().join("state");
    let mut copy_it = Command::new("cp");
    copy_it
        .args(["-a", "--sparse=always"])
        .arg(&state.0)
        .arg(&dir);
    assert!(copy_it.status().unwrap().success());
    let output = Command::new("timeout")
        .args(["-s", "KILL", "20", make, "rows"])
        .arg(&dir)
        .output()
        .unwrap();
    // It ends itself with SIGKILL once it has printed all.
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if lines.pop().as_deref() != Some("end") {
        return None;
    }
    let is_moved = |name: std::ffi::OsString| name.to_string_lossy().starts_with("corrupt-");
    let mut files = std::fs::read_dir(&dir).unwrap();
    Some(Started {
        rows: lines.into_iter().collect(),
        moved: files.any(|entry| is_moved(entry.unwrap().file_name())),
    })
}

/// One damage, and what it was.
fn damage(random: &mut Random, state: &State) -> String {
    let mut files: Vec<(String, u64)> = std::fs::read_dir(&state.0)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .filter(|(file, size)| *size > 0 && !file.contains("yaml"))
        .collect();
    files.sort();
    let (file, size) = random.one(&files).clone();
    let content = state.read(&file);
    let used = content
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(1, |last| last as u64 + 1);
    match random.below(8) {
        0..=2 => {
            let (at, bit) = (random.below(used), random.below(8));
            let byte = content[usize::try_from(at).unwrap()] ^ (1 << bit);
            state.patch(&file, at, &[byte]);
            format!("{file}: bit {bit} of byte {at} flipped")
        }
        3 => {
            let len = random.below(used + 64).min(size);
            state.cut(&file, len);
            format!("{file}: cut off at {len} of {used}/{size}")
        }
        4 => {
            let at = random.below(used) / 512 * 512;
            let len = 512.min(size - at);
            state.patch(&file, at, &vec![0; usize::try_from(len).unwrap()]);
            format!("{file}: {len} zeros at {at}")
        }
        5 => {
            state.remove(&file);
            format!("{file}: removed")
        }
        6 => {
            let (other, _) = random.one(&files).clone();
            state.write(&other, &content);
            format!("{file}: copied over {other}")
        }
        _ => {
            let to = match file.split_once('-') {
                Some((first, last)) if first.len() == 16 => {
                    let shift = random.below(3) + 1;
                    format!(
                        "{:016}-{:016}",
                        first.parse::<u64>().unwrap() + shift,
                        last.parse::<u64>().unwrap() + shift
                    )
                }
                _ => format!("open-{}", random.below(8) + 1),
            };
            state.rename(&file, &to);
            format!("{file}: renamed to {to}")
        }
    }
}

#[test]
#[ignore = "needs real dqlite"]
fn the_verdict_is_sound_where_real_dqlite_starts_with_every_row_and_nowhere_else() {
    let make = std::env::var("DQLITE_MAKE").expect("DQLITE_MAKE");
    let generation = std::env::var("DQLITE_GENERATION").expect("DQLITE_GENERATION");
    let number = |name: &str, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (rounds, seed): (u64, u64) = (number("DQLITE_ROUNDS", 40), number("DQLITE_SEED", 1));
    let names = [
        "healthy",
        "killed",
        "snapshots",
        "recovered",
        "clobbered-rename",
        "term-1-snapshot",
    ];
    let baseline = names.map(|name| {
        let fixture = Fixture::unpack(&generation, name);
        let state = fixture.dir("state");
        (start(&make, &state), state.report().last_index)
    });
    let mut random = Random(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (mut disagreed, mut counts) = (Vec::new(), [0_u32; 4]);
    for round in 0..rounds {
        let choice = usize::try_from(random.below(names.len() as u64)).unwrap();
        let fixture = Fixture::unpack(&generation, names[choice]);
        let state = fixture.dir("state");
        let mut what = vec![damage(&mut random, &state)];
        if random.below(4) == 0 {
            what.push(damage(&mut random, &state));
        }
        let Ok(scanned) = scan(Path::new(&state.0)) else {
            continue;
        };
        let report = assess(&scanned);
        let found = start(&make, &state);
        let (all, last_index) = &baseline[choice];
        let whole = match (&found, all) {
            (Some(found), Some(all)) => found.rows.is_superset(&all.rows),
            (Some(found), None) => !found.rows.is_empty(),
            (None, _) => false,
        };
        let sound = report.verdict == Verdict::Sound;
        counts[usize::from(sound) * 2 + usize::from(whole)] += 1;
        // That what is in a segment was never one of this log, or not there, only this test knows:
        // entries carry no index.
        let foreign =
            |what: &String| what.contains("renamed to open-") || what.contains("copied over open-");
        let agrees = if sound {
            // A log that ends earlier, with nothing that tells so, is sound; and dqlite starts.
            let shorter = report.last_index < *last_index;
            found.is_some() && (whole || shorter || what.iter().any(foreign))
        } else {
            // dqlite may repair it by itself; and some things it does not look at.
            use ProblemKind::{Identity, Metadata, Order};
            let unseen = |kind| matches!(kind, Identity | Metadata | Order);
            !whole
                || what.iter().any(foreign)
                || found.as_ref().is_some_and(|found| found.moved)
                || report.problems.iter().all(|problem| unseen(problem.kind))
        };
        if !agrees {
            let rows = found.map_or("does not start".to_owned(), |f| {
                format!("{} rows", f.rows.len())
            });
            println!(
                "round {round}: {} {what:?}: dqlite: {rows}; {report:#?}",
                names[choice]
            );
            disagreed.push((round, what));
        }
    }
    println!(
        "damaged and refused or short of rows: {}, damaged but whole: {}, sound but not whole: {}, sound: {}",
        counts[0], counts[1], counts[2], counts[3]
    );
    assert!(disagreed.is_empty(), "{disagreed:#?}");
}

#[test]
#[ignore = "needs real dqlite"]
fn the_directory_of_a_node_that_writes_is_sound_at_every_look_and_never_goes_back() {
    let make = std::env::var("DQLITE_MAKE").expect("DQLITE_MAKE");
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut node = Command::new(make)
        .arg("busy")
        .arg(dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut looks, mut last, mut snapshots) = (0, 0, BTreeSet::new());
    while node.try_wait().unwrap().is_none() {
        // Before the founder has written its metadata it looks like a trap, and is one.
        if !state.join("metadata1").exists() || !state.join("open-1").exists() && looks == 0 {
            continue;
        }
        let report = assess(&scan(&state).unwrap());
        assert_eq!(
            report.verdict,
            Verdict::Sound,
            "after {looks} looks: {report:#?}"
        );
        assert!(report.last_index >= last, "{last} was there: {report:#?}");
        last = report.last_index;
        snapshots.extend(report.snapshot.map(|snapshot| snapshot.index));
        looks += 1;
    }
    println!(
        "{looks} looks, {} snapshots, up to index {last}",
        snapshots.len()
    );
    assert!(looks > 10 && snapshots.len() > 3);
}
