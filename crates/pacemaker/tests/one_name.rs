//! Several entries of one name: a cluster that has lived through a change of node ids keeps the old
//! ones, and only the id tells them apart.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use two_node_ha_pacemaker::{Node, PeerNode, Status, parse_cib, parse_crm_mon};

/// An old entry of beta, cleanly down, before the present one, which is lost.
const CIB: &str = include_str!("fixtures/two-entries-of-one-name.cib.xml");
const CRM_MON: &str = include_str!("fixtures/two-entries-of-one-name.crm_mon.xml");

const HEALTHY: &str = include_str!("fixtures/cib.2.1.5.xml");

const DOWN: &str = "in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"down\"";
const LOST: &str = "in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"member\"";
const ONLINE: &str = "in_ccm=\"1\" crmd=\"1\" join=\"member\" expected=\"member\"";

#[test]
fn an_old_entry_that_is_cleanly_down_does_not_speak_for_a_node_that_is_lost() {
    let cib = parse_cib(CIB).unwrap();
    assert_eq!(cib.peer_state("beta"), PeerNode::UncleanOffline);
    let status = parse_crm_mon(CRM_MON).unwrap();
    assert_eq!(status.peer_state("beta"), PeerNode::UncleanOffline);
    assert!(!status.peer_verdict("beta").certainly_down());
    assert_eq!(status.node("beta").unwrap().id, "2");
    assert_eq!(status.peer_state("alpha"), PeerNode::Online);
}

#[test]
fn the_order_of_the_entries_says_nothing() {
    let old = "<node name=\"beta\" id=\"1084759811\"";
    let (start, rest) = CRM_MON.split_once(old).unwrap();
    let (line, end) = rest.split_once('\n').unwrap();
    let (present, end) = end.split_once('\n').unwrap();
    let turned = format!("{start}{}\n{old}{line}\n{end}", present.trim_start());
    let status = parse_crm_mon(&turned).unwrap();
    assert_eq!(status.nodes[1].id, "2");
    assert_eq!(status.peer_state("beta"), PeerNode::UncleanOffline);
}

/// A CIB whose nodes and states are these: id, name, and for a state the rest.
fn cib(nodes: &[(&str, &str)], states: &[(&str, &str, &str)]) -> String {
    let mut text = String::new();
    for line in HEALTHY.lines() {
        if line.contains("<node id=\"2\"") {
            for (id, name) in nodes {
                text += &format!("<node id=\"{id}\" uname=\"{name}\"/>\n");
            }
        } else if line.contains("<node_state") && line.contains("\"beta\"") {
            for (id, name, rest) in states {
                text += &format!("<node_state id=\"{id}\" uname=\"{name}\" {rest}/>\n");
            }
        } else {
            text += line;
            text.push('\n');
        }
    }
    text
}

fn beta(nodes: &[(&str, &str)], states: &[(&str, &str, &str)]) -> PeerNode {
    parse_cib(&cib(nodes, states)).unwrap().peer_state("beta")
}

#[test]
fn a_state_is_that_of_the_node_of_its_id_whatever_it_is_called() {
    let one = [("2", "beta")];
    assert_eq!(
        beta(&one, &[("2", "renamed", DOWN)]),
        PeerNode::CleanOffline
    );
    // That of another id says nothing good of it, and would be heard if it said something bad.
    assert_eq!(beta(&one, &[("9", "beta", DOWN)]), PeerNode::UncleanOffline);
    // Both count where both are there.
    for states in [
        [("9", "beta", DOWN), ("2", "beta", LOST)],
        [("2", "beta", DOWN), ("9", "beta", LOST)],
        [("2", "beta", DOWN), ("2", "beta", LOST)],
        [("2", "renamed", LOST), ("9", "beta", DOWN)],
    ] {
        assert_eq!(beta(&one, &states), PeerNode::UncleanOffline, "{states:?}");
    }
    let two = [("9", "beta"), ("2", "beta")];
    let old = ("9", "beta", DOWN);
    assert_eq!(
        beta(&two, &[old, ("2", "beta", DOWN)]),
        PeerNode::CleanOffline
    );
    assert_eq!(beta(&two, &[old, ("2", "beta", ONLINE)]), PeerNode::Online);
    // The present node was never seen.
    assert_eq!(beta(&two, &[old]), PeerNode::UncleanOffline);
    // Of another name, it says nothing of beta.
    let other = [("2", "beta"), ("9", "gamma")];
    assert_eq!(
        beta(&other, &[("2", "beta", DOWN), ("9", "beta", LOST)]),
        PeerNode::UncleanOffline
    );
    assert_eq!(
        beta(&other, &[("2", "beta", DOWN), ("9", "gamma", LOST)]),
        PeerNode::CleanOffline
    );
}

