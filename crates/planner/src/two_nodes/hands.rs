//! What the hands of a node do: the guard of each task, and its effect, as two separate moments. In
//! between everything else may happen, as if the agent had been paused.

use super::agents::{Driver, Input, Mutant};
use super::handler::Handler;
use super::model::*;
use super::sight::{record, standing};
use super::step::{Broken, Did, Next};
use crate::Database;
use crate::machine::{Kind, Outcome, may_stop_for};
use crate::observation::{Request, Standing};

impl Driver<'_> {
    /// Everything that the hands of a node may do now.
    pub fn hands(&mut self, world: &World, n: N, next: &mut Vec<Next>) {
        let node = &world.nodes[n];
        if !node.alive() {
            return;
        }
        match node.hand {
            Hand::Idle => {}
            Hand::Asked(deed) => {
                let mut then = *world;
                // Before anything else the journal says what is about to be done.
                let first = self.agents.mutant == Mutant::JournalFirst;
                if node.full && (first || deed.needs_the_journal()) {
                    self.fail(&mut then, n, Kind::Disk);
                    next.push(Next::of(Did::Failed(n, deed), then));
                    return;
                }
                match self.guard(world, n, deed) {
                    Ok(mark) => {
                        then.nodes[n].hand = Hand::Ready(deed, mark);
                        next.push(Next::of(Did::Began(n, deed), then));
                    }
                    Err(Some(kind)) => {
                        self.fail(&mut then, n, kind);
                        next.push(Next::of(Did::Failed(n, deed), then));
                    }
                    // It waits, with a limit that is not modelled.
                    Err(None) => {}
                }
            }
            Hand::Ready(deed, mark) => self.effect(world, n, deed, mark, next),
            Hand::Interrupted(deed, passed) => {
                let mut then = *world;
                self.fail(&mut then, n, Kind::Interruption);
                next.push(Next::of(Did::GaveWay(n, deed), then));
                if let Some(mark) = passed {
                    self.effect(world, n, deed, mark, next);
                }
            }
            Hand::Waits(_) => {
                // The answer may never come.
                let peer = &world.nodes[other(n)];
                if !world.reaches() || !peer.alive() {
                    let mut then = *world;
                    self.fail(&mut then, n, Kind::Peer);
                    next.push(Next::of(Did::Failed(n, Deed::StopPeer), then));
                }
            }
            Hand::Answered(yes) => {
                let mut then = *world;
                if yes {
                    self.succeed(&mut then, n, Outcome::PeerStopped);
                    next.push(Next::of(Did::Done(n, Deed::StopPeer), then));
                } else {
                    self.fail(&mut then, n, Kind::Peer);
                    next.push(Next::of(Did::Failed(n, Deed::StopPeer), then));
                }
            }
        }
    }

    fn succeed(&mut self, world: &mut World, n: N, outcome: Outcome) {
        world.nodes[n].hand = Hand::Idle;
        self.tell(world, n, Input::Done(outcome));
    }

    fn fail(&mut self, world: &mut World, n: N, kind: Kind) {
        world.nodes[n].hand = Hand::Idle;
        self.tell(world, n, Input::Failed(kind));
    }

    /// Whether the task may begin, and the mark that it has read; what kind of failure else.
    fn guard(&self, world: &World, n: N, deed: Deed) -> Result<u8, Option<Kind>> {
        let node = &world.nodes[n];
        let require = |yes: bool| if yes { Ok(0) } else { Err(Some(Kind::Guard)) };
        let stopped = !node.token && !node.services;
        // What is to be read from a volume that stands still does not come.
        if deed.pins() && node.mounted() && node.suspended {
            return Err(None);
        }
        match deed {
            Deed::StopServices | Deed::StopForPeer | Deed::Remember(_) | Deed::Confirm => Ok(0),
            // The hand looks itself, and has nothing to do where the role is gone by then.
            Deed::Demote => Ok(0),
            Deed::RemoveConstraint => {
                let Some(constraint) = node.constraint else {
                    return Ok(0);
                };
                require(world.linked && world.syncing.is_none() && constraint.allows == n)?;
                Ok(constraint.mark)
            }
            Deed::AskFencePeer => require(
                node.handler == Handler::Quiet
                    && node.primary()
                    && !world.linked
                    && node.suspended
                    && !world.split,
            ),
            Deed::StopPeer => match world.reaches() && world.nodes[other(n)].alive() {
                true => Ok(0),
                false => Err(Some(Kind::Peer)),
            },
            // One that was interrupted has no pin any more: only the spare's identity is kept.
            Deed::Leave(d) => require(stopped && (node.mounted() || node.leads[d])),
            Deed::Flip(_, true) => require(stopped && node.mounted()),
            Deed::Flip(_, false) => require(stopped),
            Deed::BeginEpoch => require(node.mounted()),
            Deed::FencePeer => {
                let answers = world.reaches() && self.agents.report(world, other(n)).is_some();
                require(!answers && node.knows == Knows::Online)
            }
            Deed::FetchLogs => {
                require(node.mounted())?;
                let report = self
                    .agents
                    .report(world, other(n))
                    .filter(|_| world.reaches());
                let gives = report
                    .is_some_and(|r| !r.voter && !r.wants_voter && !r.datastore_running)
                    && !world.nodes[other(n)].token;
                if gives { Ok(0) } else { Err(Some(Kind::Peer)) }
            }
            Deed::Renew(epoch) => {
                require(stopped && node.mounted())?;
                require(node.volume.owner == n && node.volume.epoch + 1 >= epoch)
            }
            Deed::Recover(d) => {
                require(stopped && node.mounted() && node.leads[d] && node.volume.owner == n)
            }
            Deed::Rejoin(epoch) => {
                require(stopped)?;
                let peer = &world.nodes[other(n)];
                let report = self
                    .agents
                    .report(world, other(n))
                    .filter(|_| world.reaches());
                let gives = report.is_some_and(|r| r.voter && r.epoch == u64::from(epoch));
                if gives && peer.mounted() {
                    Ok(0)
                } else {
                    Err(Some(Kind::Peer))
                }
            }
            Deed::StartServices => {
                for leads in node.leads {
                    require(match leads {
                        true => {
                            node.mounted()
                                && node.volume.owner == n
                                && node.volume.done == [true; 2]
                        }
                        false => !node.mounted(),
                    })?;
                }
                require(node.leads[DQLITE] || node.spare_made)
            }
        }
    }

    fn effect(&mut self, world: &World, n: N, deed: Deed, mark: u8, next: &mut Vec<Next>) {
        let mut then = *world;
        let node = &mut then.nodes[n];
        let on_volume = node.services && node.leads[DQLITE];
        let mut broken = None;
        let mut outcome = Outcome::Done;
        let mut failure = None;
        // Nothing of the volume is changed while its I/O stands still.
        if deed.pins() && node.mounted() && node.suspended {
            return;
        }
        match deed {
            Deed::StopServices | Deed::StopForPeer => {
                // A process that waits for the disk does not die.
                if on_volume && node.suspended {
                    return;
                }
                node.token = false;
                node.services = false;
            }
            Deed::Remember(epoch) => node.highest = node.highest.max(epoch),
            Deed::Confirm => {
                if on_volume && node.suspended {
                    return;
                }
                if world.serves(n).is_some() && world.nodes[n].leads[DQLITE] {
                    outcome = Outcome::VoterConfirmed;
                    let length = node.volume.log.len();
                    then.write(n, |v| v.confirmed = u8::try_from(length).unwrap());
                } else if world.nodes[n].held() && world.nodes[n].connected {
                    failure = Some(Kind::Other);
                } else {
                    failure = Some(Kind::Interruption);
                }
            }
            Deed::Demote if !world.cib(n) => return,
            Deed::Demote => {
                if world.nodes[n].primary() {
                    // A ban: Pacemaker takes the role away, and tries here again only later.
                    node.failed = true;
                    if node.held() {
                        node.stage = Stage::Stopping;
                    }
                }
            }
            Deed::RemoveConstraint if !world.cib(n) => return,
            Deed::RemoveConstraint => {
                let stands = node.constraint.map(|c| c.mark);
                let by_name = self.agents.mutant == Mutant::DeletesByName;
                outcome = Outcome::ConstraintRemoved;
                if stands.is_some() && mark != 0 && (by_name || stands == Some(mark)) {
                    then.constrain(n, None);
                } else if stands.is_some() {
                    failure = Some(Kind::Guard);
                }
            }
            Deed::AskFencePeer => {
                if world.linked || !node.suspended {
                    failure = Some(Kind::Guard);
                } else {
                    node.handler = Handler::called(false);
                    outcome = Outcome::FencePeerAsked;
                }
            }
            Deed::StopPeer => {
                self.ask_to_stop(world, n, next);
                return;
            }
            Deed::Leave(d) | Deed::Flip(d, false) => {
                broken = node.services.then_some(Broken::ChangedBeneath);
                if node.full {
                    failure = Some(Kind::Disk);
                } else {
                    node.leads[d] = false;
                }
            }
            Deed::Flip(d, true) => {
                broken = node.services.then_some(Broken::ChangedBeneath);
                if !node.mounted() {
                    broken = Some(Broken::LeadsToNothing);
                }
                node.leads[d] = true;
            }
            Deed::BeginEpoch => {
                if node.volume.owner != n {
                    let epoch = node.volume.epoch + 1;
                    self.begin(&mut then, n, epoch);
                }
            }
            Deed::Renew(epoch) => {
                broken = node.services.then_some(Broken::ChangedBeneath);
                if node.volume.epoch < epoch {
                    self.begin(&mut then, n, epoch);
                }
            }
            Deed::FencePeer => {
                outcome = Outcome::PeerFenced;
                if world.fencing {
                    then.power_off(other(n));
                    then.nodes[n].knows = Knows::Down;
                } else {
                    failure = Some(Kind::Other);
                }
            }
            Deed::FetchLogs => {
                outcome = Outcome::LogsFetched;
                let report = self
                    .agents
                    .report(world, other(n))
                    .filter(|_| world.reaches());
                if report.is_some_and(|r| !r.datastore_running) {
                    let log = world.nodes[other(n)].spare_log;
                    then.write(n, |v| v.fetched = Some(log));
                } else {
                    failure = Some(Kind::Peer);
                }
            }
            Deed::Recover(d) => {
                broken = node.services.then_some(Broken::ChangedBeneath);
                let logs = self.agents.mutant != Mutant::EpochAlone;
                failure = recover(&mut then, n, d, logs);
            }
            Deed::Rejoin(epoch) => {
                broken = node.services.then_some(Broken::ChangedBeneath);
                let peer = &world.nodes[other(n)];
                let report = self
                    .agents
                    .report(world, other(n))
                    .filter(|_| world.reaches());
                let gives = report.is_some_and(|r| r.voter && r.epoch == u64::from(epoch));
                if gives && peer.mounted() {
                    node.spare_log = Log::default();
                    node.spare_made = true;
                    node.spare_epoch = [epoch; 2];
                } else {
                    failure = Some(Kind::Peer);
                }
            }
            Deed::StartServices => {
                node.token = true;
                // What systemd asks the kernel at the very start.
                let gate = match node.leads[DQLITE] {
                    true => node.mounted() && node.held(),
                    false => !node.mounted() && !node.held(),
                };
                if gate {
                    node.services = true;
                } else {
                    failure = Some(Kind::Other);
                }
                let lost = !world.acknowledged.is_empty()
                    && then
                        .serves(n)
                        .is_some_and(|log| !log.starts_with(&world.acknowledged));
                broken = lost.then_some(Broken::StartedBehind(n));
            }
        }
        match failure {
            None => self.succeed(&mut then, n, outcome),
            Some(kind) => self.fail(&mut then, n, kind),
        }
        let did = match failure {
            None => Did::Done(n, deed),
            Some(_) => Did::Failed(n, deed),
        };
        next.push(Next {
            did,
            world: then,
            broken,
        });
    }

    /// A new epoch of this node's.
    fn begin(&self, world: &mut World, n: N, epoch: u8) {
        let next = record(&world.nodes[n].volume).taken_over_by(NAMES[n]);
        world.write(n, |v| {
            v.carries = [0, 1].map(|d| {
                let voter = next.expected_voter(Database::ALL[d]);
                usize::from(voter == Some(NAMES[1]))
            });
            v.owner = n;
            v.epoch = epoch;
            v.done = [false; 2];
            v.astray = None;
        });
        let node = &mut world.nodes[n];
        node.highest = node.highest.max(epoch);
    }

    /// The peer is asked to stop its databases: the request arrives, and is refused at the door or put
    /// to its machine.
    fn ask_to_stop(&mut self, world: &World, n: N, next: &mut Vec<Next>) {
        let mut then = *world;
        let p = other(n);
        let report = self.agents.report(world, p).filter(|_| world.reaches());
        let Some(report) = report else {
            self.fail(&mut then, n, Kind::Peer);
            next.push(Next::of(Did::Failed(n, Deed::StopPeer), then));
            return;
        };
        let epoch = world.nodes[n].volume.epoch;
        let wants = match world.nodes[p].connected && world.nodes[p].held() {
            true => Request::Hold,
            false => Request::None,
        };
        let may = may_stop_for((NAMES[p], wants), (NAMES[n], epoch.into()), report.epoch);
        if may.is_err() {
            self.fail(&mut then, n, Kind::Peer);
            next.push(Next::of(Did::Failed(n, Deed::StopPeer), then));
            return;
        }
        self.agents.retract(&mut then, p);
        // The one that was asked before with the other number is nobody's any more.
        let ticket = 1 + then.tickets % 3;
        then.tickets = ticket;
        then.nodes[n].hand = Hand::Waits(ticket);
        self.tell(&mut then, p, Input::StopSpare(ticket, epoch));
        next.push(Next::of(Did::AskedToStop(n), then));
    }
}

