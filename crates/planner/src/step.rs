//! The steps. Each is idempotent and rechecks its own guard right before it destroys anything.

use serde::{Deserialize, Serialize};

use crate::Database;

/// Where a state directory is to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The volume.
    Volume,
    /// This node's own spare directory.
    Spare,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Ask the peer's agent how it stands.
    AskPeer,
    /// Ask Pacemaker what it knows of the peer.
    AskPacemaker,
    /// Ask Pacemaker whether a fence-peer handler forbids promoting one of the nodes.
    AskPromotion,
    /// Take the fencing constraint with this id away: both copies are the same again.
    RemoveConstraint(String),
    /// Disconnect and connect DRBD, so that it asks its fence-peer handler again whether this node
    /// may go on without the peer.
    AskFencePeer,
    /// Ask the peer's agent to stop its databases, and wait until it has.
    StopPeer,
    /// Make the mount point, empty and immutable.
    ProtectMountPoint,
    /// Take the token away, kill k8s-dqlite, stop what else writes a database; where this node leaves
    /// the volume, have the snap's other services stopped as well.
    StopServices,
    /// First day, voter: copy both databases onto the volume, verify, record epoch 1.
    MoveOntoVolume,
    /// Remember that this epoch exists.
    RememberEpoch(u64),
    /// Copy this node's identity from where the database is now into its spare directory.
    KeepIdentity(Database),
    /// Keep this node's identity as it is on the volume, and lead the state directory off it.
    Leave(Database),
    /// First day, spare: make the real directory this node's spare directory.
    KeepOriginal(Database),
    /// Lead the state directory elsewhere.
    Flip(Database, Target),
    /// Record on the volume that this node takes over, every database pending.
    BeginEpoch,
    /// Have Pacemaker fence the peer, which is in the cluster and whose agent has been silent for too
    /// long.
    FencePeer,
    /// Copy the logs of the peer, whose databases are stopped, onto the volume, to be compared.
    FetchLogs,
    /// Record on the volume that this node, its owner, goes on in this epoch from a log that was
    /// written off the volume, every database pending.
    RenewEpoch(u64),
    /// Take the log that goes on from the volume's as the base, if there is one; put this node's
    /// identity in place, tell raft that it is the only voter, keep the bundle
    /// for the peer, record the database as done.
    Recover(Database),
    /// Fetch the bundle of this epoch and make this node's spare directories from it.
    Rejoin(u64),
    /// Give the token, start the datastore, and have the snap's other services started.
    StartServices,
    /// Have those of the other services started that do not run although they may.
    StartRest,
    /// Wait until the voter here answers and raft calls it the only one.
    ConfirmVoter,
    /// Tell Pacemaker that this node is off the volume.
    ReportReleased,
}

impl Step {
    /// Whether it may only be taken once the journal says so. Not on the way down, which a full or
    /// broken disk must not stop, and not where nothing of this node's own is changed: the journal is
    /// then a courtesy to its reader.
    #[must_use]
    pub fn needs_the_journal(&self) -> bool {
        match self {
            // The way down: each is safe to repeat, and to find half done.
            Self::StopServices
            | Self::Leave(_)
            | Self::Flip(_, Target::Spare)
            | Self::ReportReleased => false,
            // Questions, to this node's own voter too.
            Self::AskPeer
            | Self::AskPacemaker
            | Self::AskPromotion
            | Self::StopPeer
            | Self::ConfirmVoter => false,
            // Pacemaker's own: its record, which is safe to repeat, and its fencing, which it remembers.
            Self::RemoveConstraint(_) | Self::FencePeer => false,
            // Writes stand still until it is done, and what must be known of it is noted elsewhere.
            Self::AskFencePeer => false,
            // Only systemd is asked, and a full disk may be why they do not run.
            Self::StartRest => false,
            Self::ProtectMountPoint
            | Self::MoveOntoVolume
            | Self::RememberEpoch(_)
            | Self::KeepIdentity(_)
            | Self::KeepOriginal(_)
            | Self::Flip(_, Target::Volume)
            | Self::BeginEpoch
            | Self::FetchLogs
            | Self::RenewEpoch(_)
            | Self::Recover(_)
            | Self::Rejoin(_)
            | Self::StartServices => true,
        }
    }

    /// Whether it ends early when the role that it is taken for is wanted back: what waits for the peer,
    /// for the snap or for the datastore, or copies. The others are short, or are the way down itself.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        match self {
            Self::StopPeer
            | Self::MoveOntoVolume
            | Self::KeepOriginal(_)
            | Self::FetchLogs
            | Self::Recover(_)
            | Self::Rejoin(_)
            | Self::StartServices
            | Self::ConfirmVoter => true,
            Self::AskPeer
            | Self::AskPacemaker
            | Self::AskPromotion
            | Self::RemoveConstraint(_)
            | Self::AskFencePeer
            | Self::ProtectMountPoint
            | Self::StopServices
            | Self::RememberEpoch(_)
            | Self::KeepIdentity(_)
            | Self::Leave(_)
            | Self::Flip(..)
            | Self::BeginEpoch
            | Self::FencePeer
            | Self::RenewEpoch(_)
            | Self::StartRest
            | Self::ReportReleased => false,
        }
    }

    /// In words, for `STATUS=`, the journal and `plan`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::AskPeer => "ask the peer's agent how it stands".into(),
            Self::AskPacemaker => "ask Pacemaker about the peer".into(),
            Self::AskPromotion => "ask Pacemaker whether both nodes may be promoted".into(),
            Self::RemoveConstraint(id) => {
                format!("take the constraint {id} away, which has outlived its reason")
            }
            Self::AskFencePeer => "have DRBD ask its fence-peer handler again".into(),
            Self::StopPeer => "have the peer stop its databases".into(),
            Self::ProtectMountPoint => "make the mount point immutable while it is empty".into(),
            Self::StopServices => "stop the k8s services (k8s-dqlite by SIGKILL)".into(),
            Self::MoveOntoVolume => "move both databases onto the volume".into(),
            Self::RememberEpoch(epoch) => format!("remember epoch {epoch}"),
            Self::KeepIdentity(database) => format!("keep this node's identity of {database}"),
            Self::Leave(database) => {
                format!("keep this node's identity of {database} and lead it off the volume")
            }
            Self::KeepOriginal(database) => {
                format!("make the first day's {database} directory this node's spare directory")
            }
            Self::Flip(database, Target::Volume) => format!("lead {database} onto the volume"),
            Self::Flip(database, Target::Spare) => {
                format!("lead {database} to this node's spare directory")
            }
            Self::BeginEpoch => "record on the volume that this node takes over".into(),
            Self::FencePeer => "have Pacemaker fence the peer, whose agent is silent".into(),
            Self::FetchLogs => "fetch the peer's logs".into(),
            Self::RenewEpoch(epoch) => {
                format!("record on the volume that epoch {epoch} goes on from the newer log")
            }
            Self::Recover(database) => format!("recover {database} with this node as only voter"),
            Self::Rejoin(epoch) => format!("rejoin as the spare of epoch {epoch}"),
            Self::StartServices => "start the k8s services".into(),
            Self::StartRest => "start the k8s services that do not run".into(),
            Self::ConfirmVoter => "confirm that the voter works".into(),
            Self::ReportReleased => "report to Pacemaker that the volume is free".into(),
        }
    }
}
