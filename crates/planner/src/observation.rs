//! What the agent knows before it decides: one plain value, without behaviour.
//!
//! It can be saved and read back (`two-node-ha plan --observation FILE`), and the decision from
//! it is the same on any machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use two_node_ha_config::Difference;

use crate::Database;
use crate::record::{Epoch, Journal};
use crate::report::Report;

pub use crate::log::{End, Log, Standing, Voters};

/// The version of a saved [`Observation`], which stands beside it as `format`; fields may be added without
/// raising it. One without it is of version 1, in which `drbd.suspended` was `drbd.frozen`: the program
/// before decides from one of today as if nothing were suspended.
pub const VERSION: u32 = 2;

/// Everything a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observation {
    /// This node's name.
    pub node: String,
    /// The peer's name.
    pub peer: String,
    /// The DRBD resource, as this node sees it.
    pub drbd: Drbd,
    /// What is mounted at the mount point.
    pub mount: Mount,
    /// The mount point itself, while nothing is mounted on it.
    pub mount_point: MountPoint,
    /// What Pacemaker asks of this node, through the failover unit.
    pub request: Request,
    /// Whether systemd has the failover unit running or on its way: then somebody holds the role,
    /// even while an agent that has just been restarted has not heard of it.
    pub failover_unit: bool,
    /// Whether the machine is on its way down: systemd then stops every service in its own order,
    /// and refuses to start any.
    #[serde(default)]
    pub shutting_down: bool,
    /// The record on the volume; only while it is mounted here.
    pub epoch: Known<Epoch>,
    /// Whether the volume does not answer, so that what is said of it was seen earlier, or never.
    #[serde(default)]
    pub volume_silent: bool,
    /// What the fence-peer handler is about, while it is what the volume waits for.
    #[serde(default)]
    pub fence_peer: FencePeer,
    /// Whether DRBD is alone because this node's agent has disconnected it, to connect it again at once,
    /// and has ended in between.
    #[serde(default)]
    pub own_disconnect: bool,
    /// Whether the volume was mounted while this agent ran, and Pacemaker has asked nothing of it since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub just_mounted: bool,
    /// What this node remembers.
    pub journal: Journal,
    /// The two databases' directories.
    pub databases: BTreeMap<Database, Directories>,
    /// The snap's services.
    pub services: Services,
    /// Those of them that do not run although they may.
    #[serde(default, skip_serializing_if = "Rest::is_up")]
    pub rest: Rest,
    /// Whether the token that lets the services start is there.
    pub token: bool,
    /// Whether the voter that runs here was confirmed to work since its services started.
    pub confirmed: bool,
    /// How its reads have gone since.
    #[serde(default)]
    pub health: Health,
    /// What the peer said in this round.
    pub peer_report: Asked<Report>,
    /// What Pacemaker said of the peer in this round.
    pub peer_node: Asked<PeerNode>,
    /// Whether a constraint of a fence-peer handler keeps Pacemaker from promoting one of the nodes,
    /// and its id; what is known of it since the copies of the volume were last equal.
    #[serde(default)]
    pub promotion: Asked<Promotion>,
    /// Whether the peer confirmed in this round that its databases are stopped.
    pub peer_stopped: bool,
    /// Whether the peer's agent has been silent for `peer.silent_timeout` since Pacemaker asked this
    /// node to be the voter.
    #[serde(default)]
    pub peer_patience_over: bool,
    /// Whether the peer's logs were fetched in this round, after its databases had stopped.
    #[serde(default)]
    pub peer_logs_fetched: bool,
    /// A split brain that DRBD has reported and nobody has resolved, or whose resolution is under
    /// way.
    #[serde(default)]
    pub split_brain: Option<SplitBrain>,
    /// What of this node's own disk could not be changed when the volume was to be left, and why.
    #[serde(default)]
    pub own_disk: Option<String>,
    /// Why the last attempt to make this node the voter failed, if it did and nothing changed.
    pub failure: Option<String>,
    /// Which step has failed since this node was last where it should be, why, and what to do about it.
    #[serde(default)]
    pub stumbled: Option<String>,
    /// What is wrong with this node's configuration, in words for the administrator.
    #[serde(default)]
    pub configuration: Option<String>,
    /// In what the peer's configuration, as its agent has last told, differs from this node's.
    #[serde(default)]
    pub differences: Vec<Difference>,
}