/// Recovers one database, on the base of the newest of the `logs` where those are looked at; why that is
/// not possible.
fn recover(world: &mut World, n: N, d: usize, logs: bool) -> Option<Kind> {
    let node = &world.nodes[n];
    let mut volume = node.volume;
    if !node.mounted() || !node.leads[d] || volume.owner != n {
        return Some(Kind::Guard);
    }
    if d == DQLITE && !volume.done[d] {
        for (log, of) in [(Some(node.spare_log), n), (volume.fetched, other(n))] {
            let Some(log) = log.filter(|_| logs) else {
                continue;
            };
            match standing(&volume, &log, of) {
                Standing::Within => {}
                Standing::Ahead { first, last } => {
                    let small = |index: u64| u8::try_from(index).unwrap();
                    volume.log = log;
                    volume.astray = Some(Taken {
                        node: of,
                        first: small(first),
                        last: small(last),
                    });
                }
                Standing::Parted { .. } | Standing::Unknown(_) => return Some(Kind::Other),
            }
        }
        volume.log.push(Entry::Recovered, n, volume.epoch);
        volume.taken = volume.astray.or(volume.taken);
    }
    volume.done[d] = true;
    if volume.done == [true; 2] {
        volume.fetched = None;
    }
    world.write(n, |v| *v = volume);
    if d == DQLITE {
        world.nodes[n].spare_log = Log::default();
        world.nodes[n].spare_made = false;
    }
    None
}
