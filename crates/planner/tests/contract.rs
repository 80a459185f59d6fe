//! What is kept on the disks: today's form of each record, and those of the versions before.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use two_node_ha_dqlite::Position;
use two_node_ha_planner::record::{
    Astray, CopyMade, Epoch, InProgress, Journal, Owned, Resolution, Unreadable, Versioned,
};
use two_node_ha_planner::{Database, Step, Target};
use two_node_ha_sample::contract::{Fixtures, fixtures};

fn here() -> Fixtures {
    fixtures(env!("CARGO_MANIFEST_DIR"))
}

fn text(record: &impl Serialize) -> String {
    serde_json::to_string_pretty(record).unwrap()
}

/// Every step, with every value that tells one from another.
fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::AskPeer,
        Step::AskPacemaker,
        Step::AskPromotion,
        Step::RemoveConstraint("drbd-fence-by-handler-r0-drbd_master_slave".into()),
        Step::AskFencePeer,
        Step::StopPeer,
        Step::ProtectMountPoint,
        Step::StopServices,
        Step::MoveOntoVolume,
        Step::RememberEpoch(7),
        Step::BeginEpoch,
        Step::FencePeer,
        Step::FetchLogs,
        Step::RenewEpoch(7),
        Step::Rejoin(7),
        Step::StartServices,
        Step::ConfirmVoter,
        Step::ReportReleased,
    ];
    for database in Database::ALL {
        steps.extend([
            Step::KeepIdentity(database),
            Step::Leave(database),
            Step::KeepOriginal(database),
            Step::Flip(database, Target::Volume),
            Step::Flip(database, Target::Spare),
            Step::Recover(database),
        ]);
    }
    // Since version 2.
    steps.push(Step::StartRest);
    steps
}

fn astray() -> Astray {
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    Astray::new("hatwo", (52, 90), (at(1_795_552_215), at(1_795_552_270)))
}

/// With every field.
fn epoch() -> Epoch {
    let mut epoch = Epoch::first("haone")
        .taken_over_by("hatwo")
        .taken_over_by("haone");
    epoch.confirmed = [(Database::K8sd, Position { term: 3, index: 90 })].into();
    epoch.astray = [(Database::K8sDqlite, astray())].into();
    epoch.done(Database::K8sDqlite);
    epoch
}

/// With every field but the step in progress.
fn journal() -> Journal {
    let mut journal = Journal::new("haone");
    journal.highest_epoch = 7;
    journal.volume = Some(Owned {
        epoch: 7,
        owner: "haone".into(),
    });
    journal.spare_epoch = Database::ALL.into_iter().map(|d| (d, 6)).collect();
    journal
}

/// With every field.
fn resolution() -> Resolution {
    let mut resolution = Resolution::new("haone", "hatwo", false)
        .marked("b7c1")
        .over("a001");
    resolution.copy = Some(CopyMade {
        name: "r0-20261124T203015Z".into(),
        generation: 0xD4F6_0A1B_2C3D_4E50,
        writes: Some("5c0f:1024".into()),
    });
    resolution.discarding = Some(0xD4F6_0A1B_2C3D_4E50);
    resolution
}

#[test]
fn the_records_have_the_form_of_their_version() {
    here().is_todays(Epoch::VERSION, "epoch.json", &text(&epoch()));
    here().is_todays(
        Resolution::VERSION,
        "split-brain.json",
        &text(&resolution()),
    );
    // Nothing in progress: the program before reads it, and is to.
    here().is_todays(1, "journal.json", &text(&journal()));
    let journals = steps().into_iter().map(|step| {
        let mut journal = journal();
        journal.note(Some(&step));
        serde_json::to_string(&journal).unwrap() + "\n"
    });
    let journals: String = journals.collect();
    here().is_todays(Journal::VERSION, "journals-with-a-step.jsonl", &journals);
}

#[test]
fn the_records_that_were_ever_written_are_read() {
    let read = |name: &str| here().read(1, name).into_bytes();
    assert_eq!(Epoch::from_json(&read("epoch.json")), Ok(epoch()));
    assert_eq!(
        Epoch::from_json(&read("epoch-first.json")),
        Ok(Epoch::first("haone"))
    );
    assert_eq!(
        Resolution::from_json(&read("split-brain.json")),
        Ok(resolution())
    );
    assert_eq!(
        Resolution::from_json(&read("split-brain-first.json")),
        Ok(Resolution::new("haone", "hatwo", true))
    );
    assert_eq!(Journal::from_json(&read("journal.json")), Ok(journal()));
    assert_eq!(
        Journal::from_json(&read("journal-first.json")),
        Ok(Journal::new("haone"))
    );
}

#[test]
fn a_journal_with_a_sentence_names_its_step() {
    for (version, of, fewer) in [(1, "sentence", 1), (2, "step", 0)] {
        let text = here().read(version, "journals-with-a-step.jsonl");
        assert_eq!(text.lines().count(), steps().len() - fewer, "with a {of}");
        for (line, step) in text.lines().zip(steps()) {
            let read = Journal::from_json(line.as_bytes()).unwrap();
            assert_eq!(read.in_progress(), Some(&InProgress::Step(step)), "{line}");
            // It is the same journal, and in today's form from now on.
            let mut same = journal();
            let Some(InProgress::Step(step)) = read.in_progress() else {
                unreachable!()
            };
            same.note(Some(step));
            assert_eq!(read, same);
        }
    }
}

