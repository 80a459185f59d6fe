//! The two real machines in the model: what they see, what they are told, and what they have done.
//!
//! A machine is a value, and there are far fewer of them than there are worlds: each is kept once, and
//! what it makes of the same input is worked out once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::handler;
use super::model::*;
use super::sight::Eye;
use crate::State;
use crate::machine::timeless::{NOW, RETRY};
use crate::machine::{
    Action, Event, Failure, Kind, Machine, Outcome, PeerPorts, Task, Ticket, ToHolder, Wants,
};
use crate::observation as seen;
use crate::report::Report;
use two_node_ha_config::Config;

/// A fault of an earlier version that is put back into the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// The epoch's number decides alone: nothing of raft's logs is seen.
    EpochAlone,
    /// Every step waits for the journal, and the way down relies on the agent.
    JournalFirst,
    /// A peer that is online and silent is waited for, for ever.
    NoEscalation,
    /// A constraint is deleted by its name, whatever mark it has by then.
    DeletesByName,
}

/// What the machine hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    Start(N),
    Wake {
        long: bool,
    },
    Changed,
    LinkChanged,
    Asks(seen::Request),
    Called,
    PeerHeard,
    PeerWoke,
    Report(u64),
    Silence,
    Pacemaker(Knows),
    /// Whom the constraint allows, and whether the question was of this round.
    Promotion(Option<N>, bool),
    StopSpare(u8, u8),
    Seen(Eye),
    Done(Outcome),
    Failed(Kind),
}

/// What it wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Look,
    Do(Deed),
    AskPeer,
    AskPacemaker,
    AskPromotion,
    WakePeer,
    Working,
    Unhealthy,
    Released,
    Note(u8, N),
    Publish(u64),
    Retract,
    Stopped,
    Answer(Ticket, bool),
    Interrupt,
    Heard,
    Ports(PeerPorts),
}

/// A table of values by their fingerprint.
#[derive(Debug)]
pub struct Table<T>(Mutex<HashMap<u64, Arc<T>>>);

impl<T: Hash> Table<T> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn keep(&self, value: T) -> u64 {
        let id = fingerprint(&value);
        self.0
            .lock()
            .unwrap()
            .entry(id)
            .or_insert_with(|| Arc::new(value));
        id
    }

    pub fn get(&self, id: u64) -> Arc<T> {
        Arc::clone(&self.0.lock().unwrap()[&id])
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A value's fingerprint, the same in each thread and each run.
pub fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().max(1)
}

/// What both nodes' agents share in an exploration.
#[derive(Debug)]
pub struct Agents {
    pub config: Config,
    pub mutant: Mutant,
    pub machines: Table<Machine>,
    pub reports: Table<Report>,
    /// Which state a node was seen to come to, from which.
    pub ways: Mutex<BTreeSet<(&'static str, &'static str)>>,
}

/// A machine's answers that one thread has worked out.
type Memo = HashMap<(u64, Input), (u64, bool, Box<[Output]>)>;

/// One thread's way to drive them.
#[derive(Debug)]
pub struct Driver<'a> {
    pub agents: &'a Agents,
    memo: Memo,
    waits: HashMap<u64, Waits>,
    pub decisions: HashMap<handler::Case, handler::Deed>,
}

/// What a machine that rests waits for.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// It is not at work.
    pub rests: bool,
    /// It looks again by itself.
    pub wakes: bool,
    /// It counts how long its peer has been silent.
    pub counts: bool,
}

impl Agents {
    pub fn new(mut config: Config, mutant: Mutant) -> Self {
        if mutant == Mutant::NoEscalation {
            config.peer.silent_timeout = Duration::MAX;
        }
        Self {
            config,
            mutant,
            machines: Table::new(),
            reports: Table::new(),
            ways: Mutex::default(),
        }
    }

    fn silent_timeout(&self) -> Duration {
        self.config.peer.silent_timeout
    }
}

impl<'a> Driver<'a> {
    pub fn new(agents: &'a Agents) -> Self {
        Self {
            agents,
            memo: Memo::new(),
            waits: HashMap::new(),
            decisions: HashMap::new(),
        }
    }

    /// What the machine of a node waits for.
    pub fn waits(&mut self, world: &World, n: N) -> Waits {
        let id = world.nodes[n].machine;
        let agents = self.agents;
        *self.waits.entry(id).or_insert_with(|| {
            let machine = agents.machines.get(id);
            Waits {
                rests: machine.rests(),
                wakes: machine.wakes_at().is_some(),
                counts: machine.counts_silence(),
            }
        })
    }

