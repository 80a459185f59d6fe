//! Damages directories at random and compares the verdict with what real dqlite makes of them; and
//! looks at the directory of a node that writes.
//!
//! `tests/against-dqlite` runs these with real dqlite. The rounds are numbered from `DQLITE_SEED` on,
//! and a number makes the same damage again: `DQLITE_SEED=417 DQLITE_ROUNDS=1` is round 417 alone.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod real;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command};

use real::{
    Fixture, Random, Started, State, damage, generation, number, program, rounds, scenario, start,
};
use two_node_ha_dqlite::repair::PlanError;
use two_node_ha_dqlite::{EntryType, ProblemKind, Verdict, assess, encode_batch, scan};

/// Fixtures that are damaged.
const NAMES: [&str; 6] = [
    "healthy",
    "killed",
    "snapshots",
    "recovered",
    "clobbered-rename",
    "term-1-snapshot",
];

/// What a fixture is before it is damaged.
struct Baseline {
    started: Option<Started>,
    last_index: u64,
}

/// What came of a round.
struct Outcome {
    sound: bool,
    /// Real dqlite has started on it, with every row.
    whole: bool,
    /// What happened, where verdict and dqlite do not agree.
    disagreement: Option<String>,
}

/// Damages one of the fixtures; `None` where the verdict is that it cannot be read.
fn play(round: u64, generation: &str, baseline: &[Baseline]) -> Option<Outcome> {
    let mut random = Random::new(round);
    let choice = usize::try_from(random.below(NAMES.len() as u64)).unwrap();
    let fixture = Fixture::unpack(generation, NAMES[choice]);
    let state = fixture.dir("state");
    let mut what = vec![damage(&mut random, &state)];
    if random.below(4) == 0 {
        what.push(damage(&mut random, &state));
    }
    let report = assess(&scan(&state.0).ok()?);
    let found = start(&state);
    let before = &baseline[choice];
    let whole = match (&found, &before.started) {
        (Some(found), Some(all)) => found.rows.is_superset(&all.rows),
        (Some(found), None) => !found.rows.is_empty(),
        (None, _) => false,
    };
    let sound = report.verdict == Verdict::Sound;
    // That what is in a segment was never one of this log, or not there, only this test knows:
    // entries carry no index.
    let foreign =
        |what: &String| what.contains("renamed to open-") || what.contains("copied over open-");
    let agrees = if sound {
        // A log that ends earlier, with nothing that tells so, is sound; and dqlite starts.
        let shorter = report.last_index < before.last_index;
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
    let rows = || {
        found.as_ref().map_or("does not start".to_owned(), |found| {
            format!("{} rows", found.rows.len())
        })
    };
    let disagreement = (!agrees).then(|| {
        format!(
            "round {round}: {} {what:?}: dqlite: {}; {report:#?}",
            NAMES[choice],
            rows()
        )
    });
    let is_foreign = what.iter().any(foreign);
    let disagreement = disagreement.or_else(|| {
        let broken = repair(&state, before, is_foreign)?;
        Some(format!(
            "round {round}: {} {what:?}: repaired: {broken}",
            NAMES[choice]
        ))
    });
    Some(Outcome {
        sound,
        whole,
        disagreement,
    })
}

/// Repairs a directory and starts real dqlite on the result. What is wrong with that; `None` where
/// nothing is, or there is no way to repair it.
fn repair(state: &State, before: &Baseline, is_foreign: bool) -> Option<String> {
    let (plan, _beside, repaired) = match state.repaired(&[]) {
        Ok(repaired) => repaired,
        Err(PlanError::NoRemedy(_) | PlanError::NothingLeft(_) | PlanError::NotDqlite) => {
            return None;
        }
        Err(error) => return Some(error.to_string()),
    };
    if plan.steps.is_empty() || is_foreign {
        return None;
    }
    let Some(started) = start(&repaired) else {
        return Some(format!("dqlite does not start: {plan:#?}"));
    };
    if started.moved {
        return Some(format!("dqlite finds something corrupt: {plan:#?}"));
    }
    let all = &before.started.as_ref()?.rows;
    let complete = plan.lost.is_none() && plan.after.last_index >= before.last_index;
    if complete && !started.rows.is_superset(all) || !started.rows.is_subset(all) {
        let count = started.rows.len();
        return Some(format!("{count} rows of {}: {plan:#?}", all.len()));
    }
    None
}

#[test]
#[ignore = "needs real dqlite: run by tests/against-dqlite"]
fn the_verdict_is_sound_where_real_dqlite_starts_with_every_row_and_nowhere_else() {
    let (generation, seed) = (generation(), number("DQLITE_SEED", 1));
    let count_of_rounds = number("DQLITE_ROUNDS", 100);
    let baseline = NAMES.map(|name| {
        let fixture = Fixture::unpack(&generation, name);
        let state = fixture.dir("state");
        Baseline {
            started: start(&state),
            last_index: state.report().last_index,
        }
    });
    let outcomes = rounds(seed, count_of_rounds, |round| {
        play(round, &generation, &baseline)
    });
    let count = |sound, whole| {
        let same = |outcome: &&Outcome| (outcome.sound, outcome.whole) == (sound, whole);
        outcomes.iter().filter(same).count()
    };
    println!(
        "dqlite {generation}, rounds {seed} to {}: damaged and refused or short of rows {}, damaged \
         but whole {}, sound but not whole {}, sound {}",
        seed + count_of_rounds - 1,
        count(false, false),
        count(false, true),
        count(true, false),
        count(true, true)
    );
    let disagreed: Vec<_> = outcomes
        .into_iter()
        .filter_map(|o| o.disagreement)
        .collect();
    assert!(disagreed.is_empty(), "{}", disagreed.join("\n"));
}

#[test]
#[ignore = "needs real dqlite: run by tests/against-dqlite"]
fn a_scenario_played_anew_has_the_problems_of_its_archive() {
    let scenarios = [
        ("healthy", "state"),
        ("killed", "state"),
        ("pair", "voter"),
        ("pair", "spare"),
        ("handover", "old"),
        ("handover", "new"),
        ("snapshots", "state"),
        ("recovered", "state"),
        ("term-1-snapshot", "state"),
        ("mount-over", "state"),
        ("clobbered-rename", "state"),
    ];
    let kinds = |fixture: &Fixture, dir: &str| -> Vec<_> {
        let report = fixture.dir(dir).report();
        let kind = |problem: &two_node_ha_dqlite::Problem| (problem.kind, problem.lossless);
        report.problems.iter().map(kind).collect()
    };
    for (name, dir) in scenarios {
        let (archive, anew) = (Fixture::unpack(&generation(), name), scenario(name));
        assert_eq!(kinds(&anew, dir), kinds(&archive, dir), "{name}/{dir}");
        // What is left out of the archives.
        let mounted_over = ["mount-over", "clobbered-rename"].contains(&name);
        let under = anew.dir("state.under");
        assert_eq!(under.0.is_dir(), mounted_over, "{name}");
    }
}

/// A node that ends with its test, however that ends.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a node has its metadata and an open segment. Which one, is open: each lives for some
/// milliseconds only.
fn has_begun(state: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(state) else {
        return false;
    };
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    let open = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("open-");
    names.iter().any(|name| name == "metadata1") && names.iter().any(open)
}

#[test]
#[ignore = "needs real dqlite: run by tests/against-dqlite"]
fn the_directory_of_a_node_that_writes_is_sound_at_every_look_and_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let node = Command::new(program())
        .arg("busy")
        .arg(dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut node = Node(node);
    let (mut looks, mut last, mut snapshots) = (0, 0, BTreeSet::new());
    let ended = loop {
        if let Some(ended) = node.0.try_wait().unwrap() {
            break ended;
        }
        // Before the founder has written its metadata it looks like a trap, and is one.
        if looks == 0 && !has_begun(&state) {
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
    };
    println!(
        "{looks} looks, {} snapshots, up to index {last}",
        snapshots.len()
    );
    assert!(
        looks > 5 && snapshots.len() > 2,
        "{looks} looks at {} snapshots; the node: {ended}",
        snapshots.len()
    );
}

/// Of the sectors of a last write that reach this many bytes of it or fewer, each is left out once.
const FEW: u64 = 40;

#[test]
#[ignore = "needs real dqlite: run by tests/against-dqlite"]
fn a_last_write_of_which_a_few_bytes_did_not_reach_the_disk_is_dropped_by_dqlite_and_is_no_loss() {
    let generation = generation();
    let fixture = Fixture::unpack(&generation, "killed");
    let state = fixture.dir("state");
    let file = state.open();
    let content = state.read(&file);
    let starts = state.batches(&file);
    let (last, end) = (starts[starts.len() - 2], starts[starts.len() - 1]);
    let [last, end] = [last, end].map(|at| usize::try_from(at).unwrap());
    let without = {
        let (_beside, state) = state.copy();
        state.patch(&file, last as u64, &vec![0; end - last]);
        start(&state).unwrap()
    };
    let all = start(&state).unwrap();
    assert!(without.rows.len() < all.rows.len() && without.rows.is_subset(&all.rows));
    // Barriers before it move it within its sectors.
    let barrier = encode_batch(&[(1, EntryType::Barrier, &[0; 8])]);
    let torn: Vec<_> = (0..64_usize)
        .flat_map(|barriers| {
            let [at, end] = [last, end].map(|at| at + barriers * barrier.len());
            let first = (at / 512 + 1) * 512;
            let lead = (first - at <= FEW as usize).then_some((barriers, at, first));
            let tail = end / 512 * 512;
            let tail = (end - tail <= FEW as usize && tail < end).then_some((barriers, tail, end));
            lead.into_iter().chain(tail)
        })
        .collect();
    assert!(torn.len() >= 6, "{torn:?}");
    let outcomes = rounds(0, torn.len() as u64, |round| {
        let (barriers, from, to) = torn[usize::try_from(round).unwrap()];
        let (_beside, state) = state.copy();
        let mut moved = content[..last].to_vec();
        moved.extend(barrier.repeat(barriers));
        moved.extend(&content[last..end]);
        if moved[from..to].iter().all(|byte| *byte == 0) {
            return None;
        }
        moved[from..to].fill(0);
        moved.resize(content.len(), 0);
        state.write(&file, &moved);
        let verdict = assess(&scan(&state.0).unwrap()).verdict;
        let started = start(&state);
        let rows = started.as_ref().map(|started| &started.rows);
        let as_said = verdict == Verdict::Sound && rows == Some(&without.rows);
        Some((
            as_said,
            format!("{from}..{to} after {barriers} barriers: {verdict:?}, {started:?}"),
        ))
    });
    println!(
        "dqlite {generation}, last writes of which a few bytes are missing: {}",
        outcomes.len()
    );
    let wrong: Vec<_> = outcomes
        .iter()
        .filter(|(as_said, _)| !as_said)
        .map(|o| &o.1)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
