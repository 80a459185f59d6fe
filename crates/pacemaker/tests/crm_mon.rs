//! What Pacemaker 2.1.5 and 3.0.0 print for our cluster in each situation (recorded from the real
//! `crm_mon` by `fixtures/record.py`), and what is read from it.

#![allow(clippy::unwrap_used)]

use two_node_ha_command::scripted::Scripted;
use two_node_ha_command::{Exit, Output};
use two_node_ha_pacemaker::{
    Error, FenceStatus, PeerNode, ResourceRole, Status, parse_crm_mon, query,
};

macro_rules! both_versions {
    ($situation:literal) => {
        [
            include_str!(concat!("fixtures/", $situation, ".2.1.5.xml")),
            include_str!(concat!("fixtures/", $situation, ".3.0.0.xml")),
        ]
        .map(|xml| parse_crm_mon(xml).unwrap())
    };
}

fn peer_states(statuses: [Status; 2]) -> [PeerNode; 2] {
    statuses.map(|status| status.peer_state("beta"))
}

#[test]
fn a_healthy_cluster_is_read_whole() {
    for status in both_versions!("healthy") {
        assert_eq!(status.dc.as_deref(), Some("alpha"));
        assert_eq!(status.with_quorum, Some(true));
        assert_eq!(status.stonith_enabled, Some(true));
        assert_eq!(status.no_quorum_policy.as_deref(), Some("stop"));
        assert!(!status.maintenance_mode);
        let names: Vec<_> = status.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["alpha", "beta"]);
        assert!(
            status
                .nodes
                .iter()
                .all(|n| n.online && n.expected_up && !n.standby)
        );
        assert!(status.node("alpha").unwrap().is_dc);
        assert_eq!(status.promoted_on("drbd_res"), Some("alpha"));
        assert_eq!(status.active_on("fs_res"), Some("alpha"));
        assert_eq!(status.active_on("ha_k8s_failover_service"), Some("alpha"));
        let drbd: Vec<_> = status.instances("drbd_res").collect();
        assert_eq!(drbd.len(), 2);
        assert!(
            drbd.iter()
                .all(|r| r.clone.as_deref() == Some("drbd_master_slave"))
        );
        assert_eq!(drbd[1].role, ResourceRole::Unpromoted);
        assert_eq!(drbd[1].node.as_deref(), Some("beta"));
        assert_eq!(drbd[1].agent, "ocf:linbit:drbd");
        assert!(status.failures.is_empty());
        assert!(status.fence_history.is_empty());
    }
}

#[test]
fn a_peer_whose_state_is_known_is_online_joining_or_gone() {
    use PeerNode::{CleanOffline, Online, Pending, Unknown};
    assert_eq!(peer_states(both_versions!("healthy")), [Online; 2]);
    assert_eq!(peer_states(both_versions!("peer-standby")), [Online; 2]);
    assert_eq!(peer_states(both_versions!("maintenance")), [Online; 2]);
    assert_eq!(peer_states(both_versions!("peer-joining")), [Pending; 2]);
    assert_eq!(peer_states(both_versions!("peer-leaving")), [Pending; 2]);
    assert_eq!(
        peer_states(both_versions!("peer-fenced")),
        [CleanOffline; 2]
    );
    assert_eq!(
        peer_states(both_versions!("peer-shut-down")),
        [CleanOffline; 2]
    );
    assert_eq!(peer_states(both_versions!("election")), [Unknown; 2]);
}

#[test]
fn a_peer_that_may_still_run_is_unclean() {
    let unclean = [PeerNode::UncleanOffline; 2];
    assert_eq!(peer_states(both_versions!("peer-lost")), unclean);
    assert_eq!(peer_states(both_versions!("peer-process-lost")), unclean);
    assert_eq!(peer_states(both_versions!("peer-never-seen")), unclean);
    assert_eq!(peer_states(both_versions!("no-quorum")), unclean);
}