    /// Tells a node's machine something, and does what it wants, up to the next task of the hands.
    pub fn tell(&mut self, world: &mut World, n: N, input: Input) {
        let mut input = input;
        loop {
            let key = (world.nodes[n].machine, input);
            if !self.memo.contains_key(&key) {
                let answer = self.agents.ask(n, key.0, &input);
                self.memo.insert(key, answer);
            }
            let (machine, round, outputs) = &self.memo[&key];
            world.nodes[n].machine = *machine;
            if *round {
                let asked = &mut world.nodes[n].ask_promotion;
                *asked = asked.map(|_| true);
            }
            let mut look = false;
            for output in outputs {
                match output {
                    Output::Look => look = true,
                    output => self.agents.done(world, n, *output),
                }
            }
            if !look {
                return;
            }
            world.nodes[n].unheard = 0;
            input = Input::Seen(Eye::of(world, n));
        }
    }
}

impl Agents {
    /// What a machine makes of an input.
    fn ask(&self, n: N, machine: u64, input: &Input) -> (u64, bool, Box<[Output]>) {
        let mut machine = match input {
            Input::Start(n) => Machine::new(NAMES[*n], NAMES[other(*n)], BTreeMap::new()),
            _ => Machine::clone(&self.machines.get(machine)),
        };
        let now = match input {
            Input::Wake { long: true } => {
                RETRY + self.silent_timeout().min(Duration::from_secs(9999))
            }
            Input::Wake { long: false } => RETRY,
            _ => NOW,
        };
        let mut tell = |event| machine.handle(event, now);
        match *input {
            Input::Start(_) | Input::Wake { .. } => {}
            Input::Changed => tell(Event::Changed),
            Input::LinkChanged => tell(Event::LinkChanged),
            Input::Asks(request) => tell(Event::Asks(request)),
            Input::Called => tell(Event::Handler {
                ticket: 1,
                handler: "local-io-error".into(),
                wants: Wants::Demotion,
                age: Duration::ZERO,
            }),
            Input::PeerHeard => tell(Event::PeerHeard),
            Input::PeerWoke => tell(Event::PeerWoke),
            Input::Report(id) => {
                let report = Report::clone(&self.reports.get(id));
                tell(Event::PeerAnswered(Ok(Box::new(report))));
            }
            Input::Silence => tell(Event::PeerAnswered(Err("no answer".into()))),
            Input::Pacemaker(knows) => tell(Event::PacemakerAnswered(Ok(match knows {
                Knows::Online => seen::PeerNode::Online,
                Knows::Lost => seen::PeerNode::Lost,
                Knows::Down => seen::PeerNode::Down,
            }))),
            Input::Promotion(allows, old) => {
                let id = || "drbd-fence".to_owned();
                let answer = Ok(match allows {
                    None => seen::Promotion::Allowed,
                    Some(allowed) if allowed == n => seen::Promotion::PeerForbidden(id()),
                    Some(_) => seen::Promotion::Forbidden(id()),
                });
                let round = if old { u64::MAX } else { 0 };
                tell(Event::PromotionAnswered { round, answer });
            }
            Input::StopSpare(ticket, epoch) => tell(Event::StopSpare {
                ticket: ticket.into(),
                node: NAMES[other(n)].into(),
                epoch: epoch.into(),
            }),
            Input::Seen(eye) => machine.seen(eye.sight(self.mutant), &self.config, now),
            Input::Done(outcome) => machine.done(Ok(outcome), now),
            Input::Failed(kind) => machine.done(
                Err(Failure {
                    kind,
                    shutting_down: false,
                    error: "it failed".into(),
                    why: format!("it failed ({kind:?})"),
                }),
                now,
            ),
        }
        let mut outputs = Vec::new();
        while let Some(action) = machine.poll(now) {
            let look = action == Action::Look;
            outputs.extend(self.output(action));
            if look {
                break;
            }
        }
        let round = machine.timeless(now, self.silent_timeout());
        (self.machines.keep(machine), round, outputs.into())
    }

