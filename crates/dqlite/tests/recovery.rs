//! A recovery adds one configuration to the log, loses nothing, and refuses what dqlite would not load.
#![allow(clippy::unwrap_used)]

mod made;
mod real;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use made::{ME, made, me, members};
use nix::fcntl::{Flock, FlockArg};
use proptest::prelude::*;
use real::{Fixture, GENERATIONS, State};
use two_node_ha_dqlite::recovery::{Applied, ApplyError, Plan, PlanError, apply, sole_voter};
use two_node_ha_dqlite::{
    Entry, EntryType, NodeInfo, ProblemKind, Role, ScanError, Server, Verdict,
    decode_configuration, encode_batch, encode_configuration, entries,
};

/// Directories of real dqlite on which it starts.
const STARTING: [(&str, &str); 7] = [
    ("healthy", "state"),
    ("killed", "state"),
    ("pair", "voter"),
    ("handover", "old"),
    ("handover", "new"),
    ("snapshots", "state"),
    ("recovered", "state"),
];

fn every_directory(mut check: impl FnMut(&str, &State)) {
    for generation in GENERATIONS {
        for (name, dir) in STARTING {
            let fixture = Fixture::unpack(generation, name);
            check(&format!("{generation} {name} {dir}"), &fixture.dir(dir));
        }
    }
}

fn plan(state: &State) -> Plan {
    Plan::of(&state.0).unwrap()
}

/// The plan's members with the last of them as the only voter.
fn wanted(plan: &Plan) -> Vec<Server> {
    let last = plan.configuration.last().unwrap();
    let me = NodeInfo {
        id: last.id,
        address: last.address.clone(),
        role: Role::Spare,
    };
    sole_voter(&plan.configuration, &me).unwrap()
}

fn named(state: &State, wanted: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
    let files = state.files().into_iter();
    let files = files.map(|(name, _, content)| (name.into_string().unwrap(), content.unwrap()));
    files.filter(|(name, _)| wanted(name)).collect()
}

