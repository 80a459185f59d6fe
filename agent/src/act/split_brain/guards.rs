//! Each condition of a guard by itself: the step is refused for it alone, and taken where it does not hold.

use std::fs;

use two_node_ha_command::{Exit, Output};
use two_node_ha_drbd::Handler;
use two_node_ha_evidence::{self as evidence, Evidence};
use two_node_ha_planner::record::{CopyMade, Resolution};
use two_node_ha_planner::split_brain::plan::Step;

use super::tests::{Node, asked, changes, drbd, quiet};

const NOTHING: [&str; 0] = [];
const DISCARD: &str = "drbdadm connect --discard-my-data r0";

/// The resolution by which hatwo, where the tests are, is kept.
fn kept() -> Resolution {
    Resolution::new("hatwo", "haone", false)
}

fn discarding(mut resolution: Resolution) -> Resolution {
    resolution.discarding = Some(0x77);
    resolution
}

#[test]
fn a_node_is_demoted_only_while_it_is_neither_mounted_nor_held() {
    let mut node = Node::new();
    node.note(&asked());
    let primary = || drbd("Primary", "StandAlone", "UpToDate", "7");
    for (mounted, held) in [(true, false), (false, true), (true, true)] {
        node.used(mounted, held);
        let runner = primary();
        let why = node.take(&runner, &Step::Demote).unwrap_err();
        assert!(why.contains("still in use"), "{mounted} {held}: {why}");
        assert_eq!(changes(&runner), NOTHING);
    }
    node.used(false, false);
    let runner = primary().answer("drbdadm secondary r0", 0, "");
    node.take(&runner, &Step::Demote).unwrap();
    assert_eq!(changes(&runner), ["drbdadm secondary r0"]);
}

#[test]
fn a_mount_or_a_holder_alone_keeps_the_data_from_being_copied_or_given_up() {
    let mut node = Node::new();
    let without_copy = Resolution::new("haone", "hatwo", true);
    for (mounted, held) in [(true, false), (false, true)] {
        node.used(mounted, held);
        for step in [Step::Copy, Step::Discard] {
            node.note(&without_copy);
            let runner = quiet();
            let why = node.take(&runner, &step).unwrap_err();
            assert!(why.contains("in use on hatwo"), "{step:?}: {why}");
            assert_eq!(changes(&runner), NOTHING);
            assert_eq!(node.noted().as_ref(), Some(&without_copy));
        }
    }
}

#[test]
fn the_kept_node_is_connected_where_it_was_cut_and_where_it_tries_already_it_is_left_to_try() {
    let node = Node::new();
    node.note(&kept());
    for (link, what) in [
        ("StandAlone", &["drbdadm connect r0"][..]),
        ("WFConnection", &[]),
        ("Connected", &[]),
    ] {
        let runner = drbd("Secondary", link, "UpToDate", "7").answer("drbdadm connect r0", 0, "");
        node.take_as(&runner, &Step::Connect, &kept()).unwrap();
        assert_eq!(changes(&runner), what, "{link}");
    }
}

#[test]
fn a_resolution_begins_only_between_the_two_nodes() {
    let node = Node::new();
    for (winner, loser) in [
        ("hatwo", "hatwo"),
        ("haone", "hathree"),
        ("hathree", "hatwo"),
    ] {
        let asked = Resolution::new(winner, loser, false);
        let why = node.take_as(&quiet(), &Step::Begin, &asked).unwrap_err();
        assert!(why.contains("are not the two nodes"), "{why}");
        assert_eq!(node.noted(), None);
    }
}

#[test]
fn a_resolution_may_begin_anew_until_the_data_is_half_overwritten_for_the_one_before() {
    let node = Node::new();
    for (noted, disk) in [
        // DRBD never heard of it.
        (discarding(asked()), "UpToDate"),
        // It is not whole, and was not before either.
        (asked(), "Inconsistent"),
    ] {
        node.note(&noted);
        let runner = drbd("Secondary", "StandAlone", disk, "7");
        node.take_as(&runner, &Step::Begin, &kept()).unwrap();
        assert_eq!(node.noted(), Some(kept()));
    }
}

#[test]
fn only_data_that_is_half_overwritten_for_this_resolution_is_given_up_without_a_copy() {
    let node = Node::new();
    for (noted, disk) in [(discarding(asked()), "UpToDate"), (asked(), "Inconsistent")] {
        node.note(&noted);
        let runner = drbd("Secondary", "StandAlone", disk, "7").answer(DISCARD, 0, "");
        let why = node.take(&runner, &Step::Discard).unwrap_err();
        assert!(why.contains("there is no copy"), "{disk}: {why}");
        assert_eq!(changes(&runner), NOTHING);
    }
}

#[test]
fn by_the_operators_word_the_data_is_given_up_without_a_copy() {
    let node = Node::new();
    node.note(&Resolution::new("haone", "hatwo", true));
    let runner = quiet().answer(DISCARD, 0, "");
    node.take(&runner, &Step::Discard).unwrap();
    assert_eq!(changes(&runner), [DISCARD]);
    let noted = node.noted().unwrap();
    assert_eq!(noted.discarding, Some(0xAAAA_AAAA_AAAA_AAAA));
}

#[test]
fn a_resolution_ends_only_when_drbd_is_connected_and_the_data_is_whole() {
    let node = Node::new();
    node.note(&asked());
    for (link, disk) in [("StandAlone", "UpToDate"), ("Connected", "Inconsistent")] {
        let runner = drbd("Secondary", link, disk, "7");
        let why = node.take(&runner, &Step::Finish).unwrap_err();
        assert!(why.contains("not done yet"), "{link} {disk}: {why}");
        assert_eq!(node.noted(), Some(asked()));
    }
}

#[test]
fn at_the_end_the_evidence_says_which_data_was_kept_and_where_the_other_is() {
    let node = Node::new();
    let mut noted = asked();
    noted.copy = Some(CopyMade {
        name: "r0-1".into(),
        generation: 1,
        writes: None,
    });
    node.note(&noted);
    let seen = Evidence::new(Handler::SplitBrain, 7);
    let seen = evidence::write(&node.paths().evidence(), &seen).unwrap();
    let runner = drbd("Secondary", "Connected", "UpToDate", "7");
    node.take(&runner, &Step::Finish).unwrap();
    let resolved = evidence::read(&seen).unwrap().resolved;
    assert_eq!(
        resolved.as_deref(),
        Some("the data of haone was kept; copy r0-1")
    );
    assert_eq!(node.noted(), None);
}

#[test]
fn a_record_that_is_gone_at_the_end_is_no_error_and_one_that_cannot_be_removed_is_named() {
    let node = Node::new();
    // Pacemaker is asked between the look and the removal.
    let meanwhile = |happens: fn(&std::path::Path)| {
        let record = node.record();
        drbd("Secondary", "Connected", "UpToDate", "7").answer_with(
            "crm_resource --cleanup",
            move |_| {
                fs::remove_file(&record).unwrap();
                happens(&record);
                Ok(Output {
                    exit: Exit::Code(0),
                    stdout: Vec::new(),
                    stderr: Vec::new(),
                })
            },
        )
    };
    node.note(&kept());
    let runner = meanwhile(|_| {});
    node.take_as(&runner, &Step::Finish, &kept()).unwrap();
    node.note(&kept());
    let runner = meanwhile(|record| fs::create_dir(record).unwrap());
    let why = node.take_as(&runner, &Step::Finish, &kept()).unwrap_err();
    let named = format!("removing {}: ", node.record().display());
    assert!(why.starts_with(&named), "{why}");
}
