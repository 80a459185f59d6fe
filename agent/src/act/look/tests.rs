//! What a takeover makes of each kind of damage, on files that real dqlite has written.

use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::rc::Rc;

use two_node_ha_command::Interrupt;
use two_node_ha_disk::power::{self, Loss};
use two_node_ha_dqlite::scan;
use two_node_ha_planner::Step;
use two_node_ha_planner::observation::{Contents, Log};
use two_node_ha_planner::record::Phase;

use crate::act::tests::{Node, contents};
use crate::observe::live;
use crate::observe::logs::Looks;

use crate::raft_repair::tests::real::{Fixture, GENERATIONS, State};

const DATABASE: Database = Database::K8sDqlite;

/// haone in the middle of a takeover of a database that real dqlite has written, damaged.
fn taking_over(generation: &str, name: &str, damage: &dyn Fn(&State)) -> (Node, State) {
    let node = Node::taking_over();
    let volume = node.volume(DATABASE);
    let fixture = Fixture::unpack(generation, name);
    fs::remove_file(volume.join("metadata1")).unwrap();
    for (file, _, content) in fixture.dir("state").files() {
        if !file.to_string_lossy().ends_with("yaml") {
            fs::write(volume.join(file), content.unwrap()).unwrap();
        }
    }
    // It is the member that has written them.
    let me = fixture.dir("state").read("info.yaml");
    fs::write(node.spare(DATABASE).join("info.yaml"), me).unwrap();
    let state = State(volume);
    damage(&state);
    (node, state)
}

fn look(node: &Node) -> Result<(), Error> {
    node.actor.look(DATABASE, &mut |_| {})
}

/// The folders of repairs of the database.
fn asides(node: &Node) -> Vec<PathBuf> {
    let volume = node.volume(DATABASE);
    let beside = fs::read_dir(volume.parent().unwrap()).unwrap();
    let mut found: Vec<_> = beside
        .map(|entry| entry.unwrap().path())
        .filter(|path| raft_repair::is_aside(&path.to_string_lossy()))
        .collect();
    found.sort();
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Made {
    /// Nothing was changed, and the takeover goes on.
    Nothing,
    /// It was mended without loss.
    Mended,
    /// Nothing was changed, and a person has to look.
    Waits,
}
use Made::{Mended, Nothing, Waits};

fn batch(state: &State, file: &str, nth: usize) -> u64 {
    state.batches(file)[nth]
}

/// How a directory is damaged.
type Damage<'a> = &'a dyn Fn(&State);

/// A damage: what it is, in which fixture, how it is made, and what becomes of it.
type Case<'a> = (&'a str, &'a str, Damage<'a>, Made);