fn names(state: &State) -> Vec<String> {
    named(state, |_| true)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

fn is_new(entry: &Entry, configuration: &[Server]) -> bool {
    entry.kind == EntryType::Change
        && decode_configuration(&entry.data).as_deref() == Ok(configuration)
}

/// Recovers a directory and holds it to what a recovery is.
fn recovers(what: &str, state: &State) {
    let (before, report) = (entries(&state.0).unwrap(), state.report());
    let files = state.files();
    let plan = plan(state);
    assert_eq!(state.files(), files, "{what}: planning changes nothing");
    let untouched = |name: &str| !name.starts_with("open-") && !name.starts_with('0');
    let others = named(state, untouched);
    let wanted = wanted(&plan);
    let applied = apply(&plan, &wanted).unwrap();
    let after = entries(&state.0).unwrap();
    let (new, rest) = after.split_last().unwrap();
    assert!(is_new(new, &wanted), "{what}: {new:?}");
    assert_eq!(rest, before, "{what}");
    let highest = before
        .iter()
        .filter(|e| !(e.kind == EntryType::Change && e.term == 1));
    let highest = highest.map(|entry| entry.term).max();
    let of_snapshot = report.snapshot.map(|snapshot| snapshot.term);
    let last = before.last().map(|entry| entry.term);
    assert_eq!(Some(new.term), highest.max(of_snapshot).max(last), "{what}");
    assert!(new.term <= report.metadata.unwrap().term, "{what}");
    assert_eq!(
        applied.added.unwrap().index,
        report.last_index + 1,
        "{what}"
    );
    let found = state.report();
    assert_eq!(found.verdict, Verdict::Sound, "{what}: {found:#?}");
    assert_eq!(found.last_index, report.last_index + 1, "{what}");
    assert_eq!(found.configuration, wanted, "{what}");
    assert_eq!(found.metadata, report.metadata, "{what}");
    assert_eq!(named(state, untouched), others, "{what}");
    assert!(
        !names(state).iter().any(|name| name.starts_with("open-")),
        "{what}"
    );
    let unchanged = state.files();
    let again = apply(&Plan::of(&state.0).unwrap(), &wanted).unwrap();
    assert_eq!(again, Applied::default(), "{what}: a second time");
    assert_eq!(state.files(), unchanged, "{what}: a second time");
}

#[test]
fn a_recovery_adds_one_configuration_of_the_logs_term_and_keeps_every_entry_of_real_dqlite() {
    every_directory(recovers);
}

#[test]
fn the_new_segment_has_one_entry_and_nothing_else_and_lies_behind_all_others() {
    let fixture = Fixture::unpack("1.18", "pair");
    let state = fixture.dir("voter");
    let plan = plan(&state);
    let wanted = wanted(&plan);
    apply(&plan, &wanted).unwrap();
    let index = plan.last.index + 1;
    let content = state.read(&format!("{index:016}-{index:016}"));
    // 104 bytes for two members with an address of 15 characters, as those of the fixture have.
    let len = 8 + 8 + 8 + 16 + encode_configuration(&wanted).len();
    assert_eq!((content.len(), len), (104, 104));
    assert_eq!(content[40..], encode_configuration(&wanted));
    assert_eq!(state.closed(), format!("{index:016}-{index:016}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_the_log_is_made_of_a_recovery_adds_one_entry_and_loses_none(made in made()) {
        let dir = tempfile::tempdir().unwrap();
        let term = made.write(dir.path());
        let state = State(dir.path().to_path_buf());
        let plan = plan(&state);
        prop_assert_eq!(plan.term, term, "{:#?}", plan);
        let configuration = sole_voter(&plan.configuration, &me()).unwrap();
        prop_assert_eq!(&wanted(&plan), &configuration);
        let of_whole = Plan::of_scan(dir.path(), &state.scan()).unwrap();
        prop_assert_eq!(&of_whole, &plan, "what the snapshot covers makes no difference");
        recovers("made", &state);
    }
}

/// The plan is refused, and nothing changes.
fn refused(state: &State) -> PlanError {
    let files = state.files();
    let error = Plan::of(&state.0).unwrap_err();
    assert_eq!(state.files(), files);
    let text = error.to_string();
    assert!(text.contains(&state.0.display().to_string()), "{text}");
    error
}

fn kind(error: &PlanError) -> ProblemKind {
    match error {
        PlanError::Damaged { problem, .. } => problem.kind,
        other => panic!("{other}"),
    }
}

#[test]
fn what_dqlite_would_not_load_is_refused_with_what_to_do() {
    for generation in GENERATIONS {
        for (name, expected) in [
            ("mount-over", ProblemKind::Gap),
            ("term-1-snapshot", ProblemKind::Gap),
            ("clobbered-rename", ProblemKind::Misnamed),
        ] {
            let fixture = Fixture::unpack(generation, name);
            let error = refused(&fixture.dir("state"));
            assert_eq!(kind(&error), expected, "{generation} {name}");
            assert!(error.to_string().contains("two-node-ha raft repair"));
        }
        type Damage = fn(&State);
        let damages: [(&str, ProblemKind, Damage); 8] = [
            ("killed", ProblemKind::Damaged, |s| {
                let file = s.open();
                s.flip(&file, s.batches(&file)[2] + 99);
            }),
            // Every start of dqlite fails with these two.
            ("killed", ProblemKind::Damaged, |s| {
                let file = s.open();
                let starts = s.batches(&file);
                s.cut(&file, starts[starts.len() - 2] + 40);
            }),
            ("killed", ProblemKind::CutOff, |s| {
                let file = s.open();
                s.cut(&file, s.batches(&file).last().unwrap() + 15);
            }),
            ("healthy", ProblemKind::Damaged, |s| {
                let file = s.closed();
                s.flip(&file, s.batches(&file)[3] + 99);
            }),
            ("healthy", ProblemKind::Gap, |s| {
                s.remove("0000000000000001-0000000000000001");
            }),
            ("snapshots", ProblemKind::Snapshot, |s| {
                s.flip(&format!("{}.meta", s.snapshot(0)), 20);
            }),
            ("healthy", ProblemKind::Metadata, |s| {
                s.patch("metadata1", 16, &0_u64.to_le_bytes());
            }),
            ("snapshots", ProblemKind::Misnamed, |s| {
                s.write("0000000000000009-0000000000000003", b"");
            }),
        ];
        for (name, expected, damage) in damages {
            let fixture = Fixture::unpack(generation, name);
            let state = fixture.dir("state");
            damage(&state);
            assert_eq!(kind(&refused(&state)), expected, "{generation} {name}");
        }
    }
}

#[test]
fn metadata_of_a_lower_term_than_the_snapshots_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = State(dir.path().to_path_buf());
    let made = made::Made {
        snapshot: Some(20),
        trailing: 0,
        closed: Vec::new(),
        open: Vec::new(),
        torn: false,
        rises: 5,
        above: 0,
    };
    let term = made.write(&state.0);
    assert_eq!(plan(&state).term, term);
    for file in ["metadata1", "metadata2"] {
        state.patch(file, 16, &(term - 1).to_le_bytes());
    }
    assert_eq!(kind(&refused(&state)), ProblemKind::Metadata);
}

#[test]
fn a_directory_without_a_log_a_term_or_of_format_2_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = State(dir.path().to_path_buf());
    assert!(matches!(refused(&state), PlanError::Nothing(_)));
    let fixture = Fixture::unpack("1.18", "killed");
    let state = fixture.dir("state");
    let open = state.open();
    let (_beside, next) = state.copy();
    next.patch(&open, 0, &[2]);
    let error = refused(&next);
    assert!(
        matches!(error, PlanError::Scan(ScanError::Next(_))),
        "{error}"
    );
    for file in ["metadata1", "metadata2"] {
        if state.path(file).exists() {
            state.remove(file);
        }
    }
    assert!(matches!(refused(&state), PlanError::NoTerm(_)));
}