/// Whether the datastore of the voter here answers, by the reads that are made while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Health {
    /// How many reads in a row had no answer, up to the last one.
    pub misses: u32,
    /// Why the last of them had none.
    pub last: Option<String>,
}

/// What holds the volume's I/O back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspended {
    /// DRBD has lost its peer, and no fence-peer handler has told it that it may go on.
    Fencing,
    /// Something else: in DRBD's words.
    Other(String),
}

/// Whether fence-peer is being asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FencePeer {
    /// No handler runs.
    #[default]
    Quiet,
    /// One runs.
    AtWork,
    /// It was asked in this round, and may be about to start.
    Asked,
}

/// How far a split brain has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitBrain {
    /// DRBD has reported it, and the nodes are not connected.
    Reported,
    /// It is being resolved: the node that is kept.
    Resolving(String),
}

/// Something that is there, is not, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known<T> {
    /// Not there.
    Absent,
    /// There.
    Present(T),
    /// There, or perhaps there, and unreadable: never to be taken for absent.
    Unreadable(String),
}

/// Something that costs a question over the network or to another program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked<T> {
    /// Not asked in this round.
    #[default]
    NotYet,
    /// The answer.
    Answer(T),
    /// No answer, and why.
    Silent(String),
}

/// Whether Pacemaker may promote this node's copy of the volume, and the peer's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// No handler forbids either.
    Allowed,
    /// The constraint with this id forbids it: the peer's handler has placed it when it lost sight
    /// of this node, and has not taken it away yet.
    Forbidden(String),
    /// The constraint with this id allows this node and forbids the peer: this node's handler has
    /// placed it.
    PeerForbidden(String),
}

/// DRBD's role of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May write.
    Primary,
    /// May not.
    Secondary,
    /// The resource is not up, or DRBD does not say.
    Unknown,
}

/// The DRBD resource, reduced to what decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Drbd {
    /// This node's role.
    pub role: Role,
    /// Whether this node's disk is UpToDate.
    pub up_to_date: bool,
    /// Whether the replication link is up.
    pub connected: bool,
    /// Whether both copies are the same and current: connected, every volume UpToDate on both sides,
    /// no resync.
    #[serde(default)]
    pub equal: bool,
    /// The peer's role, while connected.
    pub peer_role: Role,
    /// What holds all I/O of the volume back, if anything does.
    #[serde(default, alias = "frozen")]
    pub suspended: Option<Suspended>,
    /// Whether DRBD has given up looking for the peer (StandAlone).
    #[serde(default)]
    pub alone: bool,
    /// Whether it looks for the peer, or has found it. Neither this nor `alone` while it changes from
    /// the one to the other, and while DRBD does not say.
    #[serde(default)]
    pub seeking: bool,
    /// In words, for people: `Primary UpToDate, connected to Secondary UpToDate`.
    pub summary: String,
}

/// The mount point while nothing is mounted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountPoint {
    /// Something is mounted: it cannot be seen.
    Covered,
    /// There is no such directory yet.
    Missing,
    /// Empty, and nothing can be written into it.
    Protected,
    /// Empty, and writable.
    Open,
    /// There are files in it, which the next mount would hide.
    HoldsFiles,
}

/// What Pacemaker asks through `two-node-ha-k8s-failover.service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Nothing: the failover unit is not running here.
    None,
    /// Be the voter.
    Hold,
    /// Leave the volume.
    Release,
}

/// Where a state directory leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkTarget {
    /// Nothing is there.
    Nowhere,
    /// A real directory: the first day, or somebody undid the link.
    Directory,
    /// Onto the volume.
    ToVolume,
    /// To this node's own spare directory.
    ToSpare,
    /// Somewhere else.
    Elsewhere(String),
}

/// What a directory holds, as far as starting on it goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// The directory is not there.
    Missing,
    /// An identity and raft's files (or, for k8sd, a bundle that it unpacks at its start).
    Database,
    /// An identity without raft's files, with which dqlite waits for its leader: what a member
    /// that has always been a spare looks like.
    Waiting,
    /// An identity only, never to be started: with it dqlite would found a new, empty cluster.
    IdentityOnly,
    /// A start would do harm, or cannot work: in words, why.
    Trap(String),
}