/// The less is known to be down, the worse.
fn badness(state: PeerNode) -> u8 {
    match state {
        PeerNode::CleanOffline => 0,
        PeerNode::Online => 1,
        PeerNode::Pending => 2,
        PeerNode::UncleanOffline => 3,
        PeerNode::Unknown => 4,
    }
}

fn attributes() -> impl Strategy<Value = String> {
    (
        prop::sample::select(vec!["0", "1", "true", "false", "nonsense"]),
        prop::sample::select(vec!["0", "1", "online", "offline", ""]),
        prop::sample::select(vec!["member", "down", "pending", "banned", ""]),
        prop::sample::select(vec!["member", "down", ""]),
    )
        .prop_map(|(member, crmd, join, expected)| {
            format!("in_ccm=\"{member}\" crmd=\"{crmd}\" join=\"{join}\" expected=\"{expected}\"")
        })
}

fn node() -> impl Strategy<Value = Node> {
    let name = prop::sample::select(vec!["beta", "beta", "beta", "alpha"]);
    (name, any::<[bool; 4]>()).prop_map(|(name, [online, unclean, pending, expected_up])| Node {
        name: name.into(),
        online,
        unclean,
        pending,
        expected_up,
        ..Node::default()
    })
}

proptest! {
    #[test]
    fn no_further_entry_of_a_name_makes_the_verdict_of_the_cib_milder(
        first in attributes(),
        further in prop::collection::vec(
            (prop::sample::select(vec!["2", "3", "4"]), any::<bool>(), any::<bool>(), attributes()),
            1..4,
        ),
        seen in any::<bool>(),
    ) {
        let nodes = vec![("2", "beta")];
        let states: Vec<_> = seen.then_some(("2", "beta", first.as_str())).into_iter().collect();
        let before = beta(&nodes, &states);
        let (mut nodes, mut states) = (nodes, states);
        for (id, listed, before, state) in &further {
            if *listed && *id != "2" {
                nodes.insert(if *before { 0 } else { nodes.len() }, (id, "beta"));
            }
            // A first state for the only entry is none that is added to it.
            if seen || *id != "2" {
                states.insert(if *before { 0 } else { states.len() }, (id, "beta", state));
            }
        }
        prop_assert!(badness(beta(&nodes, &states)) >= badness(before), "{nodes:?} {states:?}");
    }

    #[test]
    fn no_further_entry_of_a_name_makes_the_verdict_of_crm_mon_milder(
        nodes in prop::collection::vec(node(), 1..4),
        further in node(),
        at in 0..4usize,
    ) {
        let mut status = Status {
            dc: Some("alpha".into()),
            nodes,
            ..Status::default()
        };
        prop_assume!(status.node("beta").is_some() && further.name == "beta");
        let before = status.peer_verdict("beta");
        status.nodes.insert(at.min(status.nodes.len()), further);
        let after = status.peer_verdict("beta");
        prop_assert!(badness(after.state) >= badness(before.state));
        prop_assert!(before.certainly_down() || !after.certainly_down());
    }
}
