//! The two real machines in the model: what they see, what they are told, and what they have done.
//!
//! A machine is a value, and there are far fewer of them than there are worlds: each is kept once, and
//! what it makes of the same input is worked out once.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use two_node_ha_config::Config;
use two_node_ha_dqlite::Position;

use super::model::*;
use crate::machine::timeless::{NOW, RETRY};
use crate::machine::{
    Action, Event, Failure, Kind, Machine, Outcome, Sight, Task, Ticket, ToHolder,
};
use crate::observation as seen;
use crate::record::{Astray, Epoch, Journal, Owned, Phase};
use crate::report::Report;
use crate::{Database, State};

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
}

/// What the eyes see of a node: everything that a [`Sight`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Eye {
    n: N,
    primary: bool,
    good: bool,
    linked: bool,
    equal: bool,
    peer_primary: bool,
    suspended: bool,
    split: bool,
    handler: bool,
    request: seen::Request,
    hold: u8,
    unit: bool,
    volume: Option<Volume>,
    highest: u8,
    volume_seen: (u8, N),
    spare_epoch: [u8; 2],
    spare_log: Log,
    leads: [bool; 2],
    services: bool,
    token: bool,
}

impl Eye {
    pub fn of(world: &World, n: N) -> Self {
        let node = &world.nodes[n];
        let request = match node.stage {
            _ if !node.connected => seen::Request::None,
            Stage::Starting | Stage::Up => seen::Request::Hold,
            Stage::Stopping => seen::Request::Release,
            Stage::Secondary | Stage::Primary | Stage::Mounted => seen::Request::None,
        };
        Self {
            n,
            primary: node.primary(),
            good: !node.partial,
            linked: world.linked,
            equal: world.linked && world.syncing.is_none(),
            peer_primary: world.linked && world.nodes[other(n)].primary(),
            suspended: node.suspended,
            split: world.split,
            handler: node.handler != Handler::Quiet,
            request,
            hold: if node.connected { node.hold } else { 0 },
            unit: node.stage >= Stage::Starting,
            volume: node.mounted().then_some(node.volume),
            highest: node.highest,
            volume_seen: node.volume_seen,
            spare_epoch: node.spare_epoch,
            spare_log: node.spare_log,
            leads: node.leads,
            services: node.services,
            token: node.token,
        }
    }

    /// Whether something about the link differs, of which the machine is told as that.
    pub fn link_differs(&self, before: &Self) -> bool {
        let link = |eye: &Self| (eye.linked, eye.equal, eye.handler);
        link(self) != link(before)
    }

    fn sight(&self, mutant: Mutant) -> Sight {
        let n = self.n;
        let owner = |of: N| NAMES[of].to_owned();
        let mut journal = Journal::new(NAMES[n]);
        journal.highest_epoch = self.highest.into();
        journal.volume = (self.volume_seen.0 > 0).then(|| Owned {
            epoch: self.volume_seen.0.into(),
            owner: owner(self.volume_seen.1),
        });
        for database in Database::ALL {
            let of = self.spare_epoch[index(database)];
            if of > 0 {
                journal.spare_epoch.insert(database, of.into());
            }
        }
        let role = |primary| match primary {
            true => seen::Role::Primary,
            false => seen::Role::Secondary,
        };
        let databases = Database::ALL.map(|d| (d, self.directories(d, mutant)));
        Sight {
            drbd: seen::Drbd {
                role: role(self.primary),
                up_to_date: self.good,
                connected: self.linked,
                equal: self.equal,
                peer_role: match self.linked {
                    true => role(self.peer_primary),
                    false => seen::Role::Unknown,
                },
                frozen: self.suspended.then_some(seen::Frozen::Fencing),
                alone: self.split,
                seeking: !self.split,
                summary: "as the model has it".into(),
            },
            mount: match self.volume {
                Some(_) => seen::Mount::ReadWrite,
                None => seen::Mount::None,
            },
            mount_point: match self.volume {
                Some(_) => seen::MountPoint::Covered,
                None => seen::MountPoint::Protected,
            },
            request: self.request,
            hold: (self.hold > 0).then(|| self.hold.into()),
            failover_unit: self.unit,
            shutting_down: false,
            epoch: match &self.volume {
                Some(volume) => seen::Known::Present(record(volume)),
                None => seen::Known::Absent,
            },
            volume_silent: false,
            handler_at_work: self.handler,
            own_disconnect: false,
            journal,
            databases: BTreeMap::from(databases),
            services: match self.services {
                true => seen::Services::Running,
                false => seen::Services::Stopped,
            },
            token: self.token,
            health: seen::Health::default(),
            split_brain: self.split.then_some(seen::SplitBrain::Reported),
        }
    }

