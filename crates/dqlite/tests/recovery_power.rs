//! The power is cut before every single change of a recovery, with and without the loss of what was not
//! synced: the log is as it was, or has the new entry, and the next recovery ends what was begun.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod made;
mod real;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use made::{Made, me};
use real::{Fixture, GENERATIONS, State};
use two_node_ha_disk::effects::{self, Change};
use two_node_ha_disk::power::{Loss, cut_before, describe, plug_in};
use two_node_ha_dqlite::recovery::{Applied, Plan, apply, sole_voter};
use two_node_ha_dqlite::{Entry, EntryType, NodeInfo, Role, Server, Verdict, entries};

const LOSSES: [Loss; 2] = [Loss::Nothing, Loss::Unsynced];

/// A recovery from the look to the end. None where it did not come there.
fn recover(state: &State, configuration: &[Server]) -> Option<Applied> {
    let plan = Plan::of(&state.0).unwrap();
    let done = apply(&plan, configuration).ok();
    // Whatever happens next: what was said to be durable is not taken back.
    for next in ["one", "two"] {
        let _ = effects::make_directory(&state.path(next), 0o700);
    }
    done
}

/// What a directory is, and what its recovery may leave.
struct Case<'a> {
    what: &'a str,
    origin: State,
    configuration: Vec<Server>,
    old: Vec<Entry>,
    new: Vec<Entry>,
}

impl<'a> Case<'a> {
    fn of(what: &'a str, origin: State) -> Self {
        let plan = Plan::of(&origin.0).unwrap();
        let last = plan.configuration.last().unwrap();
        let me = NodeInfo {
            id: last.id,
            address: last.address.clone(),
            role: Role::Voter,
        };
        let configuration = sole_voter(&plan.configuration, &me).unwrap();
        let old = entries(&origin.0).unwrap();
        let (_beside, copy) = origin.copy();
        apply(&Plan::of(&copy.0).unwrap(), &configuration).unwrap();
        let new = entries(&copy.0).unwrap();
        assert_eq!(new.len(), old.len() + 1, "{what}");
        assert_eq!(new.last().unwrap().kind, EntryType::Change, "{what}");
        Self {
            what,
            origin,
            configuration,
            old,
            new,
        }
    }

    /// Where the power went at those changes, one after the other; then the recovery is run to its end.
    /// False where the last of them is behind the end.
    fn play(&self, cuts: &[u64], loss: Loss) -> bool {
        let (beside, state) = self.origin.copy();
        let mut reached = true;
        for (number, nth) in cuts.iter().enumerate() {
            let attic = beside.path().join(format!("attic-{number}"));
            let (done, cut) =
                cut_before(*nth, loss, &attic, || recover(&state, &self.configuration));
            reached = cut.is_some();
            let what = format!("{}, {loss:?}, {cuts:?}, before {cut:?}", self.what);
            let found = entries(&state.0).unwrap();
            assert!(
                found == self.new || done.is_none() && found == self.old,
                "{what}"
            );
            assert_eq!(state.report().verdict, Verdict::Sound, "{what}");
        }
        let what = format!("{}, {loss:?}, {cuts:?}, and again", self.what);
        assert!(recover(&state, &self.configuration).is_some(), "{what}");
        assert_eq!(entries(&state.0).unwrap(), self.new, "{what}");
        let left = |name: &str| name.starts_with("open-") || name.starts_with("tmp-");
        for file in fs::read_dir(&state.0).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert!(!left(&name), "{what}: {name}");
        }
        reached
    }

    /// Every cut. Returns how many there were.
    fn every_cut(&self) -> u64 {
        let mut points = 0;
        for loss in LOSSES {
            for nth in 1.. {
                if !self.play(&[nth], loss) {
                    break;
                }
                points += 1;
            }
        }
        points
    }

    /// Every cut, and every cut of the recovery behind it.
    fn every_two_cuts(&self) -> u64 {
        let mut points = 0;
        for loss in LOSSES {
            for first in 1.. {
                let mut any = false;
                for second in 1.. {
                    if !self.play(&[first, second], loss) {
                        break;
                    }
                    any = true;
                    points += 1;
                }
                if !any {
                    break;
                }
                if !self.play(&[first], loss) {
                    break;
                }
            }
        }
        points
    }
}