#[test]
fn a_lost_peer_is_unclean_although_pacemaker_without_fencing_calls_it_clean() {
    for status in both_versions!("peer-lost-stonith-off") {
        assert_eq!(status.stonith_enabled, Some(false));
        assert!(!status.node("beta").unwrap().unclean);
        assert_eq!(status.peer_state("beta"), PeerNode::UncleanOffline);
        assert!(!status.peer_verdict("beta").certainly_down());
    }
}

#[test]
fn a_node_of_another_cluster_is_unknown() {
    for status in both_versions!("healthy") {
        assert_eq!(status.peer_state("gamma"), PeerNode::Unknown);
        assert!(!status.peer_verdict("gamma").certainly_down());
    }
}

#[test]
fn an_election_leaves_no_dc_and_no_quorum_to_speak_of() {
    for status in both_versions!("election") {
        assert_eq!(status.dc, None);
        assert_eq!(status.with_quorum, None);
    }
    for status in both_versions!("no-quorum") {
        assert_eq!(status.with_quorum, Some(false));
    }
}

#[test]
fn maintenance_mode_and_standby_are_seen() {
    for status in both_versions!("maintenance") {
        assert!(status.maintenance_mode);
        assert!(status.resources.iter().all(|r| !r.managed));
    }
    for status in both_versions!("peer-standby") {
        assert!(status.node("beta").unwrap().standby);
        assert!(!status.node("alpha").unwrap().standby);
    }
}

#[test]
fn a_failed_start_is_a_failure_with_its_reason() {
    for status in both_versions!("failover-failed") {
        let unit = status.instances("ha_k8s_failover_service").next().unwrap();
        assert!(unit.failed);
        let [failure] = &status.failures[..] else {
            panic!("{:?}", status.failures)
        };
        assert_eq!(failure.operation, "ha_k8s_failover_service_start_0");
        assert_eq!(failure.node, "alpha");
        assert_eq!(failure.exit_code, 1);
        assert!(failure.exit_reason.starts_with("no working voter"));
    }
}

/// crm_mon prints no fencing history for a CIB file, so these entries are written after
/// `fence-event-2.15.rng` and `st_output.c`.
fn with_history(xml: &str, events: &str) -> Status {
    let history = format!("<fence_history status=\"0\">{events}</fence_history><status code=");
    parse_crm_mon(&xml.replacen("<status code=", &history, 1)).unwrap()
}

const FENCED: &str = include_str!("fixtures/peer-fenced.3.0.0.xml");
const LOST: &str = include_str!("fixtures/peer-lost.3.0.0.xml");
const SUCCESS: &str = r#"<fence_event action="reboot" target="beta"
    client="pacemaker-controld.742" origin="alpha" delegate="alpha" status="success"
    completed="2023-11-14 22:13:25.123456Z"/>"#;
const FAILED: &str = r#"<fence_event action="off" target="beta" client="stonith_admin.99"
    origin="alpha" status="failed" exit-reason="No such device"
    completed="2023-11-14 22:12:25.123456Z"/>"#;
const PENDING: &str = r#"<fence_event action="off" target="beta" client="c" origin="alpha"
    status="pending" extended-status="executing"/>"#;

#[test]
fn a_confirmed_fencing_makes_the_peer_certainly_down() {
    let status = with_history(FENCED, &[SUCCESS, FAILED].concat());
    assert_eq!(status.fence_history[0].delegate.as_deref(), Some("alpha"));
    assert_eq!(status.fence_history[1].status, FenceStatus::Failed);
    assert_eq!(
        status.fence_history[1].reason.as_deref(),
        Some("No such device")
    );
    let verdict = status.peer_verdict("beta");
    assert!(verdict.fenced && verdict.certainly_down() && !verdict.fencing);
}

