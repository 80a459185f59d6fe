//! Faults of earlier versions, put back one at a time: each is found, with its story. And what cannot
//! be helped without fencing.

use std::time::Duration;

use two_node_ha_config::{Host, parse};

use super::agents::{Agents, Mutant};
use super::explore::{Explored, Search};
use super::model::*;
use super::step::{Broken, Did};
use super::{print, settled, story};
use crate::world::TOML;

/// What is found in a world with this fault, and how it comes about.
fn found(mutant: Mutant, faults: &[Did], sample: u64) -> (Broken, String) {
    let agents = Agents::new(crate::world::config(), mutant);
    let mut start = settled(&agents, true);
    start.faults = 2;
    start.writes = 1;
    search(&format!("{mutant:?}"), &agents, start, faults, sample)
}

fn explore(agents: &Agents, start: World, faults: &[Did], sample: u64) -> Explored {
    Search {
        agents,
        start,
        faults,
        most: 1_500_000,
        depth: usize::MAX,
        sample,
        within: Duration::from_secs(600),
        orderly: true,
    }
    .run()
}

fn search(
    what: &str,
    agents: &Agents,
    start: World,
    faults: &[Did],
    sample: u64,
) -> (Broken, String) {
    let explored = explore(agents, start, faults, sample);
    print(what, &explored);
    let (broken, way) = explored
        .found
        .unwrap_or_else(|| panic!("{what}: nothing is found"));
    let story = story::tell(agents, &start, &way);
    println!("{what}: {broken:?}\n{story}");
    (broken, story)
}

#[test]
fn if_the_epochs_number_alone_decided_a_handover_would_lose_a_write() {
    let faults = [Did::Sigterm(0), Did::PowerCut(0)];
    // That nobody notices the handover is found sooner, where a voter is looked for.
    let (broken, story) = found(Mutant::EpochAlone, &faults, 0);
    assert!(matches!(broken, Broken::StartedBehind(_)), "{broken:?}");
    assert!(story.contains("IS ASKED TO STOP"), "{story}");
}

#[test]
fn if_the_way_down_waited_for_the_journal_a_full_disk_would_keep_the_database_running() {
    let faults = [Did::Full(0), Did::AgentKilled(0)];
    let (broken, story) = found(Mutant::JournalFirst, &faults, 0);
    assert_eq!(broken, Broken::UnmountedBeneath(0));
    assert!(story.contains("THE DISK IS FULL"), "{story}");
}

#[test]
fn if_a_silent_member_were_waited_for_without_end_there_would_be_no_voter_again() {
    let faults = [Did::AgentGone(0), Did::AgentGone(1), Did::PowerCut(0)];
    let (broken, story) = found(Mutant::NoEscalation, &faults, 1);
    assert_eq!(broken, Broken::NoVoter);
    assert!(story.contains("THE AGENT IS GONE"), "{story}");
}

/// haone is just about to take a constraint away that has stayed from the last time that the link was
/// lost.
fn swept(mutant: Mutant) -> (Agents, World) {
    let agents = Agents::new(crate::world::config(), mutant);
    let mut start = settled(&agents, true);
    for node in &mut start.nodes {
        node.constraint = Some(Constraint { allows: 0, mark: 1 });
    }
    start.nodes[0].unheard = LINK;
    start.faults = 2;
    start.delays = 2;
    start.writes = 1;
    (agents, start)
}

const FLAP: [Did; 2] = [Did::LinkLost, Did::PowerCut(0)];

#[test]
fn if_a_constraint_were_deleted_by_its_name_one_that_is_relied_on_would_go() {
    let (agents, start) = swept(Mutant::DeletesByName);
    let (broken, story) = search("DeletesByName", &agents, start, &FLAP, 0);
    assert!(
        matches!(broken, Broken::StartedBehind(1) | Broken::SplitBrain),
        "{broken:?}"
    );
    assert!(
        story.contains("take the fencing constraint away"),
        "{story}"
    );
}

#[test]
fn a_constraint_that_is_deleted_by_its_mark_stays_where_it_is_relied_on() {
    let (agents, start) = swept(Mutant::None);
    let explored = explore(&agents, start, &FLAP, 16);
    print("by its mark", &explored);
    assert!(
        explored.all && explored.found.is_none(),
        "{:?}",
        explored.found
    );
}

/// The configuration without a fence device, in which the operator has taken the risk.
fn unfenced() -> String {
    let (common, _) = TOML.split_once("[[fencing.device]]").unwrap();
    format!("{common}[fencing]\nmode = \"constraint\"\npromote_without_fencing = true\n")
}

#[test]
fn without_fencing_a_partition_makes_two_voters_and_that_is_told() {
    let config = parse(&unfenced(), "test.toml", Host::Node("haone")).unwrap();
    let agents = Agents::new(config, Mutant::None);
    let mut start = settled(&agents, false);
    start.faults = 1;
    start.writes = 1;
    let (broken, story) = search("without fencing", &agents, start, &[Did::Partition], 0);
    assert_eq!(broken, Broken::TwoVoters);
    assert!(story.contains("THE NETWORK IS CUT"), "{story}");
}
