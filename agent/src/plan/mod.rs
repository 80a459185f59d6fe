//! From an [`Observation`] to a [`Decision`]: what this node is, what it does next, and why.
//!
//! [`plan`] is pure: no clock, no disk, no network. It is asked again after every step, with a
//! fresh observation, so a step it names later in the list is an announcement and not a promise.
//! That is what makes a crash at any point harmless: nothing is remembered but what can be seen.

pub mod configuration;
mod drain;
mod evidence;
mod frozen;
mod health;
mod peer;
mod reason;
mod spare;
mod step;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;
mod voter;

use serde::{Deserialize, Serialize};
use two_node_ha_config::Config;

pub use step::{Step, Target};

use crate::observe::{Leads, Observation, Request, Services};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    fn act(state: State, steps: Vec<Step>, reason: impl Into<String>) -> Self {
        Self::new(state, steps, reason.into(), None, false)
    }

    /// Nothing to do until something changes; the agent looks again now and then.
    fn wait(state: State, reason: impl Into<String>) -> Self {
        Self::new(state, Vec::new(), reason.into(), None, false)
    }

    /// Where it should be.
    fn settled(state: State, reason: impl Into<String>) -> Self {
        Self::new(state, Vec::new(), reason.into(), None, true)
    }

    /// A person has to look.
    fn blocked(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
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
    fn only_here(mut self) -> Self {
        self.only_here = true;
        self
    }

    fn warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    fn because(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(reason.into());
        self
    }
}

/// Decides.
#[must_use]
pub fn plan(o: &Observation, config: &Config) -> Decision {
    let mut decision = if o.journal.node != o.node {
        Decision::blocked(
            format!(
                "the journal on this disk was written by {}, and this is {}",
                o.journal.node, o.node
            ),
            "this disk is a copy of the other node's: move /var/lib/two-node-ha/journal.json away \
             only if you know that this node has no database of its own",
        )
    } else {
        match o.request {
            Request::Release => drain::plan(o),
            // systemd stops the services now, and would refuse to start one. Pacemaker, which is
            // being stopped too, asks for the volume in a moment.
            Request::Hold if o.shutting_down => Decision::wait(
                State::Draining,
                "the machine is shutting down; Pacemaker is about to take the voter role away",
            ),
            Request::Hold => voter::plan(o, config),
            Request::None if on_volume(o) && o.services != Services::Stopped => {
                if o.failover_unit {
                    Decision::wait(
                        State::PrimaryPrep,
                        "the failover unit runs, and is about to tell the agent so",
                    )
                } else {
                    // Services on the volume that nobody holds any more: the failover unit has
                    // died, and Pacemaker may unmount at any moment.
                    drain::plan(o)
                }
            }
            Request::None if o.shutting_down => Decision::wait(
                State::SecondaryWait,
                "the machine is shutting down; nothing is started any more",
            ),
            Request::None => spare::plan(o, config),
        }
    };
    // Nothing is to hold up the way down.
    if o.request != Request::Release && !o.shutting_down {
        sweep::meanwhile(o, &mut decision);
    }
    configuration::warn(o, &mut decision);
    reason::warn(o, config, &mut decision);
    stumbled(o, &mut decision);
    decision
}

/// A node that is not where it should be says what has kept it from there, beside what it does next.
fn stumbled(o: &Observation, decision: &mut Decision) {
    if let Some(why) = o.stumbled.as_ref().filter(|_| !decision.settled) {
        let mut said = decision.reasons.iter().chain(&decision.warnings);
        if !said.any(|said| said.contains(why)) {
            decision.warnings.push(why.clone());
        }
    }
}

/// Whether any state directory leads onto the volume.
fn on_volume(o: &Observation) -> bool {
    o.databases.values().any(|d| d.leads == Leads::ToVolume)
}

/// The step that stops the services, where any runs or could.
fn stop_if_needed(o: &Observation) -> Option<Step> {
    (o.services != Services::Stopped || o.token).then_some(Step::StopServices)
}
