//! What goes into a [`Machine`](super::Machine), and what comes out of it.

use std::collections::BTreeMap;
use std::time::Duration;

use two_node_ha_config::Facts;

use crate::database::Database;
use crate::decision::Decision;
use crate::observation::{
    Directories, Drbd, Health, Known, Mount, MountPoint, Observation, PeerNode, Promotion, Request,
    Services, SplitBrain,
};
use crate::record::{Epoch, Journal, Owned};
use crate::report::Report;
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
    /// The epochs above this one are given up by the operator's word.
    Forget {
        /// Who waits for the answer.
        ticket: Ticket,
        /// The highest that stays.
        epoch: u64,
    },
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
    /// See [`Observation`].
    pub own_disconnect: bool,
    /// See [`Observation`].
    pub journal: Journal,
    /// See [`Observation`].
    pub databases: BTreeMap<Database, Directories>,
    /// See [`Observation`].
    pub services: Services,
    /// See [`Observation`].
    pub token: bool,
    /// How the reads of the datastore went that are made as [`Action::Watch`] says.
    pub health: Health,
    /// See [`Observation`].
    pub split_brain: Option<SplitBrain>,
}

/// What the hands are to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Task {
    /// A step of a plan.
    Take(Step),
    /// Stop the databases, for a peer that is about to be the voter.
    StopForPeer,
    /// Forget the epochs above this one.
    Forget(u64),
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
    Running,
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
    pub doing: Option<Step>,
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
}

/// What is to be done now. Those that need no answer are done in their order, before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look, and answer by [`Machine::seen`](super::Machine::seen).
    Look,
    /// Do it, and answer by [`Machine::done`](super::Machine::done).
    Do(Task),
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
    /// How the datastore is read from now on.
    Watch(Watch),
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
