//! Breadth first over every order of what may happen, until the faults that are allowed have been tried
//! in every place.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::agents::{Agents, Driver, fingerprint};
use super::model::*;
use super::step::{Broken, Did, Next};

/// What is explored.
#[derive(Debug)]
pub struct Search<'a> {
    pub agents: &'a Agents,
    pub start: World,
    pub faults: &'a [Did],
    /// No more distinct worlds than these.
    pub most: usize,
    pub depth: usize,
    /// From one world in so many a voter must be reached without a person; 0: from none.
    pub sample: u64,
    pub within: Duration,
    /// Only in their order, but for the faults and as many exceptions as the start allows: then each
    /// takeover is followed to its end.
    pub orderly: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Explored {
    pub worlds: usize,
    pub depth: usize,
    /// Whether nothing was left.
    pub all: bool,
    pub machines: usize,
    pub runs: usize,
    pub took: Duration,
    /// The first thing that must not be, and how it came about.
    pub found: Option<(Broken, Vec<Next>)>,
}

/// What has waited longest of what may happen without a fault; time only goes by when nothing else
/// happens. Nothing where nothing changes any more.
pub fn fair(
    driver: &mut Driver<'_>,
    world: &World,
    last: &mut HashMap<Did, usize>,
    turn: usize,
) -> Option<Next> {
    let next = driver
        .successors(world, &[])
        .into_iter()
        .filter(|next| !matches!(next.did, Did::Writes(_)) && next.world != *world)
        .min_by_key(|next| {
            let late = is_late(next.did);
            (late, last.get(&next.did).copied().unwrap_or(0))
        })?;
    last.insert(next.did, turn);
    Some(next)
}

/// Whether it takes so long that everything else happens before.
fn is_late(did: Did) -> bool {
    matches!(
        did,
        Did::LooksAgain(_)
            | Did::Boots(_)
            | Did::HandlerRunsOut(_)
            | Did::HandlerUnanswered(..)
            | Did::FailureForgotten(_)
            | Did::LosesPatience(_)
            | Did::StartTimesOut(_)
            | Did::Resumes(_)
            | Did::CablesBack
            | Did::Freed(_)
    )
}

/// The usual order: who has heard something acts first, and the cluster after the agents.
fn turn(did: Did) -> (u8, u64) {
    let turn = match did {
        Did::Hears(_) | Did::Woken(_) | Did::ReportComes(_) | Did::SilenceComes(_) => 0,
        Did::Called(_) => 0,
        Did::AskIsRead(_) | Did::AskIsLost(_) => 1,
        Did::PacemakerAnswers(_) | Did::PromotionAnswered(_) | Did::AgentStarts(_) => 1,
        Did::Connects(_) | Did::Began(..) | Did::Done(..) | Did::Failed(..) => 2,
        Did::GaveWay(..) | Did::AskedToStop(_) => 2,
        Did::HandlerLooks(_) | Did::Handler(..) => 2,
        Did::Misses(_) | Did::Fences(_) | Did::Joined | Did::Linked | Did::Synced => 3,
        Did::WayDown(_) | Did::UnitFails(_) | Did::StopTimesOut(_) => 4,
        Did::Promotes(_)
        | Did::Promoted(_)
        | Did::Mounted(_)
        | Did::UnitStarts(_)
        | Did::UnitStops(_) => 4,
        Did::Unmounted(_) | Did::Demoted(_) | Did::Wanted(_) => 4,
        Did::LooksAgain(_)
        | Did::Boots(_)
        | Did::HandlerRunsOut(_)
        | Did::HandlerUnanswered(..)
        | Did::FailureForgotten(_)
        | Did::LosesPatience(_)
        | Did::StartTimesOut(_)
        | Did::Resumes(_)
        | Did::CablesBack
        | Did::Freed(_) => 5,
        Did::Writes(_) => 6,
        Did::PowerCut(_) | Did::AgentKilled(_) | Did::AgentGone(_) | Did::Paused(_) => 7,
        Did::LinkLost | Did::Partition | Did::Sigterm(_) | Did::Full(_) | Did::Move(_) => 7,
        Did::LosesSomething(_) | Did::AnswerIsLost(_) | Did::AskedAgain(_) => 7,
    };
    (turn, fingerprint(&did))
}

