//! After a recovery real dqlite starts with every row, elects itself, takes writes and snapshots, and
//! starts again; and libdqlite's own recovery of a copy comes to the same log and members.
//!
//! `tests/against-dqlite` runs these.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod real;

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use real::{
    Fixture, Random, State, damage, generation, goes_on, number, program, recover, rounds,
    scenario, snapshots, start,
};
use two_node_ha_dqlite::recovery::{ApplyError, Plan, apply, sole_voter};
use two_node_ha_dqlite::{
    EntryType, NodeInfo, Position, Role, Server, Verdict, decode_configuration, entries, scan,
    write_cluster, write_info,
};

/// Directories on which dqlite starts, and the place of whoever takes over among the members.
const DIRECTORIES: [(&str, &str, usize); 9] = [
    ("healthy", "state", 0),
    ("killed", "state", 0),
    ("pair", "voter", 0),
    ("pair", "voter", 1),
    ("handover", "old", 1),
    ("handover", "new", 0),
    ("handover", "new", 1),
    ("snapshots", "state", 0),
    ("recovered", "state", 0),
];

/// The identity of a member, and everybody's roles, as the one that takes over writes them.
fn write_identity(state: &State, members: &[Server]) {
    let voter = members
        .iter()
        .find(|member| member.role == Role::Voter)
        .unwrap();
    write_info(&state.0, &NodeInfo::from(voter)).unwrap();
    let members: Vec<_> = members.iter().map(NodeInfo::from).collect();
    write_cluster(&state.0, &members).unwrap();
}

/// The plan for a directory, and its members with that one as the only voter.
fn members_of(state: &State, taker: usize) -> (Plan, Vec<Server>) {
    let plan = Plan::of(&state.0).unwrap();
    let me = NodeInfo::from(&plan.configuration[taker.min(plan.configuration.len() - 1)]);
    let members = sole_voter(&plan.configuration, &me).unwrap();
    (plan, members)
}

/// Segments with their contents, but for the last one.
fn segments(state: &State) -> (Vec<(String, Vec<u8>)>, String) {
    let scan = state.scan();
    assert_eq!(scan.open, [], "no segment is open");
    let mut files: Vec<_> = scan.closed.into_iter().map(|closed| closed.file).collect();
    let last = files.pop().unwrap();
    let read = |file: String| {
        let content = state.read(&file);
        (file, content)
    };
    (files.into_iter().map(read).collect(), last)
}

/// How long a configuration is without its padding, in which 1.11 leaves whatever was in the memory.
fn unpadded(data: &[u8]) -> usize {
    let members = decode_configuration(data).unwrap();
    let each = members
        .iter()
        .map(|member| 8 + member.address.len() + 1 + 1);
    1 + 8 + each.sum::<usize>()
}

/// What libdqlite makes of one copy and a recovery of another: the same, except the term.
fn same_as_libdqlites(what: &str, native: &State, theirs: &State) {
    let (ours, other) = (entries(&native.0).unwrap(), entries(&theirs.0).unwrap());
    assert_eq!(ours.len(), other.len(), "{what}");
    let (our_last, our_rest) = ours.split_last().unwrap();
    let (their_last, their_rest) = other.split_last().unwrap();
    assert_eq!(our_rest, their_rest, "{what}");
    assert_eq!(our_last.index, their_last.index, "{what}");
    assert_eq!(our_last.kind, their_last.kind, "{what}");
    let used = unpadded(&our_last.data);
    assert_eq!(our_last.data.len(), their_last.data.len(), "{what}");
    assert_eq!(our_last.data[..used], their_last.data[..used], "{what}");
    assert_eq!(our_last.kind, EntryType::Change, "{what}");
    assert_eq!(their_last.term, 1, "{what}");
    assert_eq!(
        native.report().configuration,
        theirs.report().configuration,
        "{what}"
    );
    assert_eq!(native.report().metadata, theirs.report().metadata, "{what}");
    // The files, too: by name and byte, but for the new one's term, padding and checksums.
    let ((our_files, our_new), (their_files, their_new)) = (segments(native), segments(theirs));
    assert_eq!(our_files, their_files, "{what}");
    assert_eq!(our_new, their_new, "{what}");
    let (mut ours, mut other) = (native.read(&our_new), theirs.read(&their_new));
    for content in [&mut ours, &mut other] {
        content[8..16].fill(0);
        content[24..32].fill(0);
        content[40 + used..].fill(0);
    }
    assert_eq!(ours, other, "{what}");
}

