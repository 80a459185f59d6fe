//! The project's agent in a node, as the lab sees it: through `two-node-ha status`.

use crate::client::Lab;
use crate::cluster::Node;
use crate::supervisor::protocol::Event;
use crate::wait::{self, Seen};
use anyhow::Result;
use std::ops::Deref;
use std::time::{Duration, Instant};
use two_node_ha_planner::State;

/// `two-node-ha status --json`.
#[derive(Debug, Clone)]
pub struct Status(two_node_ha_protocol::control::Status);

impl Deref for Status {
    type Target = two_node_ha_protocol::control::Status;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Status {
    /// From what the command has printed.
    ///
    /// # Errors
    /// When it is no status.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }

    /// The voter, confirmed to work.
    #[must_use]
    pub fn is_voter(&self) -> bool {
        self.settled && self.state == State::PrimaryRunning
    }

    /// The spare.
    #[must_use]
    pub fn is_spare(&self) -> bool {
        self.settled && self.state == State::SecondaryRunning
    }

    /// In one line.
    #[must_use]
    pub fn words(&self) -> String {
        let settled = if self.settled {
            "settled"
        } else {
            "not settled"
        };
        let mut words = format!("{} ({settled}): {}", self.state, self.reasons.join("; "));
        if let Some(remedy) = &self.remedy {
            words += &format!("; to do: {remedy}");
        }
        words
    }
}

/// The agent's status now.
///
/// # Errors
/// When there is no agent, or its answer cannot be read.
pub fn status(lab: &Lab, node: Node) -> Result<Status> {
    let output = lab.try_run(
        node,
        &["two-node-ha", "status", "--json"],
        Duration::from_secs(30),
    )?;
    Status::read(&output.out).map_err(|_| {
        anyhow::anyhow!(
            "{node}: two-node-ha status: {}{}",
            output.out.trim(),
            output.err.trim()
        )
    })
}

/// Waits for a status of the agent. It is told of each change, so that waiting costs the node nothing.
///
/// # Errors
/// When it does not come in time; says what was seen last.
pub fn wait_for(
    lab: &Lab,
    node: Node,
    what: &str,
    limit: Duration,
    wanted: impl Fn(&Status) -> bool,
) -> Result<Status> {
    let start = Instant::now();
    let mut last = "no agent has answered".to_owned();
    wait::until(&format!("{what} on {node}"), limit, || {
        let left = limit
            .saturating_sub(start.elapsed())
            .max(Duration::from_secs(1));
        let mut found = None;
        let mut text = String::new();
        let watched = lab.stream(
            node,
            &["two-node-ha", "status", "--json", "--watch"],
            left,
            |_| {},
            |event| {
                match event {
                    Event::Out(data) => text.push_str(&String::from_utf8_lossy(&data)),
                    Event::Err(data) => last = String::from_utf8_lossy(&data).trim().to_owned(),
                    Event::Exit(_) | Event::Lost(_) => {}
                }
                while let Some((line, rest)) = text.split_once('\n') {
                    if let Ok(status) = Status::read(line) {
                        last = status.words();
                        if found.is_none() && wanted(&status) {
                            found = Some(status);
                        }
                    }
                    text = rest.to_owned();
                }
                found.is_none()
            },
        );
        match (found, watched) {
            (Some(status), _) => Ok(Seen::Ready(status)),
            // The agent is not there (yet, or just now): look again.
            (None, Ok(_)) => Ok(Seen::NotYet(last.clone())),
            (None, Err(error)) if start.elapsed() >= limit => {
                Ok(Seen::NotYet(format!("{last} ({error:#})")))
            }
            (None, Err(error)) => Err(error),
        }
    })
}

/// Waits until this node is the settled spare.
///
/// # Errors
/// As [`wait_for`].
pub fn spare(lab: &Lab, node: Node, limit: Duration) -> Result<Status> {
    wait_for(lab, node, "the spare", limit, Status::is_spare)
}

/// Which of the two is the settled voter; asks both that are on.
///
/// # Errors
/// When no node is the voter in time.
pub fn voter(lab: &Lab, limit: Duration) -> Result<Node> {
    wait::quietly("a voter", limit, || {
        let mut seen = Vec::new();
        for node in crate::cluster::NODES {
            match status(lab, node) {
                Ok(status) if status.is_voter() => return Ok(Seen::Ready(node)),
                Ok(status) => seen.push(format!("{node}: {}", status.words())),
                Err(error) => seen.push(format!("{error:#}")),
            }
        }
        Ok(Seen::NotYet(seen.join("; ")))
    })
}