#[test]
fn what_is_lossless_is_mended_and_what_is_not_waits_for_each_kind_of_damage() {
    let cases: [Case<'_>; 16] = [
        ("nothing", "healthy", &|_| {}, Nothing),
        (
            "killed within a write",
            "killed",
            &|s| {
                let file = s.open();
                let starts = s.batches(&file);
                let [from, end] = [starts[starts.len() - 2], starts[starts.len() - 1]];
                let sector = (from + 512) / 512 * 512;
                s.patch(
                    &file,
                    sector,
                    &vec![0; usize::try_from(end - sector).unwrap()],
                );
            },
            Nothing,
        ),
        (
            "an older snapshot",
            "snapshots",
            &|s| s.flip(&s.snapshot(1), 200),
            Nothing,
        ),
        (
            "info.yaml, which is replaced",
            "killed",
            &|s| s.write("info.yaml", b"["),
            Nothing,
        ),
        (
            "a leftover join",
            "killed",
            &|s| s.write("join", b""),
            Nothing,
        ),
        (
            "metadata of 33 bytes",
            "killed",
            &|s| s.write("metadata1", &[1; 33]),
            Mended,
        ),
        (
            "metadata of another format",
            "killed",
            &|s| s.patch("metadata1", 0, &[9]),
            Mended,
        ),
        (
            "zeros behind a closed segment",
            "healthy",
            &|s| {
                let file = s.closed();
                let size = s.read(&file).len() as u64;
                s.cut(&file, size + 4096);
            },
            Mended,
        ),
        (
            "an open segment cut off in its zeros",
            "killed",
            &|s| {
                let file = s.open();
                s.cut(&file, s.batches(&file).last().unwrap() + 15);
            },
            Mended,
        ),
        (
            "a closed segment of another's range",
            "clobbered-rename",
            &|_| {},
            Mended,
        ),
        (
            "the newest snapshot",
            "snapshots",
            &|s| s.flip(&s.snapshot(0), 200),
            Mended,
        ),
        (
            "a bit of a closed segment",
            "healthy",
            &|s| {
                let file = s.closed();
                s.flip(&file, batch(s, &file, 3) + 99);
            },
            Waits,
        ),
        (
            "a bit in the middle of an open segment",
            "killed",
            &|s| {
                let file = s.open();
                s.flip(&file, batch(s, &file, 2) + 99);
            },
            Waits,
        ),
        (
            "an open segment cut off in a batch",
            "killed",
            &|s| {
                let file = s.open();
                s.cut(&file, batch(s, &file, 2) + 99);
            },
            Waits,
        ),
        (
            "both snapshots",
            "snapshots",
            &|s| {
                s.flip(&s.snapshot(0), 200);
                s.flip(&s.snapshot(1), 200);
            },
            Waits,
        ),
        (
            "a missing first segment",
            "healthy",
            &|s| s.remove("0000000000000001-0000000000000001"),
            Waits,
        ),
    ];
    for generation in GENERATIONS {
        for (what, fixture, damage, expected) in &cases {
            let (node, state) = taking_over(generation, fixture, *damage);
            let original = contents(&state.0);
            // Else the plan would wait for a person, and never come to look.
            let planned = !matches!(seen(&node), Log::Unreadable(_)) && holds(&node);
            assert!(planned || *expected == Waits, "{generation}, {what}");
            let looked = look(&node);
            let made = match (&looked, &asides(&node)[..]) {
                (Ok(()), []) => Nothing,
                (Ok(()), [aside]) => {
                    assert!(contents(&aside.join("state")) == original, "{what}");
                    let after = assess(&PART.of(scan(&state.0).unwrap()));
                    assert_eq!(after.verdict, Verdict::Sound, "{what}: {after:#?}");
                    Mended
                }
                (Err(Error::Damaged(_)), []) => Waits,
                other => panic!("{generation}, {what}: {other:?}"),
            };
            assert_eq!(&made, expected, "{generation}, {what}: {looked:?}");
            if made != Mended {
                assert!(contents(&state.0) == original, "{generation}, {what}");
            }
        }
    }
}

/// One bit of the newest closed segment's fourth entry.
fn lossy(state: &State) {
    let file = state.closed();
    state.flip(&file, state.batches(&file)[3] + 99);
}

#[test]
fn with_repair_never_what_is_lossless_waits_too_and_says_that_nothing_is_lost() {
    let (mut node, state) = taking_over("1.18", "clobbered-rename", &|_| {});
    let mut config = (*node.actor.config).clone();
    config.agent.repair = RepairPolicy::Never;
    node.actor.config = config.into();
    let original = contents(&state.0);
    let why = look(&node).unwrap_err().to_string();
    assert!(why.contains("nothing of it is lost"), "{why}");
    assert!(why.contains("agent.repair"), "{why}");
    assert!(contents(&state.0) == original && asides(&node).is_empty());
}

/// The database's log as this node's eyes see it.
fn seen(node: &Node) -> Log {
    let Actor { paths, config, .. } = &node.actor;
    let view = live::volume(paths, config, &mut Looks::default());
    view.logs[&DATABASE].log.clone()
}

