//! What lies between the two machines, as plain values: disks, logs, roles, Pacemaker's view, and what
//! the hands are at.

use super::handler::Handler;
use crate::Database;
use crate::machine::PeerPorts;

pub use super::deed::Deed;

/// One of the two nodes: 0 is haone, 1 is hatwo.
pub type N = usize;

/// The names.
pub const NAMES: [&str; 2] = ["haone", "hatwo"];

/// The other one.
pub fn other(n: N) -> N {
    1 - n
}

/// A log of k8s-dqlite: one byte an entry, 0 behind the last. A byte tells kind, author and epoch, so
/// that two entries of different histories are different bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Log([u8; 16]);

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A client's write, accepted on that node.
    Write,
    /// A recovery: that node is the only voter.
    Recovered,
    /// The first half of a handover by that node: both vote.
    BothVote,
    /// The second half: that node alone votes.
    AloneVotes,
}

impl Log {
    pub fn len(&self) -> usize {
        self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len())
    }

    pub fn push(&mut self, entry: Entry, n: N, epoch: u8) {
        let kind = match entry {
            Entry::Write => 1,
            Entry::Recovered => 2,
            Entry::BothVote => 3,
            Entry::AloneVotes => 4,
        };
        let at = self.len();
        assert!(at < self.0.len() && epoch < 16, "the model's log is full");
        self.0[at] = kind << 5 | u8::from(n == 1) << 4 | epoch;
    }

    /// Who votes by the last configuration.
    pub fn votes(&self) -> [bool; 2] {
        let last = self.0.iter().rev().find(|b| **b >> 5 >= 2);
        match last {
            None => [false, false],
            Some(b) if b >> 5 == 3 => [true, true],
            Some(b) => [b >> 4 & 1 == 0, b >> 4 & 1 == 1],
        }
    }

    pub fn starts_with(&self, with: &Self) -> bool {
        self.0[..with.len()] == with.0[..with.len()]
    }

    /// How many entries both begin with.
    pub fn common(&self, with: &Self) -> usize {
        (0..self.len().min(with.len()))
            .find(|i| self.0[*i] != with.0[*i])
            .unwrap_or(self.len().min(with.len()))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first entries only.
    pub fn cut(&mut self, length: usize) {
        self.0[length..].fill(0);
    }

    /// How many client's writes are in it.
    pub fn writes(&self) -> usize {
        self.0.iter().filter(|b| **b >> 5 == 1).count()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({})", self.len())
    }
}

/// Entries that were taken from a node's own log: first and last index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Taken {
    pub node: N,
    pub first: u8,
    pub last: u8,
}

/// One copy of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Volume {
    pub log: Log,
    pub epoch: u8,
    pub owner: N,
    /// Whose identity each database carries until it is done.
    pub carries: [N; 2],
    pub done: [bool; 2],
    pub confirmed: u8,
    pub astray: Option<Taken>,
    pub taken: Option<Taken>,
    /// The log that was fetched from the other node.
    pub fetched: Option<Log>,
}

/// The fencing constraint: whom it allows, and its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Constraint {
    pub allows: N,
    pub mark: u8,
}

/// What Pacemaker on one node knows of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Knows {
    Online,
    Lost,
    Down,
}

/// How far Pacemaker has brought the stack on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Secondary,
    Primary,
    Mounted,
    Starting,
    Up,
    Stopping,
}

/// The process of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Agent {
    Runs,
    Paused,
    /// systemd is about to start it again.
    Dead,
    /// It does not come back.
    Gone,
}

/// A question that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    None,
    Asked,
    /// The answer is on its way: a report by its id.
    Report(u64),
    /// No answer is on its way.
    Silence,
}

/// The place of a database in [`Database::ALL`].
pub fn index(database: Database) -> usize {
    match database {
        Database::K8sd => 0,
        Database::K8sDqlite => 1,
    }
}

/// k8s-dqlite's place.
pub const DQLITE: usize = 1;

/// Where the hands are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hand {
    Idle,
    /// About to look at the guard.
    Asked(Deed),
    /// The guard has passed, and nothing has happened yet. With the mark that was read.
    Ready(Deed, u8),
    /// The peer has been asked to stop, with this ticket.
    Waits(u8),
    /// It has answered.
    Answered(bool),
    /// What it is at is wanted no more; with the mark of one whose guard has passed. It may end early, or
    /// be done before it hears of that.
    Interrupted(Deed, Option<u8>),
}

