//! The resolution as a graph: from every way in which two nodes can stand after a split brain, every
//! step is taken wholly, not at all, or only as far as its note; Pacemaker does what it may at any
//! time; the command is ended and started again between any two steps (it remembers nothing, so
//! that this is no step of its own). All that can be reached is looked at.

use std::collections::{HashMap, HashSet, VecDeque};

use super::cases::{generation, side, voter};
use crate::observation::{Known, Mount, Role};
use crate::split_brain::generation::Relation;
use crate::split_brain::plan::{Next, On, Order, Step, asked, next};
use crate::split_brain::side::{Cluster, Disk, Link, Side};
use crate::split_brain::{generation, predict};

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    winner: Side,
    loser: Side,
    /// How often something that is not a step happened: without an end there would be none.
    mishaps: u8,
    /// Data of the loser of which a copy was made.
    copies: Vec<(u64, Option<String>)>,
}

const MOST_MISHAPS: u8 = 2;

fn starts() -> Vec<World> {
    let mut all = Vec::new();
    let clusters = [Cluster::Absent, Cluster::Here { banned: None }];
    for cluster in &clusters {
        for roles in 0..4 {
            for links in 0..4 {
                // The winner took over, or the loser did.
                for (mine, theirs) in [(5, 6), (6, 5)] {
                    let (mut winner, mut loser) = (side("haone", mine), side("hatwo", theirs));
                    if roles & 1 > 0 {
                        winner = voter(winner);
                    }
                    if roles & 2 > 0 {
                        loser = voter(loser);
                        if *cluster == Cluster::Absent {
                            // By hand; what is mounted without Pacemaker is refused, and tested so.
                            loser.mount = Mount::None;
                            loser.held = false;
                        }
                    }
                    if links & 1 > 0 {
                        winner.link = Link::Connecting;
                    }
                    if links & 2 > 0 {
                        loser.link = Link::Connecting;
                    }
                    if links == 3 {
                        // They would see each other.
                        continue;
                    }
                    for side in [&mut winner, &mut loser] {
                        side.cluster = cluster.clone();
                        // What each has heard of the other.
                        side.highest_epoch = 6;
                    }
                    all.push(World {
                        winner,
                        loser,
                        mishaps: 0,
                        copies: Vec::new(),
                    });
                }
            }
        }
    }
    all
}

/// What is on the disk of a side.
fn data(side: &Side) -> (u64, Option<String>) {
    let current = side.generation.as_ref().unwrap().current;
    (current, side.writes.clone())
}

/// As DRBD does it: the first write alone makes a new generation, and no further one does.
fn write(side: &mut Side) {
    let count: u32 = side.writes.as_ref().unwrap().parse().unwrap();
    side.writes = Some((count + 1).to_string());
    let generation = side.generation.as_mut().unwrap();
    if generation.bitmap == 0 {
        generation.history.insert(0, generation.bitmap);
        generation.bitmap = generation.current;
        generation.current = u64::from(count + 1) << 20;
    }
}

fn banned(side: &Side) -> bool {
    matches!(side.cluster, Cluster::Here { banned: Some(_) })
}

/// What must hold right before a step is taken.
fn check(world: &World, on: On, step: &Step, order: &Order) {
    let World { winner, loser, .. } = world;
    match step {
        Step::Discard => {
            assert_eq!(on, On::Loser, "only the loser's data is given up");
            assert!(!loser.busy(), "{loser:?}");
            assert_eq!(loser.link, Link::StandAlone);
            assert!(
                order.without_copy
                    || world.copies.contains(&data(loser))
                    || loser.disk == Disk::Inconsistent,
                "nothing is given up without a copy of what is there: {loser:?}"
            );
            assert!(winner.highest_epoch <= winner.volume.as_ref().unwrap().epoch);
        }
        Step::Copy => assert!(!loser.busy() && loser.link == Link::StandAlone, "{loser:?}"),
        Step::Demote => assert_eq!((&loser.mount, loser.held), (&Mount::None, false)),
        Step::Unban => assert!(
            loser.disk == Disk::UpToDate && loser.link == Link::Connected,
            "the loser could be promoted on what is being overwritten: {loser:?}"
        ),
        Step::Begin
        | Step::Ban
        | Step::Disconnect
        | Step::Forget(_)
        | Step::Connect
        | Step::Finish => {}
    }
    if !banned(loser) && matches!(loser.cluster, Cluster::Here { .. }) {
        assert!(
            matches!(step, Step::Begin | Step::Ban | Step::Finish),
            "{step:?} without the constraint"
        );
    }
}

