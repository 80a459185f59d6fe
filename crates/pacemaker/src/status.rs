//! The status of the cluster, as one node sees it.

use serde::{Deserialize, Serialize};

/// What `crm_mon` knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node that decides; `None` while there is none (an election).
    pub dc: Option<String>,
    /// Whether the partition with the DC has quorum; `None` without a DC.
    pub with_quorum: Option<bool>,
    /// `stonith-enabled`, or `fencing-enabled` from 3.0.2 on. `None` where it was not said.
    pub stonith_enabled: Option<bool>,
    /// Whether Pacemaker keeps its hands off all resources.
    pub maintenance_mode: bool,
    /// `no-quorum-policy`.
    pub no_quorum_policy: Option<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Every instance of every resource: one for each node that it runs on, or one that runs
    /// nowhere.
    pub resources: Vec<ResourceInstance>,
    /// Failed operations that have not been cleaned up or expired.
    pub failures: Vec<Failure>,
    /// The fencing history, the newest first; pending ones before all others.
    pub fence_history: Vec<FenceEvent>,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    /// Corosync's node id.
    pub id: String,
    /// Member of the cluster, with a running Pacemaker.
    pub online: bool,
    /// Runs no resources, on request.
    pub standby: bool,
    /// Its state is not known and it must be fenced. Always false with fencing disabled: see
    /// [`Node::expected_up`].
    pub unclean: bool,
    /// In the middle of joining.
    pub pending: bool,
    /// Its resources are left alone.
    pub maintenance: bool,
    /// About to leave, on request.
    pub shutdown: bool,
    /// Whether it should be there. An offline node that should be was lost, whatever
    /// [`Node::unclean`] says.
    pub expected_up: bool,
    /// Whether it is the DC.
    pub is_dc: bool,
}

/// What an instance of a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceRole {
    /// Runs nowhere.
    Stopped,
    /// Runs.
    Started,
    /// Runs, unpromoted (`Slave` before 2.1).
    Unpromoted,
    /// Runs, promoted (`Master` before 2.1).
    Promoted,
    /// A word that this crate does not know, such as `Starting` of a pending operation.
    Unrecognised(String),
}

impl ResourceRole {
    /// The role of that name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "Stopped" => Self::Stopped,
            "Started" => Self::Started,
            "Unpromoted" | "Slave" => Self::Unpromoted,
            "Promoted" | "Master" => Self::Promoted,
            other => Self::Unrecognised(other.to_owned()),
        }
    }
}

/// One instance of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceInstance {
    /// Id of the primitive; in a unique clone with its instance number (`r:0`).
    pub id: String,
    /// Such as `ocf:linbit:drbd`.
    pub agent: String,
    /// What it is.
    pub role: ResourceRole,
    /// Whether it is active anywhere.
    pub active: bool,
    /// Whether its last operation failed.
    pub failed: bool,
    /// Whether Pacemaker manages it.
    pub managed: bool,
    /// Whether Pacemaker will not touch it until someone cleans it up.
    pub blocked: bool,
    /// The operation in progress, such as `Starting` or `Monitoring`.
    pub pending: Option<String>,
    /// The node it runs on.
    pub node: Option<String>,
    /// Id of the clone it is an instance of.
    pub clone: Option<String>,
    /// Id of the group it is a member of.
    pub group: Option<String>,
}

/// A failed operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Such as `fs_res_start_0`.
    pub operation: String,
    /// Where it failed.
    pub node: String,
    /// The agent's exit code.
    pub exit_code: i32,
    /// The agent's reason; often empty.
    pub exit_reason: String,
    /// Such as `complete`, `Timed Out`; the wording depends on the version.
    pub status: String,
    /// When, in the cluster's wording.
    pub last_change: Option<String>,
}

/// How a fencing went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FenceStatus {
    /// The device says that it is done.
    Success,
    /// It failed.
    Failed,
    /// It is under way.
    Pending,
    /// A word that this crate does not know.
    Unrecognised(String),
}

impl FenceStatus {
    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "success" => Self::Success,
            "failed" => Self::Failed,
            "pending" => Self::Pending,
            other => Self::Unrecognised(other.to_owned()),
        }
    }
}

/// One entry of the fencing history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceEvent {
    /// The node that was fenced.
    pub target: String,
    /// `off`, `reboot` or `on`.
    pub action: String,
    /// How it went.
    pub status: FenceStatus,
    /// Who asked.
    pub client: String,
    /// From which node.
    pub origin: String,
    /// The node that executed it.
    pub delegate: Option<String>,
    /// When it was over, in the cluster's wording.
    pub completed: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl FenceEvent {
    /// Whether the target is off, or was, for certain.
    #[must_use]
    pub fn powered_off(&self) -> bool {
        self.status == FenceStatus::Success && matches!(self.action.as_str(), "off" | "reboot")
    }
}

impl Status {
    /// The node of that name. Where there are several, which a cluster keeps that has lived through a
    /// change of node ids, it is the one in the worst state.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes
            .iter()
            .filter(|node| node.name == name)
            .max_by_key(|node| node.peer_state().badness())
    }

    /// The instances of a resource, given the id of its primitive.
    pub fn instances<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a ResourceInstance> {
        self.resources
            .iter()
            .filter(move |resource| resource.is(id))
    }

    /// The node where a promotable resource is promoted.
    #[must_use]
    pub fn promoted_on(&self, id: &str) -> Option<&str> {
        self.instances(id)
            .find(|resource| resource.role == ResourceRole::Promoted)
            .and_then(|resource| resource.node.as_deref())
    }

    /// The node where a resource is active.
    #[must_use]
    pub fn active_on(&self, id: &str) -> Option<&str> {
        self.instances(id)
            .find(|resource| resource.active)
            .and_then(|resource| resource.node.as_deref())
    }
}

impl ResourceInstance {
    /// Whether it is an instance of the primitive of that id (`r` as well as `r:0`).
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        match self.id.strip_prefix(id) {
            Some("") => true,
            Some(rest) => rest
                .strip_prefix(':')
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
            None => false,
        }
    }
}
