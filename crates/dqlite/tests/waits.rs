//! Real dqlite takes a member back as its spare that has no log, and hands its role to it with every row.
//!
//! `tests/against-dqlite` runs these.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod real;

use std::collections::BTreeSet;
use std::fs;

use real::{Fixture, generation, joins, start};
use two_node_ha_dqlite::recovery::{Plan, apply, sole_voter};
use two_node_ha_dqlite::{
    NodeInfo, Role, identity_trap, inspect, wait_for_leader, write_cluster, write_info,
};

/// Which of the two is taken over by, and whether its peer is the founder of the cluster.
const TAKEN_OVER: [(&str, &str, usize, bool); 4] = [
    ("pair", "voter", 0, false),
    ("pair", "voter", 1, true),
    ("handover", "new", 0, false),
    ("handover", "new", 1, true),
];

#[test]
#[ignore = "needs real dqlite: tests/against-dqlite"]
fn a_spare_without_a_log_is_taken_in_stays_without_one_and_gets_every_row_when_it_becomes_the_voter()
 {
    for (archive, name, taker, founder) in TAKEN_OVER {
        let what = format!("{archive}/{name} by {taker}");
        let fixture = Fixture::unpack(&generation(), archive);
        let dir = tempfile::tempdir().unwrap();
        let voter = dir.path().join("voter");
        let spare = dir.path().join("spare");
        fs::rename(&fixture.dir(name).0, &voter).unwrap();
        let plan = Plan::of(&voter).unwrap();
        let me = NodeInfo::from(&plan.configuration[taker]);
        let members = sole_voter(&plan.configuration, &me).unwrap();
        apply(&plan, &members).unwrap();
        let infos: Vec<_> = members.iter().map(NodeInfo::from).collect();
        write_info(&voter, &infos[taker]).unwrap();
        write_cluster(&voter, &infos).unwrap();

        let peer = &infos[1 - taker];
        assert_eq!(
            (peer.role, peer.is_bootstrap()),
            (Role::Spare, founder),
            "{what}"
        );
        fs::create_dir(&spare).unwrap();
        write_info(&spare, peer).unwrap();
        write_cluster(&spare, &infos).unwrap();
        wait_for_leader(&spare).unwrap();
        assert_eq!(identity_trap(&inspect(&spare).unwrap()), None, "{what}");

        let state = real::State(voter);
        let before = start(&state).unwrap().rows;
        let said = joins(dir.path());
        let is = |role: Role| match role {
            Role::Voter => "voter",
            Role::StandBy => "stand-by",
            Role::Spare => "spare",
        };
        for member in &infos {
            let line = format!("member {} {}", member.id, is(member.role));
            assert!(said.contains(&line), "{what}: {line} is not in {said:#?}");
        }
        let log: Vec<_> = said
            .iter()
            .filter(|line| line.starts_with("log "))
            .collect();
        assert_eq!(log, [""; 0], "{what}");
        let rows: BTreeSet<_> = said
            .iter()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
            .cloned()
            .collect();
        assert_eq!(rows.len(), before.len() + 48, "{what}");
        assert!(before.is_subset(&rows), "{what}");
    }
}
