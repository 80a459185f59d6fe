//! The evidence of a split brain: today's form, and those of the versions before.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tempfile::TempDir;
use two_node_ha_drbd::{DiskState, Handler, Resource, Role, State, Volume};
use two_node_ha_evidence::{Evidence, Noted, VERSION, read, replace, update};
use two_node_ha_planner::Step;
use two_node_ha_planner::record::{InProgress, Journal};
use two_node_ha_sample::contract::{Fixtures, fixtures};

fn here() -> Fixtures {
    fixtures(env!("CARGO_MANIFEST_DIR"))
}

/// A directory with this text as evidence.
fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir
        .path()
        .join("00000000000000000007-0000000001-split-brain.json");
    fs::write(&path, text).unwrap();
    (dir, path)
}

#[test]
fn evidence_has_the_form_of_its_version() {
    // What was read is written as it was, but for the journal in it, which has a form of its own.
    let (_dir, path) = file(&here().read(1, "evidence.json"));
    let evidence = read(&path).unwrap();
    here().is_todays(
        VERSION,
        "evidence-today.json",
        &serde_json::to_string(&evidence).unwrap(),
    );
}

#[test]
fn the_evidence_that_was_ever_written_is_read() {
    let (_dir, path) = file(&here().read(1, "evidence.json"));
    let evidence = read(&path).unwrap();
    assert_eq!(
        (evidence.handler, evidence.host.as_str()),
        (Handler::SplitBrain, "haone")
    );
    assert!(
        evidence
            .drbd
            .unwrap()
            .resource("r0")
            .unwrap()
            .is_primary_uptodate()
    );
    let journal = evidence.journal.unwrap().known().unwrap();
    assert_eq!(journal.highest_epoch, 7);
    assert_eq!(
        journal.in_progress(),
        Some(&InProgress::Step(Step::StartServices))
    );
    let sides = evidence.sides.unwrap().known().unwrap();
    assert_eq!((sides.len(), sides[0].node.as_str()), (1, "haone"));

    let (_dir, path) = file(&here().read(1, "evidence-first.json"));
    let first = Evidence::new(Handler::SplitBrain, 1_795_552_215_000_000);
    assert_eq!(read(&path).unwrap(), first);
}

#[test]
fn newer_evidence_says_which_file_and_version_it_is_and_what_to_do() {
    let newer = format!(r#"{{"format": {}, "nodes": []}}"#, VERSION + 1);
    let (_dir, path) = file(&newer);
    assert_eq!(
        read(&path).unwrap_err().to_string(),
        format!(
            "{} cannot be read as evidence: it has format {}, and this version knows {VERSION}: \
             upgrade two-node-ha here",
            path.display(),
            VERSION + 1
        )
    );
}

#[test]
fn what_an_agent_of_another_version_has_noted_stays_when_the_file_is_changed() {
    let text = r#"{"format":1,"handler":"split-brain-2","time":7,"sides":[{"who":"haone"}],
        "journal":{"nodes":["haone"]}}"#;
    let (_dir, path) = file(text);
    update(&path, |evidence| {
        evidence.resolved = Some("haone was kept".into())
    })
    .unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["sides"][0]["who"], "haone");
    assert_eq!(kept["journal"]["nodes"][0], "haone");
    assert_eq!(kept["handler"], "split-brain-2");
    let evidence = read(&path).unwrap();
    assert_eq!(evidence.sides.and_then(Noted::known), None);
    assert_eq!(evidence.resolved.as_deref(), Some("haone was kept"));
}

prop_compose! {
    fn any_evidence()(
        handler in prop_oneof![
            Just(Handler::SplitBrain),
            Just(Handler::InitialSplitBrain),
            "[a-z-]{0,20}".prop_map(|word| Handler::parse(&word)),
        ],
        time in any::<u64>(),
        (host, resource, peer) in (".*", option::of(".*"), option::of(".*")),
        minors in vec(any::<u32>(), 0..3),
        env in btree_map("DRBD_[A-Z]{1,8}", ".*", 0..4),
        disk in option::of("[A-Za-z]{1,10}"),
        (proc_drbd, resolved) in (option::of(".*"), option::of(".*")),
        node in option::of(".*"),
        problems in vec(".*", 0..3),
        sides in option::of(Just(Noted::Known(Vec::new()))),
    ) -> Evidence {
        let state = |disk: String| State {
            resources: vec![Resource {
                name: "r0".into(),
                role: Role::Primary,
                volumes: vec![Volume { disk: DiskState::parse(&disk), ..Volume::default() }],
                ..Resource::default()
            }],
            ..State::default()
        };
        let journal = |node: String| {
            let mut journal = Journal::new(&node);
            journal.note(Some(&Step::StopServices));
            Noted::Known(journal)
        };
        Evidence {
            host, resource, peer, minors, env, proc_drbd, problems, sides, resolved,
            drbd: disk.map(state),
            journal: node.map(journal),
            ..Evidence::new(handler, time)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_is_read_back(evidence in any_evidence()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        replace(&path, &evidence).unwrap();
        prop_assert_eq!(read(&path).unwrap(), evidence);
    }
}
