//! The agent's sweep, unfence-peer and the handlers, stopped and gone on with anywhere: every order
//! of their single steps, and of the link's dropping and coming back. No lock holds anybody up, as if
//! each had waited for it in vain.
//!
//! What a handler does is what [`decide`] says. Whoever deletes goes by the program in [`Deleter`],
//! which is that of `two_node_ha_pacemaker::fence`. Each rule is there for a reason: without it the model finds
//! the claim that loses its constraint.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use two_node_ha_config::FencingMode::{self, Constraint, Stonith};
use two_node_ha_drbd::DiskState;
use two_node_ha_pacemaker::{FencingConstraint, PeerNode};

use two_node_ha_fence::Disks;
use two_node_ha_fence::answer::{Code, Fence};
use two_node_ha_fence::decide::{Cluster, Done, Fencing, Next, Removal, Situation, decide};
use two_node_ha_fence::{Known, Standing, Subject, View};

/// How often the link drops, and how often each of the two that delete begins.
const DROPS: u8 = 2;
const ROUNDS: u8 = 1;

/// A mark; each is given once.
type Mark = u8;

/// What is explored, and what is broken about it.
#[derive(Debug, Clone, Copy)]
struct Rules {
    mode: FencingMode,
    peer: PeerNode,
    /// Whoever deletes reads the constraint before it looks at the copies.
    reads_first: bool,
    /// A delete names the mark, and not the constraint alone.
    by_mark: bool,
    /// A handler renews what it relies on.
    renews: bool,
    /// One that gives up takes away what it has placed, and not what it has renewed.
    own_only: bool,
    /// How often a handler decides before it is killed, and when it is told to come to an end.
    turns: u8,
    last: u8,
}