/// Something, something about the link, and what Pacemaker asks.
pub const CHANGED: u8 = 1;
pub const LINK: u8 = 2;
pub const ASKS: u8 = 4;

/// The word that a handler has left. It stays until the machine is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Called {
    No,
    Left,
    /// The machine has heard of it.
    Heard,
}

/// One node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    pub on: bool,
    pub agent: Agent,
    /// The machine, by its id.
    pub machine: u64,
    pub hand: Hand,
    /// What happened that the machine has not heard of: [`CHANGED`], [`LINK`], [`ASKS`], together.
    pub unheard: u8,
    /// A handler of DRBD's wants this node demoted, and has left word of it.
    pub called: Called,
    pub woken: bool,
    /// The report that the peer may rely on, by its id; 0 where there is none yet.
    pub report: u64,
    pub ask_peer: Question,
    pub ask_pacemaker: bool,
    /// Asked, and in an older round.
    pub ask_promotion: Option<bool>,
    /// The way of the failover unit, and whether its process is connected to the agent.
    pub stage: Stage,
    pub connected: bool,
    pub hold: u8,
    /// It was told to leave because the voter is not healthy, or the start has failed.
    pub failed: bool,
    /// Pacemaker wants the voter here.
    pub wanted: bool,
    pub knows: Knows,
    /// The peer was seen since the boot.
    pub quorate: bool,
    pub constraint: Option<Constraint>,
    pub handler: Handler,
    pub suspended: bool,
    /// The resync onto this copy has not ended.
    pub partial: bool,
    /// DRBD calls this copy up to date: it has known the other's since the boot, or was told that there is
    /// none better.
    pub certain: bool,
    pub volume: Volume,
    /// Something was written here that the other copy lacks.
    pub ahead: bool,
    pub token: bool,
    pub services: bool,
    /// Which databases lead onto the volume.
    pub leads: [bool; 2],
    /// Empty until a role is handed to it.
    pub spare_log: Log,
    /// Whether a database may be started in its own directory: a spare that was made waits there.
    pub spare_made: bool,
    pub spare_epoch: [u8; 2],
    pub highest: u8,
    pub volume_seen: (u8, N),
    /// This node's own disk takes no change.
    pub full: bool,
    /// The databases' ports on the peer. They stay as they are when the agent is killed.
    pub ports: PeerPorts,
    /// The peer has asked this agent something since the link was lost, since Pacemaker has asked what it
    /// asks, and since either was off.
    pub answered: bool,
}

impl Node {
    pub fn mounted(&self) -> bool {
        self.on && self.stage >= Stage::Mounted
    }

    /// The failover unit's process holds the role.
    pub fn held(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Up)
    }

    pub fn primary(&self) -> bool {
        self.on && self.stage >= Stage::Primary
    }

    pub fn alive(&self) -> bool {
        self.on && self.agent == Agent::Runs
    }
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub nodes: [Node; 2],
    /// The cables: DRBD's, and the one for Corosync and ssh.
    pub cable: bool,
    pub network: bool,
    /// DRBD is connected.
    pub linked: bool,
    /// Onto which node a resync runs.
    pub syncing: Option<N>,
    /// DRBD has found a split brain.
    pub split: bool,
    /// The log of the last acknowledged write.
    pub acknowledged: Log,
    pub writes: u8,
    pub faults: u8,
    /// How often something may still happen before what would be next.
    pub delays: u8,
    pub marks: u8,
    pub tickets: u8,
    /// Whose CIB has what the other's lacks.
    pub newer: Option<N>,
    /// Whether Pacemaker can fence, and DRBD suspends writes until that is done.
    pub fencing: bool,
}

/// A mark that no constraint has any more.
pub const GONE: u8 = 9;

impl World {
    /// Whether one node's agent and Pacemaker can reach the other's machine.
    pub fn reaches(&self) -> bool {
        self.network && self.nodes[0].on && self.nodes[1].on
    }