/// Whether the plan would take the database on the volume over.
fn holds(node: &Node) -> bool {
    let Actor { paths, config, .. } = &node.actor;
    let view = live::volume(paths, config, &mut Looks::default());
    view.databases[&DATABASE] == Contents::Database
}

#[test]
fn damage_with_loss_stops_the_takeover_with_its_numbers_until_the_files_are_others() {
    // The end of the log shows the first; the second is in what only a whole look reads.
    let both: &dyn Fn(&State) = &|s| {
        s.flip(&s.snapshot(0), 200);
        s.flip(&s.snapshot(1), 200);
    };
    let cases: [(&str, Damage<'_>); 2] = [("healthy", &lossy), ("snapshots", both)];
    for (fixture, damage) in cases {
        let (mut node, state) = taking_over("1.18", fixture, damage);
        let original = contents(&state.0);
        let step = Step::Recover(DATABASE);
        let why = node.actor.take(&step, &mut |_| {}).unwrap_err();
        assert!(matches!(why, Error::Guard(_)), "{why}");
        assert!(contents(&state.0) == original, "it is as it was found");
        assert_eq!(node.recorded().phase(DATABASE), Phase::Pending);
        let Log::Unreadable(found) = seen(&node) else {
            panic!("{:?}", seen(&node));
        };
        assert!(found.contains(&state.0.display().to_string()), "{found}");
        // The operator gives up what is lost.
        let Ok(plan) = Plan::of_part(PART, &state.0, &[]) else {
            assert_eq!(fixture, "snapshots");
            state.write(&state.snapshot(0), b"");
            let record = node.actor.paths.found_damaged(DATABASE);
            assert_eq!(damage::found(&record, &state.0), None, "it looks again");
            continue;
        };
        assert!(
            found.contains("at least") && found.contains("lost"),
            "{found}"
        );
        raft_repair::repair(&state.0, &plan, &Interrupt::default(), &mut |_| {}).unwrap();
        assert!(matches!(seen(&node), Log::Ends(_)), "{:?}", seen(&node));
        node.actor.take(&step, &mut |_| {}).unwrap();
        assert_eq!(node.recorded().phase(DATABASE), Phase::Done);
        assert!(!node.actor.paths.found_damaged(DATABASE).exists());
    }
}

/// A power cut before the nth change of a takeover that mends; false where there were fewer changes.
fn cut(nth: u64, loss: Loss) -> bool {
    let (mut node, state) = taking_over("1.18", "clobbered-rename", &|_| {});
    let last = Plan::of_part(PART, &state.0, &[]).unwrap().after.last_index;
    let attic = tempfile::tempdir().unwrap();
    power::plug_in(attic.path(), loss, Rc::new(|_, _| ()), BTreeSet::new());
    power::cut_at(Some(nth));
    let step = Step::Recover(DATABASE);
    let result = node.actor.take(&step, &mut |_| {});
    let off = power::off();
    power::cut_at(None);
    let Some((_, change)) = off else {
        result.unwrap();
        return false;
    };
    power::back();
    let again = node.actor.take(&step, &mut |_| {});
    assert!(again.is_ok(), "cut at {nth} ({change}): {again:?}");
    let report = assess(&PART.of(scan(&state.0).unwrap()));
    assert_eq!(
        (report.verdict, report.last_index),
        (Verdict::Sound, last + 1),
        "cut at {nth} ({change})"
    );
    assert_eq!(node.recorded().phase(DATABASE), Phase::Done);
    true
}

#[test]
fn a_power_cut_at_any_point_of_a_takeover_that_mends_leaves_what_the_next_one_goes_on_from() {
    // Not each of them, for time: raft_repair's own test has all of a repair, and the crash bench all of a
    // takeover.
    for (loss, every) in [(Loss::Nothing, 4), (Loss::Unsynced, 2)] {
        let cuts = (1..).step_by(every);
        let cuts = cuts.take_while(|nth| cut(*nth, loss)).count();
        assert!(cuts > 10, "only {cuts} points");
    }
}