/// Everything that can come of this world.
fn successors(world: &World, order: &Order) -> Vec<World> {
    let mut all = Vec::new();
    let mishap = |all: &mut Vec<World>, change: &dyn Fn(&mut World) -> bool| {
        let mut other = world.clone();
        other.mishaps += 1;
        if other.mishaps <= MOST_MISHAPS && change(&mut other) {
            all.push(other);
        }
    };
    match next(&world.winner, &world.loser, order) {
        Next::Take(on, step) => {
            check(world, on, &step, order);
            let fresh = || "mark".to_owned();
            let asked = asked(&world.winner, &world.loser, (on, &step), order, fresh);
            let mut taken = world.clone();
            predict::take(&mut taken.winner, &mut taken.loser, on, &step, &asked);
            if step == Step::Copy {
                taken.copies.push(data(&world.loser));
            }
            all.push(taken.clone());
            // The power is cut between the note and what it is about.
            if step == Step::Discard {
                mishap(&mut all, &|other| {
                    other.loser.resolution = taken.loser.resolution.clone();
                    true
                });
            }
        }
        Next::Wait(_) => {
            let mut later = world.clone();
            if predict::wait(&mut later.winner, &mut later.loser) {
                all.push(later);
            }
        }
        Next::Done => {}
        // The split brain is over, and the connection was cut once more.
        Next::Refuse { reason, .. } if reason.contains("no split brain") => {}
        Next::Refuse { reason, .. } => panic!("{reason}: {:?} {:?}", world.winner, world.loser),
    }
    // The connection breaks, or DRBD finds the split brain again and cuts it.
    mishap(&mut all, &|other| {
        let cut = other.loser.link != Link::StandAlone;
        other.loser.link = Link::StandAlone;
        other.winner.link = Link::StandAlone;
        cut
    });
    // `drbdadm adjust` of Pacemaker's agent connects again; that meets another split brain.
    mishap(&mut all, &|other| {
        let cut = other.loser.link == Link::StandAlone;
        other.loser.link = Link::Connecting;
        cut && other.winner.link == Link::StandAlone
    });
    // Pacemaker promotes the loser where nothing forbids it, and it writes.
    mishap(&mut all, &|other| {
        let may = matches!(other.loser.cluster, Cluster::Here { banned: None })
            && other.loser.disk == Disk::UpToDate
            && other.loser.link == Link::StandAlone
            && other.loser.role == Role::Secondary;
        other.loser = voter(other.loser.clone());
        write(&mut other.loser);
        may
    });
    // Somebody promotes it by hand, mounts it, and leaves it again.
    mishap(&mut all, &|other| {
        write(&mut other.loser);
        world.loser.disk == Disk::UpToDate && world.loser.link == Link::StandAlone
    });
    // Pacemaker promotes the winner, where it may.
    mishap(&mut all, &|other| {
        let may = matches!(other.winner.cluster, Cluster::Here { .. })
            && other.winner.role == Role::Secondary
            && other.loser.role == Role::Secondary;
        other.winner = voter(other.winner.clone());
        may
    });
    all
}

fn explore(order: &Order) -> (usize, HashMap<World, Vec<World>>) {
    let mut graph: HashMap<World, Vec<World>> = HashMap::new();
    let starts = starts();
    let count = starts.len();
    let mut queue: VecDeque<World> = starts.into();
    while let Some(world) = queue.pop_front() {
        if graph.contains_key(&world) {
            continue;
        }
        let next = successors(&world, order);
        queue.extend(next.iter().cloned());
        graph.insert(world, next);
    }
    (count, graph)
}

fn over(world: &World, order: &Order) -> bool {
    match next(&world.winner, &world.loser, order) {
        Next::Done => true,
        Next::Refuse { reason, .. } => reason.contains("no split brain"),
        Next::Take(..) | Next::Wait(_) => false,
    }
}

#[test]
fn from_every_world_a_way_leads_to_the_end_and_nothing_is_given_up_that_should_not_be() {
    for without_copy in [false, true] {
        let order = Order { without_copy };
        let (starts, graph) = explore(&order);
        assert!(starts >= 48 && graph.len() > 1000, "{}", graph.len());
        // Backwards from the ends.
        let mut before: HashMap<&World, Vec<&World>> = HashMap::new();
        for (world, next) in &graph {
            for after in next {
                before.entry(after).or_default().push(world);
            }
        }
        let mut leads: HashSet<&World> = graph.keys().filter(|w| over(w, &order)).collect();
        assert!(!leads.is_empty());
        let mut queue: Vec<&World> = leads.iter().copied().collect();
        while let Some(world) = queue.pop() {
            for earlier in before.get(world).into_iter().flatten() {
                if leads.insert(earlier) {
                    queue.push(earlier);
                }
            }
        }
        if let Some(stuck) = graph.keys().find(|world| !leads.contains(world)) {
            panic!("no way out of {:?}\n{:?}", stuck.winner, stuck.loser);
        }
    }
}

#[test]
fn at_the_end_nothing_of_the_resolution_is_left_and_the_winners_data_is_on_both() {
    let order = Order {
        without_copy: false,
    };
    let (_, graph) = explore(&order);
    let done = |w: &&World| next(&w.winner, &w.loser, &order) == Next::Done;
    for world in graph.keys().filter(done) {
        let World { winner, loser, .. } = world;
        assert_eq!(winner.generation, loser.generation);
        for side in [winner, loser] {
            assert!(!banned(side), "{side:?}");
            assert_eq!(side.resolution, Known::Absent);
            assert!(side.evidence.is_empty());
            assert!(
                side.highest_epoch <= winner.volume.as_ref().unwrap().epoch,
                "{side:?}"
            );
        }
    }
}

#[test]
fn the_winners_copy_is_never_touched() {
    let order = Order {
        without_copy: false,
    };
    let (_, graph) = explore(&order);
    for world in graph.keys() {
        assert_eq!(world.winner.disk, Disk::UpToDate);
        let own = world.winner.generation.as_ref().unwrap();
        let first = [generation(5), generation(6)];
        assert!(first.iter().any(|first| first.current == own.current));
        let theirs = world.loser.generation.as_ref().unwrap();
        assert_ne!(generation::compare(own, theirs), Relation::Unrelated);
    }
}