const RIGHT: Rules = Rules {
    mode: Stonith,
    peer: PeerNode::Online,
    reads_first: true,
    by_mark: true,
    renews: true,
    own_only: true,
    turns: 6,
    last: 3,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    up: bool,
    drops: u8,
    /// DRBD has taken a claim since the link was last lost.
    claimed: bool,
    constraint: Option<Mark>,
    next: Mark,
    handlers: Vec<Handler>,
    deleters: [Deleter; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Deleter {
    Idle {
        rounds: u8,
    },
    /// After its first step, or after its second: what it has read, and that the copies are the same.
    Half {
        rounds: u8,
        read: Option<Mark>,
    },
    Ready {
        rounds: u8,
        read: Option<Mark>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Handler {
    /// For which loss of the link.
    called: u8,
    doing: Doing,
    seen: Seen,
}

/// What a handler knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Seen {
    turns: u8,
    began: bool,
    looked: Option<Option<Mark>>,
    found: bool,
    placed: bool,
    removed: bool,
    tried: Vec<Mark>,
    /// It has tried to place one whose mark nobody has any more.
    tried_others: bool,
    marks: Vec<Mark>,
    alive: Option<bool>,
    fenced: bool,
    trouble: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Doing {
    Look,
    Decide,
    Act(Deed),
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Deed {
    Wait,
    Place,
    Renew,
    Remove,
    TakeBack,
    AskPeer,
    AskFencer,
    Claim,
    ClaimNothing,
}

fn constraint(mark: Mark) -> FencingConstraint {
    FencingConstraint::new("r0", "ms", "alpha").marked_with(&mark.to_string())
}

fn name(mark: Mark) -> String {
    constraint(mark).mark.unwrap()
}

/// What [`decide`] says of what a handler knows, and of the link now.
fn decided(rules: Rules, seen: &Seen, up: bool) -> Deed {
    let disk = |up| match up {
        true => DiskState::UpToDate,
        false => DiskState::DUnknown,
    };
    let disks = Ok(Disks {
        local: vec![DiskState::UpToDate],
        peer: vec![disk(up)],
        primary: true,
        peer_primary: false,
    });
    let next = decide(&Situation {
        subject: &Subject {
            resource: "r0".into(),
            me: "alpha".into(),
            peer: "beta".into(),
            mode: rules.mode,
        },
        disks: &disks,
        cluster: &Cluster::Seen(View {
            peer: rules.peer,
            dc: true,
            quorum: true,
            fencing_enabled: true,
            maintenance: false,
            knows: Known::Both,
            ours: Some(FencingConstraint::new("r0", "ms", "alpha")),
            role: "Promoted",
            standing: match seen.looked.flatten() {
                Some(mark) => Standing::Mine(constraint(mark)),
                None => Standing::Absent,
            },
        }),
        done: &Done {
            found: seen.found,
            placed: seen.placed,
            tried: {
                let others = seen.tried_others.then_some(Mark::MAX);
                let tried = seen.tried.iter().copied().chain(others);
                tried.map(constraint).collect()
            },
            // Whatever became of it, it is not tried again: what it names, it names but once.
            removal: match seen.removed {
                true => Removal::Settled,
                false => Removal::NotTried,
            },
            marks: seen.marks.iter().copied().map(name).collect(),
            alive: seen
                .alive
                .map(|alive| alive.then_some(()).ok_or_else(String::new)),
            fenced: seen.fenced.then(|| Fencing::Confirmed("`off`".into())),
            trouble: seen.trouble.then(String::new),
        },
        elapsed: Duration::from_secs(6),
        last: seen.turns >= rules.last,
        over: false,
    });
    match next {
        Next::Wait(_) => Deed::Wait,
        Next::Place => Deed::Place,
        Next::Renew => Deed::Renew,
        Next::Remove => Deed::Remove,
        Next::TakeBack => Deed::TakeBack,
        Next::AskPeer => Deed::AskPeer,
        Next::AskFencer => Deed::AskFencer,
        Next::Answer(answer) => match answer.code {
            Code::Fence(Fence::Broken) => Deed::ClaimNothing,
            _ => Deed::Claim,
        },
    }
}

impl World {
    fn new(constraint: Option<Mark>) -> Self {
        Self {
            up: true,
            drops: 0,
            claimed: false,
            constraint,
            next: 1,
            handlers: Vec::new(),
            deleters: [Deleter::Idle { rounds: ROUNDS }; 2],
        }
    }

    /// A claim that DRBD goes by, without what it rests on: the peer may be promoted.
    fn broken(&self) -> bool {
        self.claimed && self.constraint.is_none()
    }

    /// Every world that is one step away.
    fn steps(&self, rules: Rules, decisions: &mut HashMap<(Seen, bool), Deed>) -> Vec<Self> {
        let mut worlds = Vec::new();
        if self.up && self.drops < DROPS {
            let mut world = self.clone();
            world.up = false;
            world.drops += 1;
            world.handlers.push(Handler {
                called: world.drops,
                doing: Doing::Look,
                seen: Seen::default(),
            });
            worlds.push(world);
        }
        if !self.up {
            let mut world = self.clone();
            world.up = true;
            world.claimed = false;
            worlds.push(world);
        }
        for index in 0..self.deleters.len() {
            worlds.extend(self.delete(rules, index));
        }
        for index in 0..self.handlers.len() {
            self.handle(rules, index, decisions, &mut worlds);
        }
        worlds
    }

    fn delete(&self, rules: Rules, index: usize) -> Option<Self> {
        let mut world = self.clone();
        world.deleters[index] = match self.deleters[index] {
            Deleter::Idle { rounds: 0 } => return None,
            Deleter::Idle { rounds } => match (rules.reads_first, self.up) {
                (true, _) => Deleter::Half {
                    rounds: rounds - 1,
                    read: self.constraint,
                },
                // Nothing to do; and nothing to be gained by looking again and again.
                (false, false) => return None,
                (false, true) => Deleter::Half {
                    rounds: rounds - 1,
                    read: None,
                },
            },
            // Read first, and there is none.
            Deleter::Half { rounds, read: None } if rules.reads_first => Deleter::Idle { rounds },
            Deleter::Half { rounds, read } => match (rules.reads_first, self.up) {
                (true, false) => Deleter::Idle { rounds },
                (true, true) => Deleter::Ready { rounds, read },
                (false, _) => Deleter::Ready {
                    rounds,
                    read: self.constraint,
                },
            },
            Deleter::Ready { rounds, read } => {
                if read.is_some() && (!rules.by_mark || read == self.constraint) {
                    world.constraint = None;
                }
                Deleter::Idle { rounds }
            }
        };
        Some(world)
    }

    fn handle(
        &self,
        rules: Rules,
        index: usize,
        decisions: &mut HashMap<(Seen, bool), Deed>,
        worlds: &mut Vec<Self>,
    ) {
        let mut world = self.clone();
        let handler = &mut world.handlers[index];
        let seen = &mut handler.seen;
        match handler.doing {
            Doing::Gone => return,
            Doing::Look => {
                seen.looked = Some(self.constraint);
                seen.found |= !seen.began && self.constraint.is_some();
                seen.began = true;
                seen.placed |= self
                    .constraint
                    .is_some_and(|mark| seen.tried.contains(&mark));
                handler.doing = Doing::Decide;
            }
            Doing::Decide => {
                let key = (seen.clone(), self.up);
                let deed = decisions.entry(key);
                let deed = *deed.or_insert_with_key(|(seen, up)| decided(rules, seen, *up));
                seen.turns += 1;
                handler.doing = match seen.turns > rules.turns {
                    true => Doing::Gone,
                    false => Doing::Act(deed),
                };
            }
            Doing::Act(deed) => {
                handler.doing = Doing::Decide;
                match deed {
                    Deed::Wait => {
                        seen.looked = None;
                        seen.alive = None;
                        seen.fenced = false;
                    }
                    Deed::Place => {
                        let mark = world.next;
                        world.next += 1;
                        seen.marks.push(mark);
                        seen.tried.push(mark);
                        seen.trouble = false;
                        if world.constraint.is_none() {
                            world.constraint = Some(mark);
                            seen.placed = true;
                            seen.looked = Some(Some(mark));
                        }
                        if !seen.placed || rules.peer != PeerNode::Online {
                            seen.looked = None;
                        }
                    }
                    Deed::Renew if rules.renews => {
                        let mark = world.next;
                        world.next += 1;
                        seen.marks.push(mark);
                        seen.alive = None;
                        seen.fenced = false;
                        seen.trouble = seen.looked != Some(world.constraint);
                        if seen.trouble {
                            seen.looked = None;
                        } else {
                            world.constraint = Some(mark);
                            seen.looked = Some(Some(mark));
                        }
                    }
                    // As it was before there were marks: what stands is relied on as it is.
                    Deed::Renew => seen.marks.extend(seen.looked.flatten()),
                    Deed::Remove | Deed::TakeBack => {
                        seen.removed = true;
                        let standing = seen.looked.flatten();
                        let deletes = |mark: Mark| match deed {
                            Deed::TakeBack if rules.own_only => seen.tried.contains(&mark),
                            _ => standing.or(seen.tried.last().copied()) == Some(mark),
                        };
                        if world.constraint.is_some_and(deletes) {
                            world.constraint = None;
                        }
                        seen.trouble = world.constraint.is_some();
                    }
                    Deed::AskPeer => {
                        let mut silent = self.clone();
                        silent.handlers[index].seen.alive = Some(false);
                        silent.handlers[index].doing = Doing::Decide;
                        worlds.push(silent);
                        seen.alive = Some(true);
                    }
                    Deed::AskFencer => seen.fenced = true,
                    Deed::Claim => {
                        // DRBD drops the answer if the link has been up since the call.
                        world.claimed |= !self.up && handler.called == self.drops;
                        handler.doing = Doing::Gone;
                    }
                    Deed::ClaimNothing => handler.doing = Doing::Gone,
                }
                let handler = &mut world.handlers[index];
                if handler.doing == Doing::Decide && handler.seen.looked.is_none() {
                    handler.doing = Doing::Look;
                }
                if handler.doing == Doing::Gone {
                    handler.seen = Seen::default();
                }
            }
        }
        worlds.push(world);
    }

    /// The same world with its marks counted from 0 as they are met, without those that can matter no
    /// more (none comes twice), and with the deleters in order: what differs in nothing else is
    /// explored once.
    fn canonical(mut self, rules: Rules) -> Self {
        for deleter in &mut self.deleters {
            match *deleter {
                Deleter::Half { rounds, read } | Deleter::Ready { rounds, read }
                    if rules.reads_first && rules.by_mark && read != self.constraint =>
                {
                    *deleter = Deleter::Idle { rounds };
                }
                Deleter::Idle { .. } | Deleter::Half { .. } | Deleter::Ready { .. } => {}
            }
        }
        self.deleters.sort();
        let looked = self.handlers.iter().filter_map(|h| h.seen.looked.flatten());
        let alive: Vec<Mark> = looked.chain(self.constraint).collect();
        for Handler { seen, .. } in &mut self.handlers {
            let tried = seen.tried.len();
            seen.tried.retain(|mark| alive.contains(mark));
            seen.tried_others |= seen.tried.len() < tried;
            seen.marks.retain(|mark| alive.contains(mark));
        }
        let mut known = Vec::new();
        let mut name = |mark: &mut Mark| {
            let known_as = known.iter().position(|known| known == mark);
            let index = known_as.unwrap_or_else(|| {
                known.push(*mark);
                known.len() - 1
            });
            *mark = Mark::try_from(index).unwrap();
        };
        self.constraint.as_mut().map(&mut name);
        for deleter in &mut self.deleters {
            match deleter {
                Deleter::Idle { .. } => {}
                Deleter::Half { read, .. } | Deleter::Ready { read, .. } => {
                    read.as_mut().map(&mut name);
                }
            }
        }
        for Handler { seen, .. } in &mut self.handlers {
            if let Some(Some(mark)) = &mut seen.looked {
                name(mark);
            }
            seen.tried.iter_mut().for_each(&mut name);
            seen.marks.iter_mut().for_each(&mut name);
        }
        self.next = Mark::try_from(known.len()).unwrap();
        self
    }
}

/// Explores everything; how many worlds there are, how often a claim was made in them, and how one
/// comes about that must not be.
fn explore(rules: Rules) -> (usize, usize, Vec<Rc<World>>) {
    let mut decisions = HashMap::new();
    let mut open: Vec<Rc<World>> = [Some(0), None].map(|c| Rc::new(World::new(c))).into();
    let mut before: HashMap<Rc<World>, Option<Rc<World>>> =
        open.iter().map(|world| (Rc::clone(world), None)).collect();
    let mut claims = 0;
    while let Some(world) = open.pop() {
        if world.broken() {
            let mut way = vec![world];
            while let Some(Some(earlier)) = way.last().and_then(|last| before.get(last)) {
                way.push(Rc::clone(earlier));
            }
            way.reverse();
            return (before.len(), claims, way);
        }
        for next in world.steps(rules, &mut decisions) {
            let next = Rc::new(next.canonical(rules));
            if !before.contains_key(&next) {
                claims += usize::from(next.claimed && !world.claimed);
                before.insert(Rc::clone(&next), Some(Rc::clone(&world)));
                open.push(next);
            }
        }
    }
    (before.len(), claims, Vec::new())
}

#[test]
fn no_claim_loses_its_constraint_wherever_sweep_unfence_and_handlers_are_stopped() {
    // One that gives up after it has asked twice takes six turns, and only where it is suspended.
    for (mode, peer, turns, last) in [
        (Stonith, PeerNode::Online, 6, 3),
        (Stonith, PeerNode::CleanOffline, 5, 2),
        (Constraint, PeerNode::Online, 5, 2),
        (Constraint, PeerNode::UncleanOffline, 5, 2),
    ] {
        let rules = Rules {
            mode,
            peer,
            turns,
            last,
            ..RIGHT
        };
        let (worlds, claims, broken) = explore(rules);
        println!("{mode:?}, {peer:?}: {worlds} worlds, {claims} claims");
        assert!(claims > 0, "nothing was claimed: {rules:?}");
        let way: Vec<_> = broken.iter().map(|world| format!("{world:?}\n")).collect();
        assert!(broken.is_empty(), "{rules:?}\n{}", way.concat());
    }
}

#[test]
fn without_any_one_of_the_four_rules_a_claim_loses_its_constraint() {
    for rules in [
        Rules {
            reads_first: false,
            ..RIGHT
        },
        Rules {
            by_mark: false,
            ..RIGHT
        },
        Rules {
            renews: false,
            ..RIGHT
        },
        Rules {
            own_only: false,
            ..RIGHT
        },
    ] {
        let (_, _, broken) = explore(rules);
        assert!(!broken.is_empty(), "{rules:?}");
    }
}
