//! What a node is, what it does next, and why.

use serde::{Deserialize, Serialize};

use crate::step::Step;

/// The states of DESIGN, as `status` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing is known yet.
    Probing,
    /// On the way to being the voter; nothing of the databases was changed yet.
    PrimaryPrep,
    /// The databases are being moved or recovered, or their services are starting.
    Recovering,
    /// The voter runs here and was confirmed to work.
    PrimaryRunning,
    /// Leaving the volume.
    Draining,
    /// Waiting for a voter on the peer.
    SecondaryWait,
    /// Becoming the spare of the peer's epoch.
    Syncing,
    /// The spare runs here.
    SecondaryRunning,
    /// Going on could lose data or cannot work; a person has to look.
    Blocked,
}

impl State {
    /// The word for people and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::PrimaryPrep => "primary-prep",
            Self::Recovering => "recovering",
            Self::PrimaryRunning => "primary-running",
            Self::Draining => "draining",
            Self::SecondaryWait => "secondary-wait",
            Self::Syncing => "syncing",
            Self::SecondaryRunning => "secondary-running",
            Self::Blocked => "blocked",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the agent makes of an observation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// What this node is.
    pub state: State,
    /// What it does next, in this order; empty when there is nothing to do but wait.
    pub steps: Vec<Step>,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// What is not as it should be, although it stops nothing.
    pub warnings: Vec<String>,
    /// With [`State::Blocked`]: what to do about it.
    pub remedy: Option<String>,
    /// With [`State::Blocked`]: whether the other node may well be able to be the voter, so that
    /// Pacemaker should hear of it at once.
    #[serde(default)]
    pub only_here: bool,
    /// Whether the agent has arrived: nothing to do, nothing to wait for, no timer.
    pub settled: bool,
}

impl Decision {
    /// Steps to take.
    pub(crate) fn act(state: State, steps: Vec<Step>, reason: impl Into<String>) -> Self {
        Self::new(state, steps, reason.into(), None, false)
    }

    /// Nothing to do until something changes; the agent looks again now and then.
    pub(crate) fn wait(state: State, reason: impl Into<String>) -> Self {
        Self::new(state, Vec::new(), reason.into(), None, false)
    }

    /// Where it should be.
    pub(crate) fn settled(state: State, reason: impl Into<String>) -> Self {
        Self::new(state, Vec::new(), reason.into(), None, true)
    }

    /// A person has to look.
    pub(crate) fn blocked(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(
            State::Blocked,
            Vec::new(),
            reason.into(),
            Some(remedy.into()),
            false,
        )
    }

    fn new(
        state: State,
        steps: Vec<Step>,
        reason: String,
        remedy: Option<String>,
        settled: bool,
    ) -> Self {
        Self {
            state,
            steps,
            reasons: vec![reason],
            warnings: Vec::new(),
            remedy,
            only_here: false,
            settled,
        }
    }

    /// Blocked on this node, for a reason that does not hold for the other.
    pub(crate) fn only_here(mut self) -> Self {
        self.only_here = true;
        self
    }

    pub(crate) fn warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(reason.into());
        self
    }
}