#[test]
fn a_power_cut_anywhere_in_a_recovery_leaves_the_log_or_the_log_and_the_new_entry() {
    let mut points = 0;
    for generation in GENERATIONS {
        for (name, dir) in [
            ("healthy", "state"),
            ("killed", "state"),
            ("pair", "voter"),
            ("handover", "new"),
            ("snapshots", "state"),
            ("recovered", "state"),
        ] {
            let what = format!("{generation} {name}/{dir}");
            let fixture = Fixture::unpack(generation, name);
            points += Case::of(&what, fixture.dir(dir)).every_cut();
        }
    }
    println!("{points} cuts in recoveries of directories of real dqlite");
    assert!(points > 100, "{points}");
}

/// Three open segments with entries, one that was not used and one without a byte; all closed ones are
/// covered by the snapshot, or there are neither.
fn with_everything_open(dir: &Path, snapshot: Option<u64>) -> State {
    let open = |sizes: &[u8], zeros| (sizes.iter().map(|words| vec![*words; 2]).collect(), zeros);
    let made = Made {
        snapshot,
        trailing: 3,
        closed: Vec::new(),
        open: vec![
            open(&[3, 9], 0),
            open(&[1], 2000),
            open(&[4, 0, 2], 600),
            open(&[], 0),
            open(&[], 4096),
        ],
        torn: true,
        rises: 4,
        above: 1,
    };
    made.write(dir);
    assert_eq!(me().id, made::ME);
    State(dir.to_path_buf())
}

#[test]
fn a_second_power_cut_in_the_recovery_after_the_first_changes_nothing_about_that() {
    let mut points = 0;
    for snapshot in [None, Some(9)] {
        let dir = tempfile::tempdir().unwrap();
        let state = with_everything_open(dir.path(), snapshot);
        let opens = state.scan().open.len();
        assert_eq!(opens, 5);
        let case = Case::of("made", state);
        points += case.every_cut() + case.every_two_cuts();
    }
    println!(
        "{points} cuts, and pairs of cuts, in recoveries of directories with five open segments"
    );
    assert!(points > 150, "{points}");
}

/// What is done to the disk, change by change.
fn changes(state: &State, configuration: &[Server]) -> Vec<String> {
    let attic = tempfile::tempdir().unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&seen);
    let watch = move |_: usize, change: &Change<'_>| noted.borrow_mut().push(describe(change));
    let no_flags = BTreeSet::new();
    plug_in(attic.path(), Loss::Nothing, Rc::new(watch), no_flags);
    apply(&Plan::of(&state.0).unwrap(), configuration).unwrap();
    let seen = seen.borrow();
    let dir = format!("{}", state.0.display());
    seen.iter()
        .map(|change| change.replace(&dir, "DIR"))
        .collect()
}

/// A power cut may keep any of several names that are not on the disk yet, and of two closed segments the
/// second alone is past the end of the log. The cuts above lose all of them at once.
#[test]
fn each_name_is_on_the_disk_before_the_next_one_changes() {
    let dir = tempfile::tempdir().unwrap();
    let state = with_everything_open(dir.path(), Some(9));
    let plan = Plan::of(&state.0).unwrap();
    let configuration = sole_voter(&plan.configuration, &me()).unwrap();
    let seen = changes(&state, &configuration);
    let mut is_on_the_disk = true;
    let mut renamed = 0;
    for change in &seen {
        if change.starts_with("rename") {
            assert!(is_on_the_disk, "{change}: {seen:#?}");
            (is_on_the_disk, renamed) = (false, renamed + 1);
        }
        is_on_the_disk |= change == "sync DIR";
    }
    assert!(is_on_the_disk, "{seen:#?}");
    assert_eq!(renamed, 4, "three closed and a new one: {seen:#?}");
    // An earlier recovery may have been cut off before its last name was.
    assert_eq!(changes(&state, &configuration), ["sync DIR"]);
}
