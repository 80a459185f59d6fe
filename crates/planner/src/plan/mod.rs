//! From an [`Observation`] to a [`Decision`]: what this node is, what it does next, and why.
//!
//! [`plan`] is pure: no clock, no disk, no network. It is asked again after every step, with a
//! fresh observation, so a step it names later in the list is an announcement and not a promise.
//! That is what makes a crash at any point harmless: nothing is remembered but what can be seen.

mod ahead;
pub mod configuration;
mod drain;
mod evidence;
mod health;
mod peer_is_no_voter;
mod rest;
mod spare;
mod stale_constraint;
mod suspended_io;
#[cfg(test)]
mod tests;
mod voter;
mod warnings;

use two_node_ha_config::Config;

use crate::decision::{Decision, State};
use crate::step::{Step, Target};

use crate::observation::{Known, LinkTarget, Observation, Request, Services};

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
            Request::None if on_volume(o) && o.services.may_write() => {
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
        stale_constraint::meanwhile(o, &mut decision);
    }
    rest::plan(o, &mut decision);
    configuration::warn(o, &mut decision);
    warnings::warn(o, config, &mut decision);
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
    o.databases
        .values()
        .any(|d| d.leads == LinkTarget::ToVolume)
}

/// The step that stops the services, where one that writes a database runs or could, or one runs that
/// must not see the databases change beneath it.
fn stop_if_needed(o: &Observation) -> Option<Step> {
    (o.services.may_write() || o.token || has_seen_another_volume(o)).then_some(Step::StopServices)
}

/// Whether an API server may still run here that has served from the volume, of which somebody else is
/// the owner by now: what it has cached may have been discarded since. (The agent did not run when this
/// node left the volume: else it would have been stopped then.) On the way down nothing waits for it.
fn has_seen_another_volume(o: &Observation) -> bool {
    let mine = matches!(&o.epoch, Known::Present(epoch) if epoch.owner == o.node);
    o.services == Services::Others
        && on_volume(o)
        && match o.request {
            Request::Hold | Request::None => !mine,
            Request::Release => false,
        }
}
