//! Words and small values, which no decision shows.

use std::collections::BTreeSet;

use two_node_ha_dqlite::Position;

use crate::log::Standing;
use crate::record::Astray;
use crate::{Database, State, Step, Target};

const STATES: [State; 9] = [
    State::Probing,
    State::PrimaryPrep,
    State::Recovering,
    State::PrimaryRunning,
    State::Draining,
    State::SecondaryWait,
    State::Syncing,
    State::SecondaryRunning,
    State::Blocked,
];

/// Every step, and whether it waits for a journal that cannot be written.
fn steps() -> Vec<(Step, bool)> {
    let mut all = vec![
        (Step::AskPeer, false),
        (Step::AskPacemaker, false),
        (Step::AskPromotion, false),
        (Step::RemoveConstraint("fence-r0".into()), false),
        (Step::AskFencePeer, false),
        (Step::StopPeer, false),
        (Step::ProtectMountPoint, true),
        (Step::StopServices, false),
        (Step::MoveOntoVolume, true),
        (Step::RememberEpoch(7), true),
        (Step::BeginEpoch, true),
        (Step::FencePeer, false),
        (Step::FetchLogs, true),
        (Step::RenewEpoch(7), true),
        (Step::Rejoin(7), true),
        (Step::StartServices, true),
        (Step::StartRest, false),
        (Step::ConfirmVoter, false),
        (Step::ReportReleased, false),
    ];
    for database in Database::ALL {
        all.extend([
            (Step::KeepIdentity(database), true),
            (Step::Leave(database), false),
            (Step::KeepOriginal(database), true),
            (Step::Flip(database, Target::Volume), true),
            (Step::Flip(database, Target::Spare), false),
            (Step::Recover(database), true),
        ]);
    }
    all
}

#[test]
fn a_state_and_a_database_are_called_the_same_in_words_and_in_records() {
    let recorded = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    for state in STATES {
        let name = recorded(serde_json::to_value(state).unwrap());
        assert_eq!((state.name(), state.to_string()), (&*name, name.clone()));
    }
    for database in Database::ALL {
        let name = recorded(serde_json::to_value(database).unwrap());
        assert_eq!(database.to_string(), name);
    }
}

#[test]
fn no_two_steps_have_the_same_words_and_each_names_what_it_is_about() {
    let words: BTreeSet<String> = steps().iter().map(|(step, _)| step.describe()).collect();
    assert_eq!(words.len(), steps().len(), "{words:?}");
    for (step, _) in steps() {
        let words = step.describe();
        assert!(words.contains(' '), "{step:?}: {words}");
        let about = match &step {
            Step::KeepIdentity(database)
            | Step::Leave(database)
            | Step::KeepOriginal(database)
            | Step::Flip(database, _)
            | Step::Recover(database) => database.to_string(),
            Step::RememberEpoch(epoch) | Step::RenewEpoch(epoch) | Step::Rejoin(epoch) => {
                format!("epoch {epoch}")
            }
            Step::RemoveConstraint(id) => id.clone(),
            _ => continue,
        };
        assert!(words.contains(&about), "{step:?}: {words}");
    }
}

#[test]
fn a_full_disk_keeps_no_step_of_the_way_down_and_no_question_from_being_taken() {
    for (step, needs) in steps() {
        assert_eq!(step.needs_the_journal(), needs, "{step:?}");
    }
}

#[test]
fn a_log_that_was_taken_as_a_base_has_nothing_more_than_the_volume() {
    let at = |index| Position { term: 3, index };
    let apart = |last| Standing::Parted {
        volume: at(200),
        other: at(last),
        at: None,
    };
    let taken = Astray {
        node: "hatwo".into(),
        first: 52,
        last: 90,
        since: 0,
        until: 0,
    };
    let given = |standing: Standing, node: &str| standing.given(Some(&taken), node);
    for last in [51, 90] {
        assert_eq!(given(apart(last), "hatwo"), Standing::Within);
        assert_eq!(given(apart(last), "haone"), apart(last), "another node's");
        assert_eq!(apart(last).given(None, "hatwo"), apart(last));
    }
    assert_eq!(
        given(apart(91), "hatwo"),
        apart(91),
        "it has one entry more"
    );
    let differs = Standing::Parted {
        volume: at(200),
        other: at(90),
        at: Some(60),
    };
    for standing in [
        differs,
        Standing::Within,
        Standing::Ahead {
            first: 201,
            last: 202,
        },
        Standing::Unknown("half a record".into()),
    ] {
        assert_eq!(given(standing.clone(), "hatwo"), standing);
    }
}

#[test]
fn the_constraint_of_a_resolution_bears_the_resources_name() {
    let id = crate::split_brain::ban_id("r7");
    assert_eq!(id, "two-node-ha-split-brain-r7");
}