    fn directories(&self, database: Database, mutant: Mutant) -> seen::Directories {
        let i = index(database);
        let mut directories = seen::Directories {
            leads: match self.leads[i] {
                true => seen::Leads::ToVolume,
                false => seen::Leads::ToSpare,
            },
            original: seen::Holds::Missing,
            spare: match self.spare_log.is_empty() {
                true => seen::Holds::IdentityOnly,
                false => seen::Holds::Database,
            },
            volume: match self.volume {
                Some(_) => seen::Holds::Database,
                None => seen::Holds::Missing,
            },
            original_voter: None,
            spare_log: seen::Log::None,
            volume_log: seen::Log::None,
            own: seen::Standing::Within,
            fetched: None,
        };
        // k8sd hands nothing over: its log adds nothing.
        if i == DQLITE && mutant != Mutant::EpochAlone {
            directories.spare_log = end(&self.spare_log, self.n);
            if let Some(volume) = &self.volume {
                directories.volume_log = end(&volume.log, self.n);
                directories.own = standing(volume, &self.spare_log, self.n);
                directories.fetched = volume
                    .fetched
                    .map(|fetched| standing(volume, &fetched, other(self.n)));
            }
        }
        directories
    }
}

fn position(log: &Log) -> Position {
    Position {
        term: 1,
        index: log.len() as u64,
    }
}

fn end(log: &Log, n: N) -> seen::Log {
    if log.is_empty() {
        return seen::Log::None;
    }
    let votes = log.votes();
    seen::Log::Ends(seen::End {
        last: position(log),
        voters: seen::Voters {
            here: votes[n],
            elsewhere: votes[other(n)],
        },
    })
}

/// As the agent's eyes compare logs: only one that reaches further, or that names its own node.
pub fn standing(volume: &Volume, log: &Log, of: N) -> seen::Standing {
    let further = log.len() > volume.log.len();
    let standing =
        if log.is_empty() || (!log.votes()[of] && !further) || volume.log.starts_with(log) {
            seen::Standing::Within
        } else if log.starts_with(&volume.log) {
            seen::Standing::Ahead {
                first: volume.log.len() as u64 + 1,
                last: log.len() as u64,
            }
        } else {
            let common = volume.log.common(log) as u64;
            seen::Standing::Parted {
                volume: position(&volume.log),
                other: position(log),
                at: (common > 0).then_some(common + 1),
            }
        };
    standing.given(volume.taken.map(astray).as_ref(), NAMES[of])
}

fn astray(taken: Taken) -> Astray {
    Astray {
        node: NAMES[taken.node].into(),
        first: taken.first.into(),
        last: taken.last.into(),
        since: 0,
        until: 0,
    }
}

/// The record of a volume, as it is on the disk.
pub fn record(volume: &Volume) -> Epoch {
    let carries = volume.carries;
    let mut record = Epoch::first(NAMES[carries[DQLITE]]).taken_over_by(NAMES[volume.owner]);
    record.epoch = volume.epoch.into();
    if carries[0] != carries[1] {
        record
            .carries
            .insert(Database::K8sd, NAMES[carries[0]].into());
    }
    for database in Database::ALL {
        let phase = match volume.done[index(database)] {
            true => Phase::Done,
            false => Phase::Pending,
        };
        record.databases.insert(database, phase);
    }
    if volume.confirmed > 0 {
        let index = volume.confirmed.into();
        let position = Position { term: 1, index };
        record.confirmed.insert(Database::K8sDqlite, position);
    }
    let note = |taken: Option<Taken>| taken.map(|t| (Database::K8sDqlite, astray(t)));
    record.astray.extend(note(volume.astray));
    record.taken.extend(note(volume.taken));
    record
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
}

/// A machine's answers that one thread has worked out.
type Memo = HashMap<(u64, Input), (u64, bool, Box<[Output]>)>;

/// One thread's way to drive them.
#[derive(Debug)]
pub struct Driver<'a> {
    pub agents: &'a Agents,
    memo: Memo,
    waits: HashMap<u64, Waits>,
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
            Action::Do(Task::Forget(_)) => panic!("nobody gives anything up"),
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
                    node.unheard = 1;
                }
            }
            Output::Released => {
                if node.connected && node.stage == Stage::Stopping {
                    // The hold ends; the failover unit's process goes the way down by itself.
                    node.connected = false;
                }
            }
            Output::Note(epoch, owner) => node.volume_seen = (epoch, owner),
            Output::Publish(report) => node.report = report,
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
