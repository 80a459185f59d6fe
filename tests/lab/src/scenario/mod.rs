//! What the lab proves: a table of scenarios, each in a file of its own.
//!
//! They are taken in the order of the table by as many labs as there are lanes (see [`crate::lanes`]),
//! and each leaves a healthy cluster behind: voter and spare settled, no partition. None relies on
//! another one having run before it.

mod boot_delay;
mod broken_config;
mod constraint_only;
mod copy_refused;
mod damaged_log;
mod disk_fails;
mod fenced_late;
mod fencing;
mod fencing_fails;
mod first_start;
mod full_disk;
mod full_spare;
mod handler_hangs;
mod handover;
mod hooks;
mod idle_agent;
mod k8sd_never_up;
pub mod link;
mod link_flaps;
mod lone_voter;
mod move_back;
mod nothing_left;
mod partition;
mod paused_agent;
mod ports;
mod power_cut;
mod return_as_spare;
pub mod service;
mod services_gated;
mod shutdown_order;
mod silent_agent;
mod slow_and_full;
mod spare_dies;
mod split_brain;
mod stubborn;
mod typo;
mod wedged;

pub use lone_voter::neighbours;
pub use return_as_spare::{in_sync, switch_on};

use crate::agent;
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::writer::{Ack, missing};
use crate::places::Places;
use crate::supervisor::protocol::Status;
use crate::{form, members, up};
use anyhow::{Context as _, Result, bail, ensure};
use std::time::Duration;

/// How long a cluster may take to settle. A time-out, not a goal.
pub const SETTLE: Duration = Duration::from_secs(420);

/// A short command in a node.
pub const COMMAND: Duration = Duration::from_secs(60);

/// One scenario.
pub struct Scenario {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// The sentence that it proves.
    pub proves: &'static str,
    run: fn(&mut Stage) -> Result<()>,
}

/// How much of a scenario that repeats something is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// What CI has time for.
    Smoke,
    /// All of it.
    Campaign,
}

impl Length {
    /// The one number or the other.
    #[must_use]
    pub const fn choose(self, smoke: u32, campaign: u32) -> u32 {
        match self {
            Self::Smoke => smoke,
            Self::Campaign => campaign,
        }
    }
}

/// All of them, in the order in which they are taken: what the product is for comes first, and long
/// ones before short ones, so that all lanes end at about the same time.
pub static SCENARIOS: [Scenario; 32] = [
    first_start::SCENARIO,
    power_cut::SCENARIO,
    silent_agent::SCENARIO,
    handover::SCENARIO,
    lone_voter::SCENARIO,
    k8sd_never_up::SCENARIO,
    damaged_log::SCENARIO,
    split_brain::SCENARIO,
    full_disk::SCENARIO,
    full_spare::SCENARIO,
    typo::SCENARIO,
    disk_fails::SCENARIO,
    link_flaps::SCENARIO,
    paused_agent::SCENARIO,
    fenced_late::SCENARIO,
    fencing_fails::SCENARIO,
    wedged::SCENARIO,
    return_as_spare::SCENARIO,
    spare_dies::SCENARIO,
    partition::SCENARIO,
    handler_hangs::SCENARIO,
    constraint_only::SCENARIO,
    copy_refused::SCENARIO,
    slow_and_full::SCENARIO,
    services_gated::SCENARIO,
    boot_delay::SCENARIO,
    shutdown_order::SCENARIO,
    broken_config::SCENARIO,
    stubborn::SCENARIO,
    move_back::SCENARIO,
    idle_agent::SCENARIO,
    nothing_left::SCENARIO,
];

/// What takes longer than CI has time for, beside what it has seen already: run by `campaign`, and by
/// `smoke` where they are named.
const CAMPAIGN_ONLY: [&str; 3] = [
    silent_agent::SCENARIO.name,
    full_disk::SCENARIO.name,
    full_spare::SCENARIO.name,
];

/// What scenarios work on.
pub struct Stage {
    /// The running lab.
    pub lab: Lab,
    /// Every write that was ever acknowledged: none may be missing at any later time.
    pub acks: Vec<Ack>,
    /// How much is to be repeated.
    pub length: Length,
    /// Whether the resources are loaded into Pacemaker.
    started: bool,
}