/// One database's directories on this node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Directories {
    /// Where the state directory leads.
    pub leads: LinkTarget,
    /// What the directory holds that stands where the link should be; [`Contents::Missing`] when
    /// [`LinkTarget`] is not [`LinkTarget::Directory`].
    pub original: Contents,
    /// This node's own spare directory.
    pub spare: Contents,
    /// The directory on the volume, while it is mounted here.
    pub volume: Contents,
    /// On the first day: whether raft's last configuration there makes this node the voter.
    pub original_voter: Option<bool>,
    /// The log in this node's own spare directory.
    #[serde(default)]
    pub spare_log: Log,
    /// The log on the volume, while it is mounted here.
    #[serde(default)]
    pub volume_log: Log,
    /// How the log in this node's own spare directory stands to the volume's.
    #[serde(default)]
    pub own: Standing,
    /// How the peer's log stands to the volume's, where it was fetched.
    #[serde(default)]
    pub fetched: Option<Standing>,
}

impl Observation {
    /// This node is the voter: its databases run on the volume, and were seen to answer.
    #[must_use]
    pub fn is_running_voter(&self) -> bool {
        self.is_started_on_volume() && self.confirmed
    }

    /// The databases' services run on the volume.
    #[must_use]
    pub fn is_started_on_volume(&self) -> bool {
        self.services == Services::Running
            && self.token
            && self
                .databases
                .values()
                .all(|d| d.leads == LinkTarget::ToVolume)
    }
}

/// The snap's services, reduced to what decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Services {
    /// No service of the snap runs.
    Stopped,
    /// Some run, and none of them writes a database: the API server, the kubelet and their like.
    Others,
    /// A service that writes a database runs or is on its way, and the datastore, k8s-dqlite, does not
    /// run.
    Partly,
    /// The datastore runs. Whether the others do is said by [`Rest`]: no voter is given up for them.
    Running,
}

impl Services {
    /// Whether one that writes a database runs or is on its way.
    #[must_use]
    pub fn may_write(self) -> bool {
        match self {
            Self::Stopped | Self::Others => false,
            Self::Partly | Self::Running => true,
        }
    }
}

/// The services beside the datastore that may run and do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rest {
    /// Their names, of those that have been down for some seconds.
    pub down: BTreeSet<String>,
    /// Whether it is time to try again to start them.
    pub due: bool,
}

impl Rest {
    /// Whether all of them run.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.down.is_empty()
    }
}

/// What Pacemaker knows of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerNode {
    /// In the cluster.
    Online,
    /// Not in the cluster, and with fencing on known to be down: fenced, or left cleanly.
    Down,
    /// Not in the cluster, and nobody made sure that it is down.
    Lost,
    /// Pacemaker does not say.
    Unknown,
}

/// The mount point's state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mount {
    /// Nothing is mounted there.
    None,
    /// The volume, read-write.
    ReadWrite,
    /// The volume, read-only.
    ReadOnly,
    /// Something else: in words, what.
    Foreign(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world;
    use two_node_ha_sample::contract::fixtures;

    /// With every field that may be left out.
    fn seen() -> Observation {
        let mut o = world::booted();
        o.drbd.suspended = Some(Suspended::Other("quorum is lost".into()));
        o.shutting_down = true;
        o.split_brain = Some(SplitBrain::Reported);
        o.health.last = Some("no answer".into());
        o.epoch = Known::Present(Epoch::first("haone"));
        o.promotion = Asked::Answer(Promotion::Forbidden("drbd-fence-by-handler-r0".into()));
        o
    }

    #[test]
    fn an_observation_has_the_form_of_its_version_and_those_of_before_are_read() {
        let here = fixtures(env!("CARGO_MANIFEST_DIR"));
        let text = serde_json::to_string_pretty(&seen()).unwrap();
        here.is_todays(VERSION, "observation.json", &text);
        for version in 1..=VERSION {
            let text = here.read(version, "observation.json");
            let read: Observation = serde_json::from_str(&text).unwrap();
            assert_eq!(read, seen(), "version {version}");
        }
    }
}
