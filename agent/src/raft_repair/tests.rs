//! The original or the repaired directory, whole, at every point where the power may fail.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::*;

#[path = "../../../crates/dqlite/tests/real/mod.rs"]
pub mod real;

use real::{Fixture, State};
use two_node_ha_disk::power::{self, Loss};

/// A directory that can be repaired without loss, in a place of its own.
fn damaged() -> (Fixture, State) {
    let fixture = Fixture::unpack("1.18", "clobbered-rename");
    let state = fixture.dir("state");
    (fixture, State(place(&state.0).unwrap()))
}

fn contents(state: &State) -> Vec<(std::ffi::OsString, Option<Vec<u8>>)> {
    let files = state.files().into_iter();
    files.map(|(name, _, content)| (name, content)).collect()
}

fn repaired(state: &State) -> Result<Repaired, Error> {
    let plan = Plan::of(&state.0, &[])?;
    repair(&state.0, &plan, &Interrupt::default(), &mut |_| {})
}

#[test]
fn a_repair_is_undone_to_the_byte_and_what_it_made_is_kept() {
    let (_fixture, state) = damaged();
    let original = contents(&state);
    let done = repaired(&state).unwrap();
    assert_eq!(done.report.verdict, Verdict::Sound);
    assert!(contents(&State(done.original())) == original);
    let made = contents(&state);
    assert_eq!(undo(&done.aside).unwrap(), state.0);
    assert!(contents(&state) == original);
    assert!(contents(&State(done.original())) == made);
    // Once, and no more.
    assert!(matches!(
        undo(&done.aside),
        Err(Error::NothingToUndo { .. })
    ));
    assert!(contents(&state) == original);
}

#[test]
fn a_second_repair_keeps_the_first_one_s_original() {
    let (_fixture, state) = damaged();
    let first = repaired(&state).unwrap();
    state.remove("cluster.yaml");
    let second = repaired(&state).unwrap();
    assert_ne!(first.aside, second.aside);
    assert!(first.original().is_dir() && second.original().is_dir());
    // The later one first.
    assert!(matches!(
        undo(&first.aside),
        Err(Error::NothingToUndo { .. })
    ));
    undo(&second.aside).unwrap();
    undo(&first.aside).unwrap();
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let (_fixture, state) = damaged();
    let original = contents(&state);
    let mut other = std::process::Command::new("sleep");
    let mut other = other.arg("60").current_dir(&state.0).spawn().unwrap();
    let result = repaired(&state);
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(matches!(result, Err(Error::Busy { .. })), "{result:?}");
    assert!(contents(&state) == original);
    assert!(journal::all(&state.0).unwrap().is_empty());
}

#[test]
fn a_repair_under_way_keeps_others_from_taking_it_for_a_leftover() {
    let (_fixture, state) = damaged();
    let held = lock(&state.0).unwrap();
    assert!(matches!(lock(&state.0), Err(Error::Busy { .. })));
    drop(held);
    let done = repaired(&state).unwrap();
    let held = lock(&state.0).unwrap();
    assert!(matches!(undo(&done.aside), Err(Error::Busy { .. })));
    drop(held);
    undo(&done.aside).unwrap();
}

#[test]
fn a_directory_that_changes_meanwhile_is_left_alone() {
    let (_fixture, state) = damaged();
    let plan = Plan::of(&state.0, &[]).unwrap();
    let mut changed = false;
    let result = repair(&state.0, &plan, &Interrupt::default(), &mut |_| {
        if !std::mem::replace(&mut changed, true) {
            state.write("metadata1", &[1; 32]);
        }
    });
    assert!(
        matches!(result, Err(Error::Changed(_) | Error::Copy(_))),
        "{result:?}"
    );
    assert_eq!(
        std::fs::read_dir(state.0.parent().unwrap())
            .unwrap()
            .count(),
        2
    );
}

#[test]
fn owners_and_modes_are_those_of_the_original() {
    use std::os::unix::fs::PermissionsExt;
    let (_fixture, state) = damaged();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&state.0, 0o750);
    set(&state.path("info.yaml"), 0o640);
    let done = repaired(&state).unwrap();
    assert_eq!(mode(&state.0) & 0o777, 0o750);
    assert_eq!(mode(&state.path("info.yaml")) & 0o777, 0o640);
    assert_eq!(mode(&done.aside) & 0o777, 0o700);
}

/// The folders of repairs.
fn asides(state: &State) -> usize {
    let entries = fs::read_dir(state.0.parent().unwrap()).unwrap();
    entries
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains(".repair-")
        })
        .count()
}

/// A power cut before the nth change, with that loss; false where there were fewer changes.
fn cut(nth: u64, loss: Loss) -> bool {
    let (fixture, state) = damaged();
    let original = contents(&state);
    power::plug_in(
        &fixture.dir("attic").0,
        loss,
        Rc::new(|_, _| ()),
        BTreeSet::new(),
    );
    power::cut_at(Some(nth));
    let result = repaired(&state);
    let Some((_, change)) = power::off() else {
        assert_eq!(result.unwrap().report.verdict, Verdict::Sound);
        return false;
    };
    power::back();
    power::cut_at(None);
    let found = state.report().verdict;
    let untouched = contents(&state) == original;
    assert!(
        untouched || found == Verdict::Sound,
        "cut at {nth} ({change}): neither the original nor a sound one"
    );
    // The next call deals with what is left, and the original is there whatever has happened.
    clear_up(&state.0).unwrap();
    let again = repaired(&state).unwrap();
    assert_eq!(again.report.verdict, Verdict::Sound);
    let journals = journal::all(&state.0).unwrap();
    let kept = journals
        .iter()
        .any(|(aside, _)| contents(&State(aside.join(STATE))) == original);
    assert!(kept, "cut at {nth} ({change}): the original is gone");
    for (aside, journal) in journals {
        assert_eq!(journal.unwrap().phase, Phase::Done, "{}", aside.display());
    }
    assert!(
        asides(&state) <= 2,
        "cut at {nth} ({change}): something is left"
    );
    true
}

#[test]
fn a_power_cut_at_any_point_leaves_the_original_or_the_repaired_one() {
    for loss in [Loss::Nothing, Loss::Unsynced] {
        let cuts = (1..).take_while(|nth| cut(*nth, loss)).count();
        assert!(cuts > 10, "only {cuts} points");
    }
}