    fn output(&self, action: Action) -> Option<Output> {
        Some(match action {
            Action::Look => Output::Look,
            Action::Do(Task::Take(step)) => Output::Do(Deed::of(&step)),
            Action::Do(Task::StopForPeer) => Output::Do(Deed::StopForPeer),
            Action::Do(Task::Resolve(..)) => panic!("nobody resolves anything"),
            Action::Do(Task::Demote(_)) => Output::Do(Deed::Demote),
            Action::Interrupt => Output::Interrupt,
            Action::Heard(_) => Output::Heard,
            Action::CompleteEvidence | Action::ForgetOwnDisconnect => return None,
            Action::AskPeer => Output::AskPeer,
            Action::AskPacemaker => Output::AskPacemaker,
            Action::AskPromotion { .. } => Output::AskPromotion,
            Action::WakePeer => Output::WakePeer,
            Action::Tell(ToHolder::Working) => Output::Working,
            Action::Tell(ToHolder::Unhealthy(_)) => Output::Unhealthy,
            Action::Tell(ToHolder::Released) => Output::Released,
            Action::NoteVolume(owned) => Output::Note(
                u8::try_from(owned.epoch).unwrap(),
                usize::from(owned.owner == NAMES[1]),
            ),
            Action::Publish(standing) => {
                let mut report = standing.report;
                if self.mutant == Mutant::EpochAlone {
                    report.logs.clear();
                }
                Output::Publish(self.reports.keep(report))
            }
            Action::Retract => Output::Retract,
            Action::DatabasesStopped => Output::Stopped,
            Action::Answer(ticket, answer) => Output::Answer(ticket, answer.is_ok()),
            Action::PeerPorts(ports) => Output::Ports(ports),
            Action::Watch(_) | Action::Say(_) => return None,
        })
    }

    /// Nothing is promised as a voter any more.
    pub fn retract(&self, world: &mut World, n: N) {
        self.change_report(world, n, |report| report.voter = false);
    }

    fn change_report(&self, world: &mut World, n: N, change: impl FnOnce(&mut Report)) {
        let id = &mut world.nodes[n].report;
        if *id != 0 {
            let mut report = Report::clone(&self.reports.get(*id));
            change(&mut report);
            *id = self.reports.keep(report);
        }
    }

    /// Does what needs no answer, or gets it under way.
    fn done(&self, world: &mut World, n: N, output: Output) {
        let node = &mut world.nodes[n];
        match output {
            Output::Look => {}
            Output::Do(deed) => node.hand = Hand::Asked(deed),
            Output::Interrupt => {
                node.hand = match node.hand {
                    Hand::Asked(deed) => Hand::Interrupted(deed, None),
                    Hand::Ready(deed, mark) => Hand::Interrupted(deed, Some(mark)),
                    Hand::Waits(_) => Hand::Interrupted(Deed::StopPeer, None),
                    // Too late.
                    hand @ (Hand::Idle | Hand::Answered(_) | Hand::Interrupted(..)) => hand,
                }
            }
            Output::Heard => node.called = Called::No,
            Output::Ports(ports) => node.ports = ports,
            Output::AskPeer => node.ask_peer = Question::Asked,
            Output::AskPacemaker => node.ask_pacemaker = true,
            Output::AskPromotion => node.ask_promotion = Some(false),
            Output::WakePeer => {
                let reaches = world.reaches();
                let peer = &mut world.nodes[other(n)];
                peer.woken |= reaches && peer.agent == Agent::Runs && peer.report != 0;
            }
            Output::Working => {
                if node.connected && node.stage == Stage::Starting {
                    node.stage = Stage::Up;
                }
            }
            Output::Unhealthy => {
                if node.connected && node.held() {
                    node.connected = false;
                    node.failed = true;
                    node.stage = Stage::Stopping;
                    node.unheard = ASKS;
                }
            }
            Output::Released => {
                if node.connected && node.stage == Stage::Stopping {
                    // The hold ends; the failover unit's process goes the way down by itself.
                    node.connected = false;
                }
            }
            Output::Note(epoch, owner) => node.volume_seen = (epoch, owner),
            Output::Publish(report) => {
                let before = std::mem::replace(&mut node.report, report);
                let state = |id: u64| match id {
                    0 => "boot",
                    id => self.reports.get(id).state.name(),
                };
                let way = (state(before), state(report));
                if way.0 != way.1 {
                    self.ways.lock().unwrap().insert(way);
                }
            }
            Output::Retract => self.retract(world, n),
            Output::Stopped => self.change_report(world, n, |r| r.datastore_running = false),
            Output::Answer(ticket, yes) => {
                let reaches = world.reaches();
                let hand = &mut world.nodes[other(n)].hand;
                // An answer that does not arrive ends the connection.
                if matches!(*hand, Hand::Waits(of) if Ticket::from(of) == ticket) {
                    *hand = Hand::Answered(yes && reaches);
                }
            }
        }
    }

    /// How the peer's report reads to somebody who may rely on it.
    pub fn report(&self, world: &World, n: N) -> Option<Arc<Report>> {
        let node = &world.nodes[n];
        (node.alive() && node.report != 0).then(|| self.reports.get(node.report))
    }

    /// The state that a node's agent has published.
    pub fn state(&self, world: &World, n: N) -> Option<State> {
        self.report(world, n).map(|report| report.state)
    }
}
