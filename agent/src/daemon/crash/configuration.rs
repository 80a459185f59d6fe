//! The two agents' configurations, over what they really say to each other.

use two_node_ha_planner::machine::Machine;

use super::{BOTH_ON_FIRST, after, power};

/// The warnings that a node shows.
fn warnings(bench: &super::Bench, index: usize) -> Vec<String> {
    let shared = bench.nodes[index].shared.borrow();
    shared.as_ref().unwrap().status().unwrap().warnings
}

#[test]
fn at_the_next_contact_both_nodes_warn_of_a_difference_and_no_longer_once_it_is_gone() {
    let bench = after(&[BOTH_ON_FIRST]);
    for index in [0, 1] {
        assert!(warnings(&bench, index).is_empty());
    }
    for (mount_point, differ) in [("/mnt/other", true), ("/mnt/drbd0", false)] {
        power::of_node(1, || {
            // The spare's agent is restarted with another file; the settled voter asks nobody.
            let mut facts = two_node_ha_config::facts(&bench.nodes[1].config);
            facts.insert("volume.mount_point".into(), mount_point.into());
            bench.with_daemon(1, |daemon| {
                daemon.machine = Machine::new("hatwo", "haone", facts);
            });
            bench.look_now(1);
        });
        for _ in 0..3 {
            bench.turn_all(true).unwrap();
        }
        for index in [0, 1] {
            let all = warnings(&bench, index).join("; ");
            let said = all.contains("configurations differ") && all.contains("/mnt/other");
            assert_eq!(said, differ, "node {index}: {all}");
        }
        assert!(bench.arrived(), "a difference stops nothing that runs");
    }
}
