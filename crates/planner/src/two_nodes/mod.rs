//! Two nodes explored together: the real [`Machine`](crate::machine::Machine) of both, with small models
//! of what lies between them: DRBD, Pacemaker, fence-peer, raft's logs, the hands, and the messages.
//!
//! Each world is a plain value; whatever may happen next gives other worlds; and no world that can be
//! reached may be one in which a write that was acknowledged is lost.

mod agents;
mod cluster;
mod deed;
mod explore;
mod faults;
mod found;
mod handler;
mod hands;
mod model;
mod sight;
mod step;
mod story;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use agents::{Agents, Driver, Input, Mutant};
use explore::{Explored, Search, fair};
use model::*;
use step::Did;

use crate::machine::PeerPorts;

/// All faults.
const FAULTS: &[Did] = &[
    Did::PowerCut(0),
    Did::PowerCut(1),
    Did::AgentKilled(0),
    Did::AgentKilled(1),
    Did::AgentGone(0),
    Did::AgentGone(1),
    Did::Paused(0),
    Did::Paused(1),
    Did::LinkLost,
    Did::Partition,
    Did::Sigterm(0),
    Did::Sigterm(1),
    Did::Full(0),
    Did::Full(1),
    Did::Move(0),
    Did::Move(1),
    Did::LosesSomething(0),
    Did::LosesSomething(1),
    Did::AnswerIsLost(0),
    Did::AnswerIsLost(1),
    Did::AskedAgain(0),
    Did::AskedAgain(1),
];

/// haone is the voter of epoch 2, hatwo its spare, and both are settled.
fn settled(agents: &Agents, fencing: bool) -> World {
    let mut log = Log::default();
    log.push(Entry::Recovered, 0, 2);
    log.push(Entry::Write, 0, 2);
    let volume = Volume {
        log,
        epoch: 2,
        owner: 0,
        carries: [1; 2],
        done: [true; 2],
        confirmed: 1,
        astray: None,
        taken: None,
        fetched: None,
    };
    let node = Node {
        on: true,
        agent: Agent::Dead,
        machine: 0,
        hand: Hand::Idle,
        unheard: 0,
        called: Called::No,
        woken: false,
        report: 0,
        ask_peer: Question::None,
        ask_pacemaker: false,
        ask_promotion: None,
        stage: Stage::Secondary,
        connected: false,
        hold: 0,
        failed: false,
        wanted: false,
        knows: Knows::Online,
        quorate: true,
        constraint: None,
        handler: handler::Handler::Quiet,
        suspended: false,
        partial: false,
        certain: true,
        volume,
        ahead: false,
        token: false,
        services: false,
        leads: [false; 2],
        spare_log: Log::default(),
        spare_made: false,
        spare_epoch: [1; 2],
        highest: 2,
        volume_seen: (2, 0),
        full: false,
        ports: PeerPorts::Open,
        answered: false,
    };
    let voter = Node {
        wanted: true,
        ..node
    };
    let spare = Node {
        spare_made: true,
        spare_epoch: [2; 2],
        volume_seen: (0, 0),
        ..node
    };
    let mut world = World {
        nodes: [voter, spare],
        cable: true,
        network: true,
        linked: true,
        syncing: None,
        split: false,
        acknowledged: log,
        writes: 0,
        faults: 0,
        delays: 0,
        marks: 2,
        tickets: 0,
        newer: None,
        fencing,
    };
    let mut driver = Driver::new(agents);
    for n in [0, 1] {
        world.nodes[n].agent = Agent::Runs;
        driver.tell(&mut world, n, Input::Start(n));
    }
    let (mut last, mut way, start) = (HashMap::new(), Vec::new(), world);
    for turn in 1..200 {
        let Some(next) = fair(&mut driver, &world, &mut last, turn) else {
            return world;
        };
        way.push(next);
        assert_eq!(next.broken, None);
        world = next.world;
    }
    for next in way.iter().take(60) {
        println!("{:?}", next.did);
    }
    for n in [0, 1] {
        println!("{:?}", agents.machines.get(world.nodes[n].machine));
    }
    panic!("it does not settle:\n{}", story::tell(agents, &start, &way));
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn print(what: &str, explored: &Explored) {
    let Explored {
        worlds,
        depth,
        all,
        machines,
        runs,
        took,
        ..
    } = explored;
    let rate = *worlds as f64 / took.as_secs_f64();
    println!(
        "{what}: {worlds} distinct worlds, {depth} steps deep{}, {machines} machines, {runs} fair runs, \
         {:.1} s, {rate:.0} worlds/s, {} MiB",
        if *all { " (all there are)" } else { "" },
        took.as_secs_f64(),
        memory()
    );
}

/// The most that this process has had, in MiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) / 1024
}

/// Two faults, or as many as are asked for, in every order or followed to their end.
fn holds_with_fencing(what: &str, orderly: bool) -> Agents {
    let agents = Agents::new(crate::world::config(), Mutant::None);
    let mut start = settled(&agents, true);
    start.faults = u8::try_from(number("TWO_NODE_HA_MODEL_FAULTS").unwrap_or(2)).unwrap();
    if orderly {
        start.delays = u8::try_from(number("TWO_NODE_HA_MODEL_DELAYS").unwrap_or(0)).unwrap();
    }
    start.writes = 2;
    let explored = Search {
        agents: &agents,
        start,
        faults: FAULTS,
        most: number("TWO_NODE_HA_MODEL_WORLDS").unwrap_or(1_500_000),
        depth: number("TWO_NODE_HA_MODEL_DEPTH").unwrap_or(usize::MAX),
        sample: 16,
        within: Duration::from_secs(3600),
        orderly,
    }
    .run();
    print(what, &explored);
    if let Some((broken, way)) = &explored.found {
        panic!("{broken:?}\n{}", story::tell(&agents, &start, way));
    }
    agents
}

/// The states that a node comes to from each, one line each, as ARCHITECTURE.md has them.
fn drawn(agents: &Agents) -> String {
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in agents.ways.lock().unwrap().iter() {
        lines.entry(from).or_default().push(to);
    }
    let line = |(from, to): (&str, Vec<&str>)| format!("{from:<17} -> {}\n", to.join(", "));
    lines.into_iter().map(line).collect()
}

#[test]
fn with_fencing_no_order_of_faults_loses_a_write_or_makes_two_voters() {
    drop(holds_with_fencing("with fencing", false));
}

#[test]
fn with_fencing_every_takeover_goes_well_to_its_end_wherever_it_is_disturbed() {
    let agents = holds_with_fencing("with fencing, to the end", true);
    // More faults lead to more.
    if std::env::vars().any(|(name, _)| name.starts_with("TWO_NODE_HA_MODEL_")) {
        return;
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md");
    let text = std::fs::read_to_string(page).unwrap();
    let (before, rest) = text.split_once("<!-- ways -->\n```\n").unwrap();
    let (ways, after) = rest.split_once("```\n").unwrap();
    let drawn = drawn(&agents);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = format!("{before}<!-- ways -->\n```\n{drawn}```\n{after}");
        std::fs::write(page, text).unwrap();
    } else {
        assert_eq!(
            ways, drawn,
            "ARCHITECTURE.md; UPDATE_GOLDEN=1 writes it anew"
        );
    }
}
