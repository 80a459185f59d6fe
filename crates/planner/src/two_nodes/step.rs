//! One step of the world: what happened, what came of it, and what must never come of it.

use super::handler;
use super::model::*;
use crate::machine::PeerPorts;

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    TwoVoters,
    /// A voter serves or starts without a write that was acknowledged.
    StartedBehind(N),
    /// A link, a log or the record is changed under a database that runs.
    ChangedBeneath,
    UnmountedBeneath(N),
    LeadsToNothing,
    RunsOnNothing(N),
    SplitBrain,
    /// The ports of a peer that was heard stay refused, which keeps it from being let back in.
    RefusedAlthoughHeard(N),
    /// Nobody becomes the voter any more, although nothing is in the way.
    NoVoter,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Did {
    Began(N, Deed),
    Done(N, Deed),
    Failed(N, Deed),
    GaveWay(N, Deed),
    Called(N),
    AskedToStop(N),
    Hears(N),
    Woken(N),
    LooksAgain(N),
    LosesPatience(N),
    AskIsRead(N),
    AskIsLost(N),
    ReportComes(N),
    SilenceComes(N),
    PacemakerAnswers(N),
    PromotionAnswered(N),
    Connects(N),
    WayDown(N),
    StartTimesOut(N),
    UnitFails(N),
    StopTimesOut(N),
    Promoted(N),
    Mounted(N),
    UnitStarts(N),
    UnitStops(N),
    Unmounted(N),
    Demoted(N),
    Wanted(N),
    FailureForgotten(N),
    Misses(N),
    Fences(N),
    Joined,
    Boots(N),
    AgentStarts(N),
    Resumes(N),
    CablesBack,
    Linked,
    Synced,
    Promotes(N),
    HandlerLooks(N),
    HandlerRunsOut(N),
    Handler(N, handler::Deed),
    HandlerUnanswered(N, handler::Deed),
    Writes(N),
    Freed(N),
    // The faults.
    PowerCut(N),
    AgentKilled(N),
    AgentGone(N),
    Paused(N),
    LinkLost,
    Partition,
    Sigterm(N),
    Full(N),
    Move(N),
    LosesSomething(N),
    AnswerIsLost(N),
    AskedAgain(N),
}

impl Did {
    /// Whether it is one of the faults, or an operator's command, of which there are only so many.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Self::PowerCut(_)
                | Self::AgentKilled(_)
                | Self::AgentGone(_)
                | Self::Paused(_)
                | Self::LinkLost
                | Self::Partition
                | Self::Sigterm(_)
                | Self::Full(_)
                | Self::Move(_)
                | Self::LosesSomething(_)
                | Self::AnswerIsLost(_)
                | Self::AskedAgain(_)
        )
    }
}

/// A world one step away.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    pub did: Did,
    pub world: World,
    pub broken: Option<Broken>,
}

impl Next {
    pub fn of(did: Did, world: World) -> Self {
        Self {
            did,
            world,
            broken: None,
        }
    }
}

impl World {
    /// What is not as it must be in this world, whatever comes next.
    pub fn broken(&self) -> Option<Broken> {
        let [a, b] = [0, 1].map(|n| self.serves(n));
        if a.is_some() && b.is_some() {
            return Some(Broken::TwoVoters);
        }
        for (n, log) in [a, b].into_iter().enumerate() {
            if log.is_some_and(|log| !log.starts_with(&self.acknowledged)) {
                return Some(Broken::StartedBehind(n));
            }
        }
        for (n, node) in self.nodes.iter().enumerate() {
            if node.services && node.leads[DQLITE] && !node.mounted() {
                return Some(Broken::RunsOnNothing(n));
            }
            // An agent that has heard of everything has heard of the link.
            let idle = node.alive() && node.hand == Hand::Idle && node.unheard == 0;
            let heard = node.alive() && node.answered || idle && self.linked;
            if heard && node.ports == PeerPorts::Refused {
                return Some(Broken::RefusedAlthoughHeard(n));
            }
        }
        self.split.then_some(Broken::SplitBrain)
    }
}
