//! What the sockets are asked about a split brain: how this node stands as one side of it, and the steps
//! of its resolution, which are the machine's to decide on and the worker's to take.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use two_node_ha_command::System;
use two_node_ha_planner::observation::Request;
use two_node_ha_planner::record::Resolution;
use two_node_ha_planner::split_brain::Side;
use two_node_ha_planner::split_brain::plan::Step;

use super::Event;
use super::shared::Shared;
use crate::observe::split_brain::{self as sides, Here};

/// How long a step may take, with what it has to wait for; the command gives up a little later.
const STEP: Duration = Duration::from_secs(110);
/// The copy reads the whole volume.
const COPY: Duration = Duration::from_secs(24 * 3600);

impl Shared {
    fn held(&self) -> Result<bool, String> {
        let (observation, _) = self
            .last()
            .ok_or_else(|| format!("the agent on {} has only just started", self.node.name))?;
        Ok(self.request() != Request::None || observation.failover_unit)
    }

    fn here(&self) -> Here<'_> {
        Here {
            config: &self.config,
            paths: &self.paths,
            node: &self.node.name,
        }
    }

    /// This node as one side of a split brain.
    ///
    /// # Errors
    /// While the agent has only just started.
    pub(super) fn side(&self, logs: bool) -> Result<Side, String> {
        Ok(sides::side(self.here(), &System::new(), self.held()?, logs))
    }

    /// Has a step of a resolution taken on this node, and waits for that.
    ///
    /// # Errors
    /// What kept it from being taken, in words.
    pub(super) fn resolve(&self, step: Step, resolution: Resolution) -> Result<(), String> {
        let within = if step == Step::Copy { COPY } else { STEP };
        let (reply, done) = channel();
        self.send(Event::Resolve {
            step,
            resolution: Box::new(resolution),
            reply,
        });
        match done.recv_timeout(within) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("the agent on {} is ending", self.node.name))
            }
            Err(RecvTimeoutError::Timeout) => {
                let doing = self.status().and_then(|status| status.doing);
                Err(format!(
                    "the agent on {} is still busy after {} s{}",
                    self.node.name,
                    within.as_secs(),
                    doing.map_or_else(String::new, |doing| format!(": it is to {doing}"))
                ))
            }
        }
    }
}
