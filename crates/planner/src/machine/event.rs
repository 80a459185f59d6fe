//! What goes into a [`Machine`](super::Machine), and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use two_node_ha_config::Facts;

use crate::database::Database;
use crate::decision::Decision;
use crate::observation::{
    Directories, Drbd, Known, Mount, MountPoint, Observation, PeerNode, Promotion, Request,
    Services,
};
use crate::record::{Epoch, Journal, Owned, Resolution};
use crate::report::Report;
use crate::split_brain::plan as resolve;
use crate::step::Step;

/// A moment: how long ago the agent started, by a clock that never goes back.
pub type Moment = Duration;

/// Whoever waits for an answer.
pub type Ticket = u64;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Something on this node changed: a unit, a mount, DRBD, a hold, a hook's event.
    Changed,
    /// Something about the replication link or the peer's disk did, or DRBD called a handler: a
    /// constraint may have come or gone, even where everything is as before by now.
    LinkChanged,
    /// The peer's agent has asked something, whatever it was: it lives.
    PeerHeard,
    /// The peer's agent says that something changed there.
    PeerWoke,
    /// The peer tells what its configuration is.
    PeerConfiguration(Facts),
    /// How the peer stands, or why that is not known.
    PeerAnswered(Result<Box<Report>, String>),
    /// Pacemaker's answer about the peer.
    PacemakerAnswered(Result<PeerNode, String>),
    /// Pacemaker's answer about the promotion of both nodes.
    PromotionAnswered {
        /// The round in which it was asked.
        round: u64,
        /// The answer, or why there is none.
        answer: Result<Promotion, String>,
    },
    /// The peer is about to be the voter of a volume of that epoch and asks for the databases to be
    /// stopped.
    StopSpare {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The peer, by its own word.
        node: String,
        /// The epoch that the volume has there.
        epoch: u64,
    },
    /// A step of a split brain's resolution is asked for, by the operator's command here or through the
    /// peer.
    Resolve {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The step.
        step: resolve::Step,
        /// The resolution that it is a step of, as the command has seen it.
        resolution: Box<Resolution>,
    },
    /// What Pacemaker asks has changed to this: a hold has begun, is to be released, or has ended.
    Asks(Request),
    /// A read of the datastore, made as [`Action::Watch`] says, came back.
    DatastoreAnswered {
        /// The round of [`Watch::Running`] in which it began.
        round: u64,
        /// Why there was no answer, if there was none.
        answer: Result<(), String>,
        /// It answered, and raft says that the voter is another node.
        elsewhere: bool,
    },
    /// A handler of DRBD's was called, and has left word of it.
    Handler {
        /// What [`Action::Heard`] comes back with.
        ticket: Ticket,
        /// Its name.
        handler: String,
        /// What it wants of the agent.
        wants: Wants,
        /// How long ago it was called.
        age: Duration,
    },
}

/// What a handler of DRBD's wants of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wants {
    /// That it is known.
    Nothing,
    /// That both nodes add to the evidence of a split brain what a handler cannot have.
    Evidence,
    /// That Pacemaker takes the primary away from this node, which has lost something.
    Demotion,
}

/// What the eyes see: an [`Observation`] without what the machine knows by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sight {
    /// See [`Observation`].
    pub drbd: Drbd,
    /// See [`Observation`].
    pub mount: Mount,
    /// See [`Observation`].
    pub mount_point: MountPoint,
    /// What Pacemaker asks.
    pub request: Request,
    /// Which hold it is that asks; another one is another start of the failover unit.
    pub hold: Option<u64>,
    /// See [`Observation`].
    pub failover_unit: bool,
    /// See [`Observation`].
    pub shutting_down: bool,
    /// See [`Observation`].
    pub epoch: Known<Epoch>,
    /// See [`Observation`].
    pub volume_silent: bool,
    /// Whether a handler of DRBD's is at work.
    pub handler_at_work: bool,
    /// Whether there is a mark of a disconnecting by this node's agent, whatever has become of that.
    pub own_disconnect: bool,
    /// See [`Observation`].
    pub journal: Journal,
    /// See [`Observation`].
    pub databases: BTreeMap<Database, Directories>,
    /// See [`Observation`].
    pub services: Services,
    /// The other services that may run and do not, by name, as they are at the moment.
    pub down: BTreeSet<String>,
    /// See [`Observation`].
    pub token: bool,
    /// The resolution of a split brain that this node has noted.
    pub resolution: Known<Resolution>,
    /// Whether DRBD has reported a split brain that nobody has resolved; not looked for while it is
    /// connected.
    pub split_brain_reported: bool,
}

/// What the hands are to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Task {
    /// A step of a plan.
    Take(Step),
    /// Stop the databases, for a peer that is about to be the voter.
    StopForPeer,
    /// Take a step of a split brain's resolution.
    Resolve(resolve::Step, Box<Resolution>),
    /// Have Pacemaker take the primary away from this node, as this handler wants.
    Demote(String),
}

