//! What the commands on this node and the agent say to each other over `agent.sock`: lines of
//! JSON, one request a connection; a hold lives as long as its connection.

use serde::{Deserialize, Serialize};
use two_node_ha_planner::observation::{Drbd, Mount, Observation, Request as Wanted, Services};
use two_node_ha_planner::record::Resolution;
use two_node_ha_planner::split_brain::Side;
use two_node_ha_planner::split_brain::plan::Step as SplitStep;
use two_node_ha_planner::{Decision, State};

/// The version of what is said here. A request says it from version 2 on: in version 1 it is left out, so
/// that commands and agents from before it was thought of are understood. Whoever waits for an upgraded
/// agent with a command of before, or the other way round, is told so.
pub const VERSION: u32 = 1;

/// A command's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The status once.
    Status,
    /// The status now, and again at each change.
    Watch,
    /// The last observation and the decision from it.
    Plan,
    /// This node as one side of a split brain.
    Side {
        /// Whether the databases' logs are to be read, too.
        logs: bool,
    },
    /// Take this step of the resolution of a split brain.
    Resolve {
        /// The step.
        step: SplitStep,
        /// The resolution, as the operator wants it.
        resolution: Resolution,
    },
    /// From the failover unit: be the voter while this connection stands.
    Hold,
    /// From the failover unit, on the same connection or a new one: leave the volume.
    Release,
}

impl Request {
    /// The request in a line.
    ///
    /// # Errors
    /// In words for whoever has typed the command.
    pub fn read(line: &str) -> Result<Self, String> {
        let no_request = |error: serde_json::Error| format!("this is no request: {error}");
        let mut value: serde_json::Value = serde_json::from_str(line).map_err(no_request)?;
        let version = value
            .as_object_mut()
            .and_then(|fields| fields.remove("version"));
        match version.map(|version| (version.as_u64(), version)) {
            Some((None, version)) => Err(format!("this is no request: its version is {version}")),
            Some((Some(version), _)) if version > u64::from(VERSION) => Err(format!(
                "the command speaks version {version} with the agent, which knows {VERSION}: the agent \
                 is of an older two-node-ha than the command; restart it, \
                 `systemctl restart two-node-ha-k8s`"
            )),
            Some(_) | None => serde_json::from_value(value).map_err(no_request),
        }
    }
}

impl Response {
    /// The answer in a line.
    ///
    /// # Errors
    /// In words for whoever has typed the command.
    pub fn read(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| {
            format!(
                "the agent's answer makes no sense: {error}. Where two-node-ha was upgraded and the \
                 agent runs since before, restart it: `systemctl restart two-node-ha-k8s`"
            )
        })
    }
}

/// The agent's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Status`] and [`Request::Watch`].
    Status(Box<Status>),
    /// To [`Request::Plan`].
    Plan {
        /// What the agent saw.
        observation: Box<Observation>,
        /// What it makes of it.
        decision: Box<Decision>,
    },
    /// To [`Request::Side`].
    Side(Box<Side>),
    /// To [`Request::Resolve`]: the step is taken.
    Taken,
    /// To a hold: what is being done.
    Progress {
        /// In words.
        text: String,
    },
    /// To a hold: the voter works.
    Working,
    /// To a hold: this node cannot be the voter.
    Unhealthy {
        /// Why.
        reason: String,
    },
    /// To a release: the volume is free.
    Released,
    /// This is no request.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Status {
    /// The version of what `two-node-ha status --json` prints: 2 since `drbd.suspended`, DRBD's word, is
    /// no more `drbd.frozen`. Both are read. A command of the version before shows a new agent's status
    /// as ever, since it takes what holds the volume's I/O back from the words beside it.
    pub const VERSION: u32 = 2;
}

/// How the agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`Status::VERSION`] of the agent; fields may be added without raising it.
    pub format: u32,
    /// This node.
    pub node: String,
    /// The other.
    pub peer: String,
    /// The agent's state.
    pub state: State,
    /// Whether it has arrived there.
    pub settled: bool,
    /// Why.
    pub reasons: Vec<String>,
    /// What is not as it should be.
    pub warnings: Vec<String>,
    /// When blocked: what to do.
    pub remedy: Option<String>,
    /// What is being done right now.
    pub doing: Option<String>,
    /// The highest epoch known here.
    pub epoch: u64,
    /// Who owns the volume's databases, as far as this node can see.
    pub owner: Option<String>,
    /// DRBD.
    pub drbd: Drbd,
    /// The mount point.
    pub mount: Mount,
    /// What Pacemaker asks.
    pub request: Wanted,
    /// The snap's services.
    pub services: Services,
    /// What is known of the peer, in words.
    pub peer_state: String,
}