/// Nothing is decided by it, so that it may be anything.
#[test]
fn what_was_in_progress_and_is_not_known_keeps_nobody_from_reading_the_rest() {
    for (written, what) in [
        (r#""wait for better times""#, "wait for better times"),
        (r#"{"unknown":"wait"}"#, "wait"),
        (r#"{"step":{"wait-for":3}}"#, r#"{"step":{"wait-for":3}}"#),
        (
            r#""recover k8s with this node as only voter""#,
            "recover k8s with this node as only voter",
        ),
        (r#""remember epoch many""#, "remember epoch many"),
    ] {
        let odd = here().read(1, "journal.json").replace("null", written);
        let read = Journal::from_json(odd.as_bytes()).unwrap();
        assert_eq!(read.in_progress(), Some(&InProgress::Unknown(what.into())));
        assert!(read.in_progress().unwrap().describe().contains(what));
        let again = Journal::from_json(text(&read).as_bytes());
        assert_eq!(again, Ok(read));
    }
}

#[test]
fn a_newer_record_says_which_version_it_has_which_is_known_and_what_to_do() {
    let newer = |known: u32| {
        let text = format!(r#"{{"format": {}, "nodes": []}}"#, known + 1);
        (
            text.into_bytes(),
            format!(
                "has format {}, and this version knows {known}: upgrade two-node-ha here",
                known + 1
            ),
        )
    };
    let (text, why) = newer(Epoch::VERSION);
    assert_eq!(Epoch::from_json(&text).unwrap_err().to_string(), why);
    let (text, why) = newer(Journal::VERSION);
    assert_eq!(Journal::from_json(&text).unwrap_err().to_string(), why);
    let (text, why) = newer(Resolution::VERSION);
    assert_eq!(Resolution::from_json(&text).unwrap_err().to_string(), why);
    for none in ["{}", r#"{"format": 0}"#, r#"{"format": "1"}"#, "[]", ""] {
        let why = Journal::from_json(none.as_bytes()).unwrap_err();
        assert!(matches!(why, Unreadable::Malformed(_)), "{none}: {why:?}");
    }
}

prop_compose! {
    fn any_astray()(
        node in ".*",
        entries in any::<(u64, u64)>(),
        (since, until) in any::<(u32, u32)>(),
    ) -> Astray {
        let at = |seconds: u32| UNIX_EPOCH + Duration::from_secs(seconds.into());
        Astray::new(&node, entries, (at(since), at(until)))
    }
}

fn any_database() -> impl Strategy<Value = Database> {
    prop_oneof![Just(Database::K8sd), Just(Database::K8sDqlite)]
}

fn of_each<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<Database, T>> {
    btree_map(any_database(), value, 0..3)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        select(steps()),
        any::<u64>().prop_map(Step::RememberEpoch),
        any::<u64>().prop_map(Step::Rejoin),
        ".*".prop_map(Step::RemoveConstraint),
    ]
}

prop_compose! {
    fn any_epoch()(
        owners in vec("[a-z]{1,8}", 1..4),
        done in vec(any_database(), 0..2),
        epoch in any::<u64>(),
        astray in of_each(any_astray()),
        confirmed in of_each(any::<(u64, u64)>()),
    ) -> Epoch {
        let mut record = Epoch::first(&owners[0]);
        record.epoch = epoch;
        for owner in &owners[1..] {
            record = record.taken_over_by(owner);
            record.astray = astray.clone();
            for database in &done {
                record.done(*database);
            }
        }
        let position = |(term, index)| Position { term, index };
        record.confirmed = confirmed.into_iter().map(|(d, end)| (d, position(end))).collect();
        record
    }
}

prop_compose! {
    fn any_journal()(
        node in ".*",
        highest_epoch in any::<u64>(),
        volume in option::of((any::<u64>(), ".*")),
        spare_epoch in of_each(any::<u64>()),
        step in option::of(any_step()),
    ) -> Journal {
        let mut journal = Journal::new(&node);
        journal.highest_epoch = highest_epoch;
        journal.volume = volume.map(|(epoch, owner)| Owned { epoch, owner });
        journal.spare_epoch = spare_epoch;
        journal.note(step.as_ref());
        journal
    }
}

prop_compose! {
    fn any_resolution()(
        words in vec(".*", 4),
        without_copy in any::<bool>(),
        copy in option::of((".*", any::<u64>(), option::of(".*"))),
        discarding in option::of(any::<u64>()),
    ) -> Resolution {
        let mut record = Resolution::new(&words[0], &words[1], without_copy)
            .marked(&words[2])
            .over(&words[3]);
        record.copy = copy.map(|(name, generation, writes)| CopyMade { name, generation, writes });
        record.discarding = discarding;
        record
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(
        epoch in any_epoch(),
        journal in any_journal(),
        resolution in any_resolution(),
    ) {
        prop_assert_eq!(Epoch::from_json(text(&epoch).as_bytes()), Ok(epoch));
        prop_assert_eq!(Journal::from_json(text(&journal).as_bytes()), Ok(journal));
        prop_assert_eq!(Resolution::from_json(text(&resolution).as_bytes()), Ok(resolution));
    }
}