    /// Whether k8s-dqlite on that node acknowledges writes, and from which log.
    pub fn serves(&self, n: N) -> Option<Log> {
        let node = &self.nodes[n];
        if !node.on || !node.services {
            return None;
        }
        let log = match node.leads[DQLITE] {
            true if !node.mounted() || node.suspended => return None,
            true => node.volume.log,
            false => node.spare_log,
        };
        let mut only = [false, false];
        only[n] = true;
        (log.votes() == only).then_some(log)
    }

    /// Changes the volume from its primary; DRBD takes it to the other copy.
    pub fn write(&mut self, n: N, change: impl FnOnce(&mut Volume)) {
        change(&mut self.nodes[n].volume);
        if self.linked && self.syncing.is_none() {
            self.nodes[other(n)].volume = self.nodes[n].volume;
        } else {
            self.nodes[n].ahead = true;
        }
    }

    /// A mark that nobody has read.
    pub fn mark(&mut self) -> u8 {
        self.marks = self.marks % 7 + 1;
        self.marks
    }

    /// Whether a change of the CIB comes to an end on that node: not while it counts the other as a member
    /// and does not reach it.
    pub fn cib(&self, n: N) -> bool {
        self.nodes[n].knows != Knows::Online || self.reaches()
    }

    /// Writes the CIB, as far as that node's half of the cluster reaches.
    pub fn constrain(&mut self, n: N, constraint: Option<Constraint>) {
        self.nodes[n].constraint = constraint;
        self.newer = Some(n);
        if self.reaches() && self.nodes[n].knows == Knows::Online {
            self.nodes[other(n)].constraint = constraint;
            self.newer = None;
        }
    }

    /// The same with its marks counted as they are met, and without those that nothing can match: what
    /// differs in nothing else is explored once.
    pub fn canonical(mut self) -> Self {
        let [a, b] = self.nodes.map(|n| n.constraint.map_or(0, |c| c.mark));
        let stands = |mark: u8| match mark {
            0 => Some(0),
            mark if mark == a => Some(1),
            mark if mark == b => Some(2),
            _ => None,
        };
        let name = |mark: u8| stands(mark).unwrap_or(GONE);
        for node in &mut self.nodes {
            if let Some(constraint) = &mut node.constraint {
                constraint.mark = name(constraint.mark);
            }
            node.handler.rename(stands);
            if let Hand::Ready(_, mark) | Hand::Interrupted(_, Some(mark)) = &mut node.hand {
                *mark = name(*mark);
            }
        }
        self.marks = 2;
        self
    }

    /// The agent ends: what was on its way to it is gone.
    pub fn agent_dies(&mut self, n: N, agent: Agent) {
        let node = &mut self.nodes[n];
        node.agent = agent;
        node.machine = 0;
        node.hand = Hand::Idle;
        node.unheard = 0;
        if node.called == Called::Heard {
            // The next agent finds it.
            node.called = Called::Left;
        }
        node.woken = false;
        node.report = 0;
        node.ask_peer = Question::None;
        node.ask_pacemaker = false;
        node.ask_promotion = None;
        node.connected = false;
        node.answered = false;
        // Whoever waits for its answer hears that the connection has ended.
        let peer = &mut self.nodes[other(n)].hand;
        if matches!(peer, Hand::Waits(_)) {
            *peer = Hand::Answered(false);
        }
    }

    pub fn power_off(&mut self, n: N) {
        let agent = match self.nodes[n].agent {
            Agent::Gone => Agent::Gone,
            Agent::Runs | Agent::Paused | Agent::Dead => Agent::Dead,
        };
        self.agent_dies(n, agent);
        let node = &mut self.nodes[n];
        node.on = false;
        node.stage = Stage::Secondary;
        node.failed = false;
        node.knows = Knows::Lost;
        node.quorate = false;
        node.handler = Handler::Quiet;
        node.certain = false;
        node.suspended = false;
        node.token = false;
        node.services = false;
        node.ports = PeerPorts::Open;
        self.nodes[other(n)].answered = false;
        self.unlink();
    }

    /// DRBD loses its connection.
    pub fn unlink(&mut self) {
        if !std::mem::replace(&mut self.linked, false) {
            return;
        }
        self.syncing = None;
        for node in &mut self.nodes {
            node.answered = false;
            if node.primary() {
                node.suspended = self.fencing;
                node.handler = Handler::called(false);
            }
        }
    }
}