impl Stage {
    /// A lab that is up, with nothing in it yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn raise(places: &Places, plan: &up::Plan, length: Length) -> Result<Self> {
        Ok(Self {
            lab: up::bring(places, plan)?,
            acks: Vec::new(),
            length,
            started: false,
        })
    }

    /// Loads the resources into Pacemaker, unless that was done, and waits until both nodes are what
    /// they are to be.
    ///
    /// # Errors
    /// When they do not get there.
    pub fn settle(&mut self) -> Result<()> {
        if !self.started {
            form::first_start(&self.lab)?;
            self.started = true;
        }
        let voter = agent::voter(&self.lab, SETTLE)?;
        agent::spare(&self.lab, voter.peer(), SETTLE)?;
        self.check_writes()
    }

    /// Every acknowledged write is there, on both nodes.
    ///
    /// # Errors
    /// When one is not.
    pub fn check_writes(&self) -> Result<()> {
        if self.acks.is_empty() {
            return Ok(());
        }
        let supervisor = self.lab.status()?.supervisor;
        for node in NODES {
            let lost = missing(supervisor, node, &self.acks)?;
            if !lost.is_empty() {
                bail!(
                    "{node} lost {} of {} acknowledged writes, {} the first",
                    lost.len(),
                    self.acks.len(),
                    lost[0]
                );
            }
        }
        eprintln!(
            "none of {} acknowledged writes is lost, on either node",
            self.acks.len()
        );
        Ok(())
    }
}

/// The cluster is whole again: both nodes are members, both copies equal, no constraint of a handler
/// is left, the voter is where it was, its peer the spare, and so many nodes were fenced since then.
fn whole_again(lab: &Lab, voter: Node, before: &Status, fencings: usize) -> Result<()> {
    members::united(lab, SETTLE)?;
    in_sync(lab, voter)?;
    link::none_left(lab, voter)?;
    agent::spare(lab, voter.peer(), SETTLE)?;
    let now = agent::voter(lab, SETTLE)?;
    ensure!(now == voter, "the voter moved from {voter} to {now}");
    let since = lab.status()?.fencings.split_off(before.fencings.len());
    ensure!(
        since.len() == fencings,
        "{fencings} nodes were to be fenced, and these were: {since:?}"
    );
    Ok(())
}

/// Runs it on the stage, raised or settled before as it needs.
///
/// # Errors
/// When the cluster does not settle before it, or what it proves does not hold.
pub fn play(scenario: &Scenario, stage: &mut Stage) -> Result<()> {
    // The first start has to see the cluster before it; all others a settled one.
    let prepared = if scenario.name == first_start::SCENARIO.name {
        Ok(())
    } else {
        stage.settle()
    };
    prepared
        .context("before the scenario itself")
        .and_then(|()| (scenario.run)(stage))
}

/// The one with this name.
///
/// # Errors
/// When there is none; says which there are.
pub fn find(name: &str) -> Result<&'static Scenario> {
    SCENARIOS.iter().find(|s| s.name == name).with_context(|| {
        let names: Vec<&str> = SCENARIOS.iter().map(|s| s.name).collect();
        format!(
            "no scenario is called {name:?}; there are: {}",
            names.join(", ")
        )
    })
}

/// Those with these names, or all, in the order of the table.
///
/// # Errors
/// When a name is unknown.
pub fn choose(only: &[String], length: Length) -> Result<Vec<&'static Scenario>> {
    only.iter().try_for_each(|name| find(name).map(drop))?;
    let wanted = |scenario: &Scenario| match (only.is_empty(), length) {
        (false, _) => only.iter().any(|name| name == scenario.name),
        (true, Length::Campaign) => true,
        (true, Length::Smoke) => !CAMPAIGN_ONLY.contains(&scenario.name),
    };
    Ok(SCENARIOS.iter().filter(|s| wanted(s)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scenario_is_found_by_its_name_and_fits_its_column() {
        for scenario in &SCENARIOS {
            let found = find(scenario.name).unwrap();
            assert!(std::ptr::eq(found, scenario), "{} twice", scenario.name);
            assert!(scenario.name.len() <= 16, "{}", scenario.name);
        }
    }

    #[test]
    fn the_first_start_is_taken_by_a_fresh_lab_and_what_ends_a_lab_comes_last() {
        assert_eq!(SCENARIOS[0].name, first_start::SCENARIO.name);
        assert_eq!(
            SCENARIOS[SCENARIOS.len() - 1].name,
            nothing_left::SCENARIO.name
        );
    }

    #[test]
    fn scenarios_asked_for_run_in_the_order_of_the_table() {
        let chosen = choose(
            &["planned-move".to_owned(), "first-start".to_owned()],
            Length::Smoke,
        )
        .unwrap();
        let names: Vec<&str> = chosen.iter().map(|s| s.name).collect();
        assert_eq!(names, ["first-start", "planned-move"]);
        assert!(choose(&["no-such".to_owned()], Length::Smoke).is_err());
        // What CI has no time for is there by its name, and in a campaign.
        let all = |length| choose(&[], length).unwrap().len();
        assert_eq!(all(Length::Campaign), SCENARIOS.len());
        assert_eq!(all(Length::Smoke), SCENARIOS.len() - CAMPAIGN_ONLY.len());
        for name in CAMPAIGN_ONLY {
            let named = choose(&[name.to_owned()], Length::Smoke).unwrap();
            assert_eq!(named.len(), 1);
        }
    }
}