#[test]
fn fencing_counts_only_when_it_is_the_last_word_about_the_peer() {
    for (xml, events) in [
        (FENCED, String::new()),
        (FENCED, FAILED.to_owned()),
        (FENCED, [FAILED, SUCCESS].concat()),
        (FENCED, [PENDING, SUCCESS].concat()),
        (FENCED, SUCCESS.replace("beta", "alpha")),
        (FENCED, SUCCESS.replace("reboot", "on")),
        // Fenced once, back since, and lost again.
        (LOST, SUCCESS.to_owned()),
    ] {
        assert!(
            !with_history(xml, &events).peer_verdict("beta").fenced,
            "{events}"
        );
    }
    assert!(with_history(LOST, PENDING).peer_verdict("beta").fencing);
}

#[test]
fn fencing_that_is_switched_off_confirms_nothing() {
    let xml = FENCED.replace("stonith-enabled=\"true\"", "stonith-enabled=\"false\"");
    assert!(!with_history(&xml, SUCCESS).peer_verdict("beta").fenced);
    let renamed = FENCED.replace("stonith-enabled", "fencing-enabled");
    assert!(with_history(&renamed, SUCCESS).peer_verdict("beta").fenced);
}

#[test]
fn a_cluster_that_does_not_run_is_told_from_a_broken_answer() {
    let not_connected = include_str!("fixtures/not-running.2.1.5.txt");
    assert!(matches!(
        parse_crm_mon(not_connected),
        Err(Error::NotRunning(_))
    ));
    let not_connected = include_str!("fixtures/not-running.3.0.0.txt");
    assert!(matches!(
        parse_crm_mon(not_connected),
        Err(Error::NotRunning(_))
    ));
    let nothing = include_str!("fixtures/no-cib.2.1.5.txt");
    assert!(matches!(parse_crm_mon(nothing), Err(Error::NotRunning(_))));
    for (xml, complaint) in [
        ("", "not XML"),
        ("crm_mon: error", "not XML"),
        ("<html/>", "begins with <html>"),
        (
            &FENCED.replace(" unclean=\"false\"", ""),
            "no attribute `unclean`",
        ),
        (
            &FENCED.replace(" unclean=\"false\"", " unclean=\"maybe\""),
            "no boolean",
        ),
        (
            &FENCED.replace("<status code=\"0\"", "<status code=\"1\""),
            "failed with code 1",
        ),
    ] {
        let error = parse_crm_mon(xml).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn entities_do_not_explode() {
    let bomb = r#"<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
        <pacemaker-result>&b;</pacemaker-result>"#;
    assert!(matches!(parse_crm_mon(bomb), Err(Error::Xml(_))));
}

#[test]
fn the_door_asks_crm_mon_for_xml_and_passes_on_how_it_went() {
    let runner = Scripted::new().answer("crm_mon", 0, FENCED);
    let status = query::status(&runner).unwrap();
    assert_eq!(status.peer_state("beta"), PeerNode::CleanOffline);
    assert_eq!(
        runner.calls(),
        ["crm_mon --output-as=xml -1 --fence-history=3"]
    );

    let runner = Scripted::new().answer_with("crm_mon", |_| {
        Ok(Output {
            exit: Exit::Code(102),
            stdout: Vec::new(),
            stderr: b"no cluster\n".to_vec(),
        })
    });
    let error = query::status(&runner).unwrap_err();
    assert!(
        matches!(&error, query::Error::NotRunning(why) if why == "no cluster"),
        "{error:?}"
    );

    let error = query::status(&Scripted::new().hang("crm_mon")).unwrap_err();
    assert!(matches!(error, query::Error::Call(_)), "{error:?}");
    let error = query::status(&Scripted::new().answer("crm_mon", 0, "garbage")).unwrap_err();
    assert!(matches!(error, query::Error::Answer { .. }), "{error:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,400}") {
        let _ = parse_crm_mon(&text);
    }

    #[test]
    fn no_damage_makes_the_parser_panic(
        at in 0..FENCED.len(),
        len in 0usize..40,
        by in proptest::collection::vec(proptest::num::u8::ANY, 0..10),
    ) {
        let mut bytes = FENCED.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, by);
        let _ = parse_crm_mon(&String::from_utf8_lossy(&bytes));
    }
}