impl Task {
    /// In words, with the node that it is done on.
    #[must_use]
    pub fn describe(&self, node: &str) -> String {
        match self {
            Self::Take(step) => step.describe(),
            Self::StopForPeer => "stop the k8s services for the peer".into(),
            Self::Resolve(step, resolution) => step.describe(node, &resolution.loser),
            Self::Demote(handler) => {
                format!("have Pacemaker take the primary away from {node}, as {handler} wants")
            }
        }
    }
}

/// What a task told, beyond having been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing.
    Done,
    /// The voter here works.
    VoterConfirmed,
    /// The peer's databases are stopped.
    PeerStopped,
    /// DRBD is asking its fence-peer handler.
    FencePeerAsked,
    /// A fencing constraint is gone.
    ConstraintRemoved,
    /// The peer's logs are on the volume.
    LogsFetched,
    /// Pacemaker has fenced the peer.
    PeerFenced,
}

/// Of what kind a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It gave way to a release, and has not failed.
    Interruption,
    /// Its guard refused: the world is not as the plan saw it.
    Guard,
    /// The peer did not answer, or said no.
    Peer,
    /// This node's own disk, or the volume, takes no change.
    Disk,
    /// Anything else.
    Other,
}

/// Why a task was not done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// Of what kind it is.
    pub kind: Kind,
    /// Whether systemd is on its way down, and refuses to start anything.
    pub shutting_down: bool,
    /// The error in words.
    pub error: String,
    /// What could not be done, and why, with what is known of full disks.
    pub why: String,
}

/// How the reads of the datastore are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watch {
    /// No voter runs here, or it was not confirmed: what was counted is forgotten.
    None,
    /// It runs, and cannot be blamed for not answering: its volume stands still, or a step is being
    /// taken. A read that is under way does not count either.
    Excused,
    /// It runs and has to answer.
    Running {
        /// To come back with each answer.
        round: u64,
        /// Which answers are worth waking anybody for.
        news: News,
    },
}

/// Which answers of the datastore change anything. Only these are told: an answer like all before it
/// wakes nobody, so that a settled agent sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum News {
    /// The last read was answered: only a miss, or an answer while raft names another voter.
    Misses,
    /// Misses are being counted: any answer.
    Any,
}

/// How this node's own new connections to the databases' ports on the peer end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PeerPorts {
    /// As the network has it.
    #[default]
    Open,
    /// They are refused on this node, at once: there is nobody at the other end.
    Refused,
}

/// What the failover unit is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ToHolder {
    /// The voter works.
    Working,
    /// This node cannot be the voter: why.
    Unhealthy(String),
    /// The volume is free.
    Released,
}

/// How the node stands, for everybody who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Standing {
    /// What it sees.
    pub observation: Observation,
    /// What it makes of it.
    pub decision: Decision,
    /// What is being done right now.
    pub doing: Option<Task>,
    /// What the peer may rely on.
    pub report: Report,
    /// Whether the peer has told its configuration.
    pub peer_tells_configuration: bool,
}

/// Something for the journal that no decision says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Remark {
    /// The steps were taken, and nothing that can be seen is different.
    NothingChanged(Vec<Step>),
    /// The peer has had this node fenced: why.
    WasFenced(String),
    /// The peer is about to be the voter, and this node stops for it.
    StopsForPeer,
    /// What this handler told of is too long ago to take the primary away for it.
    TooLate(String),
    /// This node is not primary any more: there is nothing to take away, as this handler wants.
    NotPrimary(String),
}

/// What is to be done now. Those that need no answer are done in their order, before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look, and answer by [`Machine::seen`](super::Machine::seen).
    Look,
    /// Do it, and answer by [`Machine::done`](super::Machine::done).
    Do(Task),
    /// What is being done is wanted no more: whatever of it can end early is to end.
    Interrupt,
    /// Ask the peer; the answer is [`Event::PeerAnswered`].
    AskPeer,
    /// Ask Pacemaker about the peer; the answer is [`Event::PacemakerAnswered`].
    AskPacemaker,
    /// Ask Pacemaker about both nodes; the answer is [`Event::PromotionAnswered`].
    AskPromotion {
        /// The round, to come back with the answer.
        round: u64,
    },
    /// Tell the peer that something changed here.
    WakePeer,
    /// Tell the failover unit.
    Tell(ToHolder),
    /// Keep in mind whose the volume is. It need not succeed.
    NoteVolume(Owned),
    /// Take the mark of this node's own disconnecting away: DRBD looks for its peer again. It need not
    /// succeed.
    ForgetOwnDisconnect,
    /// Add to the evidence of a split brain what both agents say. Nothing waits for it.
    CompleteEvidence,
    /// The word that a handler has left, by its ticket, is done with.
    Heard(Ticket),
    /// How the datastore is read from now on.
    Watch(Watch),
    /// The databases' ports on the peer are like this from now on. What an earlier agent has left is gone
    /// before the machine begins. It need not succeed.
    PeerPorts(PeerPorts),
    /// Show this to everybody who asks.
    Publish(Box<Standing>),
    /// Nothing may be promised to the peer any more as a voter, until the next [`Action::Publish`].
    Retract,
    /// The databases are stopped, before the next [`Action::Publish`] says so.
    DatabasesStopped,
    /// Answer whoever waits with this ticket.
    Answer(Ticket, Result<(), String>),
    /// Say it in the journal.
    Say(Remark),
}
