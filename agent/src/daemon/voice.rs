//! What an administrator is told of a decision: lines of the journal, and the status.

use two_node_ha_planner::machine::Standing;
use two_node_ha_planner::observation::{Asked, Known};
use two_node_ha_planner::{Decision, State};
use two_node_ha_protocol::control::Status;

/// Says everything once.
#[derive(Debug, Default)]
pub(super) struct Voice {
    /// The warnings that were said, each once until all is well.
    warned: Vec<String>,
    state: Option<State>,
}

impl Voice {
    /// Says what is new in a decision.
    pub(super) fn decided(&mut self, decision: &Decision) {
        self.warn(decision);
        if self.state != Some(decision.state) {
            announce(decision);
            self.state = Some(decision.state);
        }
    }

    /// Each warning goes into the journal once, until the agent has arrived without it; that, too,
    /// is worth a line.
    fn warn(&mut self, decision: &Decision) {
        if decision.settled {
            let before = self.warned.len();
            self.warned
                .retain(|warning| decision.warnings.contains(warning));
            if self.warned.len() < before {
                tracing::info!(
                    "the warning of before no longer holds: {}",
                    decision.reasons.join("; ")
                );
            }
        }
        for warning in &decision.warnings {
            if !self.warned.contains(warning) {
                tracing::warn!("{warning}");
                self.warned.push(warning.clone());
            }
        }
    }
}

fn announce(decision: &Decision) {
    let reasons = decision.reasons.join("; ");
    match &decision.remedy {
        Some(remedy) => tracing::error!(
            state = decision.state.name(),
            "{}: {reasons}. What to do: {remedy}",
            decision.state
        ),
        None => tracing::info!(
            state = decision.state.name(),
            "{}: {reasons}",
            decision.state
        ),
    }
}

/// For `systemctl status`.
pub(super) fn in_a_line(standing: &Standing) -> String {
    let decision = &standing.decision;
    match &standing.doing {
        Some(doing) => {
            let node = &standing.observation.node;
            format!("{}: {}", decision.state, doing.describe(node))
        }
        None => format!("{}: {}", decision.state, decision.reasons.join("; ")),
    }
}

/// For `two-node-ha status`.
pub(super) fn status(standing: &Standing) -> Status {
    let (o, d) = (&standing.observation, &standing.decision);
    Status {
        format: Status::VERSION,
        node: o.node.clone(),
        peer: o.peer.clone(),
        state: d.state,
        settled: d.settled,
        reasons: d.reasons.clone(),
        warnings: d.warnings.clone(),
        remedy: d.remedy.clone(),
        doing: standing.doing.as_ref().map(|doing| doing.describe(&o.node)),
        epoch: o.journal.highest_epoch,
        owner: match &o.epoch {
            Known::Present(epoch) => Some(epoch.owner.clone()),
            Known::Absent | Known::Unreadable(_) => None,
        },
        drbd: o.drbd.clone(),
        mount: o.mount.clone(),
        request: o.request,
        services: o.services,
        peer_state: match &o.peer_report {
            Asked::NotYet => "not asked".into(),
            Asked::Silent(why) => format!("silent: {why}"),
            Asked::Answer(report) if !standing.peer_tells_configuration => format!(
                "{} (epoch {}); of an older version, which does not tell its configuration",
                report.state, report.epoch
            ),
            Asked::Answer(report) => format!("{} (epoch {})", report.state, report.epoch),
        },
    }
}

/// What another node says, as it may stand in a line of the journal.
pub(super) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(300).map(plain).collect()
}