/// What only a person can help with, while the agent of a node is gone for good. It is the only node that
/// Pacemaker may promote: a constraint stands that its agent would have taken away, and that the other
/// node leaves alone, since it cannot know what the one that it allows relies on. Or what was acknowledged
/// last lies on its own disk alone.
fn needs_a_person(world: &World) -> bool {
    (0..2).any(|n| {
        let node = &world.nodes[n];
        let allowed = node.constraint.is_some_and(|c| c.allows == n);
        node.agent == Agent::Gone && (allowed || node.spare_log.votes()[n])
    })
}

/// Fingerprints are hashes already.
#[derive(Debug, Default)]
pub struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are kept")
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// From a world's fingerprint to that of the one before it.
type Seen = HashMap<u64, u64, BuildHasherDefault<Plain>>;

const SHARDS: usize = 64;

/// What a thread found in its part of a level.
type Level = (Vec<World>, Vec<(u64, Next, Vec<Next>)>, usize);

impl Search<'_> {
    pub fn run(&self) -> Explored {
        let began = Instant::now();
        let shards: Vec<Mutex<Seen>> = (0..SHARDS).map(|_| Mutex::default()).collect();
        let shard = |id: u64| &shards[(id >> 32) as usize % SHARDS];
        let count = || {
            shards
                .iter()
                .map(|s| s.lock().unwrap().len())
                .sum::<usize>()
        };
        let first = self.start.canonical();
        shard(fingerprint(&first))
            .lock()
            .unwrap()
            .insert(fingerprint(&first), 0);
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
        let mut drivers: Vec<_> = (0..threads).map(|_| Driver::new(self.agents)).collect();
        let mut level = vec![first];
        let (mut depth, mut runs, mut before, mut thinned) = (0, 0, 0, false);
        let mut found = None;
        while !level.is_empty()
            && depth < self.depth
            && found.is_none()
            && count() < self.most
            && began.elapsed() < self.within
        {
            let grown = level.len() as f64 / before.max(1) as f64;
            before = level.len();
            thinned |= self.thin(&mut level, count(), grown);
            let part = level.len().div_ceil(threads).max(1);
            let parts: Vec<Level> = std::thread::scope(|scope| {
                let work = drivers
                    .iter_mut()
                    .zip(level.chunks(part))
                    .map(|(driver, part)| scope.spawn(|| self.part(driver, part, &shard)));
                let work: Vec<_> = work.collect();
                work.into_iter().map(|w| w.join().unwrap()).collect()
            });
            level = Vec::new();
            depth += 1;
            for (worlds, broken, ran) in parts {
                level.extend(worlds);
                runs += ran;
                // The same one in each run, whichever thread was quicker.
                found = broken
                    .into_iter()
                    .chain(found)
                    .min_by_key(|(id, next, _)| (*id, fingerprint(&next.world)));
            }
        }
        let found = found.map(|(parent, next, after)| {
            let mut way = vec![parent];
            while let Some(before) = way
                .last()
                .and_then(|id| shard(*id).lock().unwrap().get(id).copied())
                .filter(|before| *before != 0)
            {
                way.push(before);
            }
            way.reverse();
            let mut story = self.replay(&mut drivers[0], &way);
            let broken = next.broken.unwrap_or(Broken::NoVoter);
            if next.broken.is_some() {
                story.push(next);
            }
            story.extend(after);
            (broken, story)
        });
        Explored {
            worlds: count(),
            depth,
            all: level.is_empty() && !thinned,
            machines: self.agents.machines.len(),
            runs,
            took: began.elapsed(),
            found,
        }
    }

    /// Keeps so much of a level that what it leads to is about what is still to be explored: one world in
    /// so many, by their fingerprints, so that each run keeps the same. A level is a few times as large as
    /// the one before, and a last one in full would take more memory than there is. Whether it was thinned.
    fn thin(&self, level: &mut Vec<World>, explored: usize, grown: f64) -> bool {
        const PARTS: u64 = 1000;
        let left = self.most.saturating_sub(explored) as f64;
        let expected = level.len() as f64 * grown.max(1.0);
        if expected <= left * 1.5 {
            return false;
        }
        let keep = (left / expected * PARTS as f64).ceil() as u64;
        level.retain(|world| fingerprint(world) / PARTS % PARTS < keep);
        true
    }

    /// What may happen next in this search.
    fn next(&self, driver: &mut Driver<'_>, world: &World) -> Vec<Next> {
        let mut all = driver.successors(world, self.faults);
        all.retain(|next| next.world != *world || next.broken.is_some());
        if !self.orderly {
            return all;
        }
        let rank = |next: &Next| (is_late(next.did), turn(next.did));
        let free = |next: &Next| next.did.is_fault() || matches!(next.did, Did::Writes(_));
        let first = all.iter().filter(|next| !free(next)).map(rank).min();
        all.retain_mut(|next| {
            // Of what only time brings, each may be first.
            let mine = Some(rank(next));
            let usual = mine == first || (first.is_some_and(|f| f.0) && !free(next));
            if usual || free(next) {
                return true;
            }
            next.world.delays = match next.world.delays.checked_sub(1) {
                Some(left) => left,
                None => return false,
            };
            true
        });
        all
    }

    /// One thread's part of a level.
    fn part<'s>(
        &self,
        driver: &mut Driver<'_>,
        part: &[World],
        shard: &(impl Fn(u64) -> &'s Mutex<Seen> + Sync),
    ) -> Level {
        let (mut worlds, mut broken, mut runs) = (Vec::new(), Vec::new(), 0);
        for world in part {
            let parent = fingerprint(world);
            for next in self.next(driver, world) {
                if next.broken.is_some() {
                    broken.push((parent, next, Vec::new()));
                    continue;
                }
                let id = fingerprint(&next.world);
                let new = {
                    let mut seen = shard(id).lock().unwrap();
                    let new = !seen.contains_key(&id);
                    if new {
                        seen.insert(id, parent);
                    }
                    new
                };
                if !new {
                    continue;
                }
                if self.sample > 0 && id % self.sample == 0 {
                    runs += 1;
                    if let Err(way) = self.comes_to_a_voter(driver, &next.world) {
                        broken.push((id, next, way));
                    }
                }
                worlds.push(next.world);
            }
        }
        (worlds, broken, runs)
    }

    /// With no more faults, and everything done that may be done: a voter, without a person.
    pub fn comes_to_a_voter(
        &self,
        driver: &mut Driver<'_>,
        world: &World,
    ) -> Result<(), Vec<Next>> {
        let mut world = *world;
        world.faults = 0;
        let mut way: Vec<Next> = Vec::new();
        let mut last: HashMap<Did, usize> = HashMap::new();
        for turn in 1..400 {
            let voter = |n: N| {
                world.nodes[n].stage == Stage::Up
                    && world.serves(n).is_some()
                    && self.agents.report(&world, n).is_some_and(|r| r.voter)
            };
            if voter(0) || voter(1) {
                return Ok(());
            }
            let next = fair(driver, &world, &mut last, turn);
            let Some(next) = next else { break };
            world = next.world;
            way.push(next);
            if next.broken.is_some() {
                break;
            }
        }
        if needs_a_person(&world) {
            return Ok(());
        }
        Err(way)
    }

    /// The steps along those fingerprints.
    fn replay(&self, driver: &mut Driver<'_>, way: &[u64]) -> Vec<Next> {
        let mut world = self.start.canonical();
        let mut story = Vec::new();
        for id in way.iter().skip(1) {
            let next = self
                .next(driver, &world)
                .into_iter()
                .find(|next| fingerprint(&next.world) == *id)
                .expect("the same input gives the same output");
            world = next.world;
            story.push(next);
        }
        story
    }
}