#[test]
fn who_this_node_is_does_not_matter_to_raft() {
    let fixture = Fixture::unpack("1.18", "pair");
    let state = fixture.dir("voter");
    state.write("info.yaml", b"no: yaml: at all");
    state.remove("cluster.yaml");
    let plan = plan(&state);
    apply(&plan, &wanted(&plan)).unwrap();
    assert_eq!(state.report().configuration, wanted(&plan));
}

#[test]
fn entries_behind_a_recovery_of_libdqlites_get_the_logs_term_and_not_term_1() {
    let log = vec![vec![vec![1; 20]]];
    for (snapshot, closed) in [(None, log), (Some(20), Vec::new())] {
        let dir = tempfile::tempdir().unwrap();
        let state = State(dir.path().to_path_buf());
        let made = made::Made {
            snapshot,
            trailing: 0,
            closed,
            open: Vec::new(),
            torn: false,
            rises: 5,
            above: 1,
        };
        let term = made.write(&state.0);
        let configuration = sole_voter(&members(), &me()).unwrap();
        let data = encode_configuration(&configuration);
        let mut content = 1_u64.to_le_bytes().to_vec();
        content.extend(encode_batch(&[(1, EntryType::Change, &data)]));
        state.write("0000000000000021-0000000000000021", &content);
        // The last entry is that configuration, and of the wrong term.
        assert_eq!(plan(&state).last.term, 1);
        let applied = apply(&plan(&state), &configuration).unwrap();
        let added = applied.added.unwrap();
        assert_eq!((added.index, added.term), (22, term), "{snapshot:?}");
        let again = apply(&plan(&state), &configuration).unwrap();
        assert_eq!(again, Applied::default());
    }
}