/// Takes a directory over, natively and through libdqlite, and has real dqlite go on with the first.
fn taken_over(what: &str, state: &State, taker: usize) {
    let before = start(state).map(|started| started.rows);
    let (_one, native) = state.copy();
    let (_other, theirs) = state.copy();
    let (plan, members) = members_of(&native, taker);
    let applied = apply(&plan, &members).unwrap();
    assert_eq!(applied.added.unwrap().term, plan.term, "{what}");
    write_identity(&native, &members);
    write_identity(&theirs, &members);
    assert!(recover(&theirs), "{what}: libdqlite refuses it");
    same_as_libdqlites(what, &native, &theirs);

    let recovered = start(&native).unwrap_or_else(|| panic!("{what}: it does not start"));
    let by_theirs = start(&theirs).unwrap_or_else(|| panic!("{what}: theirs does not start"));
    assert!(!recovered.moved, "{what}: something is corrupt");
    assert_eq!(recovered.rows, by_theirs.rows, "{what}");
    // Alone, a member whose voter is another one does not come up.
    if let Some(before) = before {
        assert_eq!(recovered.rows, before, "{what}");
    }
    goes_on_with_every_row(what, &native, &recovered.rows, &members);
}

/// It takes writes and snapshots, and starts again with all of it.
fn goes_on_with_every_row(what: &str, state: &State, rows: &BTreeSet<String>, members: &[Server]) {
    let covered = |state: &State| state.report().snapshot.map_or(0, |snapshot| snapshot.index);
    let (term, index) = (state.report().last_term, state.report().last_index);
    for round in 1..=2 {
        let acked = goes_on(state);
        assert_eq!(acked, 40, "{what}");
        let report = state.report();
        assert_eq!(report.verdict, Verdict::Sound, "{what}: {report:#?}");
        assert!(covered(state) > index, "{what}: no snapshot was taken");
        let last = report.snapshots.last().unwrap();
        assert!(
            last.term >= term,
            "{what}: the snapshot {} sorts below",
            last.file
        );
        assert_eq!(report.configuration, members, "{what}");
        let restarted = start(state).unwrap_or_else(|| panic!("{what}: it does not start again"));
        assert!(!restarted.moved, "{what}: something is corrupt");
        assert!(restarted.rows.is_superset(rows), "{what}");
        assert_eq!(restarted.rows.len(), rows.len() + round * 40, "{what}");
    }
}

#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn real_dqlite_goes_on_with_every_row_and_libdqlites_recovery_comes_to_the_same() {
    let mut played = 0;
    for (name, dir, taker) in DIRECTORIES {
        let what = format!("{name}/{dir}, member {taker}");
        let fixture = Fixture::unpack(&generation(), name);
        taken_over(&what, &fixture.dir(dir), taker);
        played += 1;
    }
    println!(
        "dqlite {}: {played} directories of its archives",
        generation()
    );
}

/// Directories made just now: how many entries are where is never the same.
#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn directories_made_anew_are_taken_over_as_those_of_the_archives() {
    // DQLITE_ROUNDS counts damaged directories, of which a round is quicker.
    let rounds = number("DQLITE_ROUNDS", 100).div_ceil(60);
    for round in 1..=rounds {
        for (name, dir) in [
            ("killed", "state"),
            ("pair", "voter"),
            ("snapshots", "state"),
        ] {
            let made = scenario(name);
            taken_over(&format!("{name}/{dir}, round {round}"), &made.dir(dir), 1);
        }
    }
    println!(
        "dqlite {}: {} directories made anew",
        generation(),
        3 * rounds
    );
}

/// A snapshot right at libdqlite's entry is named snapshot-1-N and deleted as the oldest, and the next
/// start finds a gap: see the scenario `term-1-snapshot`.
#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn a_snapshot_right_at_the_new_entry_has_the_logs_term_and_libdqlites_has_term_1() {
    let fixture = Fixture::unpack(&generation(), "handover");
    let native = fixture.dir("new");
    let (_beside, theirs) = native.copy();
    let (plan, members) = members_of(&native, 0);
    assert!(plan.term > 1, "{plan:?}");
    let added = apply(&plan, &members).unwrap().added.unwrap();
    write_identity(&native, &members);
    write_identity(&theirs, &members);
    assert!(recover(&theirs));
    for (state, term) in [(&native, plan.term), (&theirs, 1)] {
        snapshots(state);
        let at = Position { term, ..added };
        assert_eq!(state.report().snapshot, Some(at));
    }
}

/// What came of a damaged directory.
enum Outcome {
    /// The plan was refused.
    Refused,
    /// It was taken over, and dqlite has started on it.
    TakenOver,
    /// The snapshot's data half is damaged: dqlite starts on it neither before nor after.
    Snapshot,
}

/// Damages a directory and takes it over in both ways.
fn damaged(round: u64) -> Option<Result<Outcome, String>> {
    let mut random = Random::new(round);
    let (name, dir, taker) = *random.one(&DIRECTORIES);
    let fixture = Fixture::unpack(&generation(), name);
    let state = fixture.dir(dir);
    let what = damage(&mut random, &state);
    let what = format!("round {round}: {name}/{dir}, member {taker}: {what}");
    let (Ok(whole), Ok(plan)) = (scan(&state.0), Plan::of(&state.0)) else {
        return Some(Ok(Outcome::Refused));
    };
    let whole = Plan::of_scan(&state.0, &whole);
    if whole.is_ok_and(|whole| whole != plan) {
        return Some(Err(format!(
            "{what}: the end of the log is not that of the whole"
        )));
    }
    let (_one, native) = state.copy();
    let (_other, theirs) = state.copy();
    let (plan, members) = members_of(&native, taker);
    let applied = match apply(&plan, &members) {
        Ok(applied) => applied,
        Err(error) => return Some(Err(format!("{what}: {error}"))),
    };
    for state in [&native, &theirs] {
        write_identity(state, &members);
    }
    let recovered = recover(&theirs);
    let is_sound = Plan::of_scan(&state.0, &state.scan()).is_ok();
    Some(match (start(&native), recovered) {
        (Some(started), true) => {
            match applied.added {
                Some(_) => same_as_libdqlites(&what, &native, &theirs),
                // All that is left ends with that configuration; libdqlite adds it again.
                None => {
                    let (ours, other) = (entries(&native.0).unwrap(), entries(&theirs.0).unwrap());
                    assert_eq!(ours, other[..other.len() - 1], "{what}");
                }
            }
            match start(&theirs) {
                Some(other) if other.rows == started.rows && !started.moved => {
                    Ok(Outcome::TakenOver)
                }
                other => Err(format!("{what}: {started:?}, and theirs {other:?}")),
            }
        }
        (None, _) if !is_sound && start(&theirs).is_none() => Ok(Outcome::Snapshot),
        (started, recovered) => Err(format!("{what}: {started:?}, theirs: {recovered}")),
    })
}

#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn a_damaged_directory_is_refused_or_taken_over_as_by_libdqlite() {
    let (seed, count) = (number("DQLITE_SEED", 1), number("DQLITE_ROUNDS", 100));
    let outcomes = rounds(seed, count, damaged);
    let wrong: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let (mut refused, mut taken_over, mut snapshot) = (0, 0, 0);
    for outcome in outcomes.iter().flatten() {
        match outcome {
            Outcome::Refused => refused += 1,
            Outcome::TakenOver => taken_over += 1,
            Outcome::Snapshot => snapshot += 1,
        }
    }
    println!(
        "dqlite {}, rounds {seed} to {}: refused {refused}, taken over {taken_over}, with a damaged \
         snapshot {snapshot}",
        generation(),
        seed + count - 1
    );
}

/// A node that ends with its test, however that ends.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn a_running_node_that_has_a_lock_is_noticed_and_nothing_is_changed() {
    // 1.11 has none.
    if generation() == "1.11" {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let state = State(dir.path().join("state"));
    let node = Command::new(program())
        .arg("busy")
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let node = Node(node);
    let until = Instant::now() + Duration::from_secs(30);
    let plan = loop {
        assert!(Instant::now() < until, "it does not begin");
        if state.path("dqlite-lock").exists() {
            if let Ok(plan) = Plan::of(&state.0) {
                break plan;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let members = plan.configuration.clone();
    let error = apply(&plan, &members).unwrap_err();
    assert!(matches!(error, ApplyError::Running(_)), "{error}");
    drop(node);
    // Once it has died, its lock is nobody's.
    loop {
        assert!(Instant::now() < until, "the lock stays");
        match apply(&Plan::of(&state.0).unwrap(), &members) {
            Ok(_) => break,
            Err(ApplyError::Running(_)) => std::thread::sleep(Duration::from_millis(100)),
            Err(error) => panic!("{error}"),
        }
    }
}