#[test]
fn the_data_of_a_snapshot_is_not_read_and_what_it_covers_is() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "snapshots");
        let state = fixture.dir("state");
        let before = plan(&state);
        let snapshot = state.snapshot(0);
        let size = state.read(&snapshot).len();
        state.write(&snapshot, &vec![0xAB; size]);
        assert_eq!(plan(&state), before);
        // Who reads it all, notices.
        assert!(Plan::of_scan(&state.0, &state.scan()).is_err());
        // dqlite would move this one away, and with it the entries behind the snapshot.
        let covered = state.scan().snapshots.last().unwrap().name.index;
        assert!(before.last.index > covered);
        assert!(state.closed().ends_with(&format!("{covered:016}")));
        state.flip(&state.closed(), 99);
        assert_eq!(kind(&refused(&state)), ProblemKind::Damaged);
    }
}

#[test]
fn the_new_segment_is_for_those_who_may_read_the_others() {
    let fixture = Fixture::unpack("1.18", "killed");
    let state = fixture.dir("state");
    let plan = plan(&state);
    for (name, _) in named(&state, |_| true) {
        fs::set_permissions(state.path(&name), Permissions::from_mode(0o640)).unwrap();
        // Only root can give a file away.
        let _ = std::os::unix::fs::chown(state.path(&name), Some(65_534), Some(65_533));
    }
    apply(&plan, &wanted(&plan)).unwrap();
    let access = |name: &str| {
        let meta = fs::metadata(state.path(name)).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    let expected = access("metadata1");
    for name in names(&state) {
        assert_eq!(access(&name), expected, "{name}");
    }
    assert_eq!(expected.0, 0o640);
}

#[test]
fn while_somebody_holds_dqlites_lock_nothing_is_changed() {
    let fixture = Fixture::unpack("1.18", "killed");
    let state = fixture.dir("state");
    state.write("dqlite-lock", b"");
    let file = fs::File::open(state.path("dqlite-lock")).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    let (plan, files) = (plan(&state), state.files());
    let error = apply(&plan, &wanted(&plan)).unwrap_err();
    assert!(matches!(error, ApplyError::Running(_)), "{error}");
    assert_eq!(state.files(), files);
    drop(lock);
    apply(&plan, &wanted(&plan)).unwrap();
}

#[test]
fn a_directory_that_has_changed_since_it_was_planned_for_is_left_alone() {
    let changes: [fn(&State, &Plan); 3] = [
        |s, _| {
            let file = s.open();
            s.cut(&file, s.read(&file).len() as u64 - 8);
        },
        |s, plan| {
            let index = plan.last.index + 1;
            s.write(&format!("{index:016}-{index:016}"), b"somebody else's");
        },
        |s, _| {
            let scan = s.scan();
            let unused = scan
                .open
                .iter()
                .find(|open| open.content.is_unused())
                .unwrap();
            s.write(&unused.file, b"somebody has begun to write");
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let fixture = Fixture::unpack("1.18", "killed");
        let state = fixture.dir("state");
        let plan = plan(&state);
        change(&state, &plan);
        let error = apply(&plan, &wanted(&plan)).unwrap_err();
        assert!(matches!(error, ApplyError::Changed(_)), "{number}: {error}");
        let index = plan.last.index + 1;
        let added = state.path(&format!("{index:016}-{index:016}"));
        assert_ne!(fs::read(added).ok().map(|content| content.len()), Some(104));
    }
}

#[test]
fn a_file_that_an_earlier_recovery_has_left_half_written_goes() {
    let fixture = Fixture::unpack("1.18", "killed");
    let state = fixture.dir("state");
    state.write("tmp-0000000000000017-0000000000000017.aBcDeF", b"half");
    state.write("tmp-something.aBcDeF", b"of others");
    let plan = plan(&state);
    apply(&plan, &wanted(&plan)).unwrap();
    let left = names(&state);
    let left: Vec<_> = left
        .iter()
        .filter(|name| name.starts_with("tmp-"))
        .collect();
    assert_eq!(left, ["tmp-something.aBcDeF"]);
    assert_eq!(ME, me().id);
}
