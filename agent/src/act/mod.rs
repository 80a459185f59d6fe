//! Taking steps. Each is idempotent, is journaled before it begins, and rechecks its guard right
//! before it destroys anything: between the observation and the step the world may have changed.
//!
//! Between the guard and what it guards this process may be paused for any time, and the world goes on
//! without it. Each guard says what makes that harmless (`guard`).

mod backups;
mod demote;
mod fence_node;
mod fence_peer;
mod first_start;
mod guard;
mod identity;
mod logs;
mod look;
mod mend;
mod native;
mod recover;
#[cfg(test)]
mod refusals;
mod rejoin;
mod services;
pub mod split_brain;
mod stale_constraint;
mod takeover_copy;
#[cfg(test)]
mod tests;
mod whole;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use two_node_ha_command::{Interrupt, Runner};
use two_node_ha_config::{Config, Node};
use two_node_ha_disk as disk;
use two_node_ha_dqlite::recovery;
use two_node_ha_node::Paths;
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;
pub use two_node_ha_planner::machine::Outcome;
use two_node_ha_planner::observation::{Known, Log};
use two_node_ha_planner::record::{Epoch, Journal};
use two_node_ha_planner::{Step, Target};
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use crate::datastore::{Datastore, confirm};
use crate::k8s;
use crate::observe::logs::Looks;
use crate::peer::client;
use crate::peer::client::Peer;
use crate::raft_repair;
use crate::store;
use crate::store::Record;
use crate::systemd::{self, Units};

#[cfg(test)]
pub use guard::pinned;
pub use native::for_a_spare;

/// What Pacemaker starts and stops.
pub const FAILOVER_UNIT: &str = "two-node-ha-k8s-failover.service";

/// How long the peer may take to stop its databases. They are killed, so this is long.
const PEER_STOP: Duration = Duration::from_secs(60);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world is not as the plan saw it; it will be planned anew.
    #[error("{0}; nothing was changed")]
    Guard(String),
    /// The disk said no.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A copy failed.
    #[error(transparent)]
    Copy(#[from] disk::Error),
    /// One of the records.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// systemd.
    #[error(transparent)]
    Systemd(#[from] systemd::Error),
    /// The snap's programs.
    #[error(transparent)]
    K8s(#[from] k8s::Error),
    /// The voter's databases.
    #[error(transparent)]
    NotConfirmed(#[from] confirm::NotConfirmed),
    /// dqlite's yaml files.
    #[error(transparent)]
    ReadYaml(#[from] two_node_ha_dqlite::ReadError),
    /// dqlite's yaml files.
    #[error(transparent)]
    WriteYaml(#[from] two_node_ha_dqlite::WriteError),
    /// A log that is not taken over.
    #[error(transparent)]
    Plan(#[from] recovery::PlanError),
    /// Members that are not those of a takeover.
    #[error(transparent)]
    Membership(#[from] recovery::MembershipError),
    /// A log that was not taken over to the end.
    #[error(transparent)]
    Apply(#[from] recovery::ApplyError),
    /// The peer.
    #[error(transparent)]
    Peer(#[from] client::Error),
    /// The peer said no.
    #[error("{peer} refuses: {reason}")]
    Refused {
        /// The peer's name.
        peer: String,
        /// Its words.
        reason: String,
    },
    /// Something that is not what it has to be.
    #[error("{0}")]
    Unfit(String),
    /// A database on the volume is damaged, and is not mended by itself: what is lost, and what to type.
    #[error("{0}")]
    Damaged(String),
    /// A damaged database on the volume could not be mended.
    #[error("a damaged database could not be mended: {0}")]
    NotMended(#[from] raft_repair::Error),
}

impl Error {
    /// Whether the step gave way to a release, and has not failed.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::K8s(k8s::Error::Command(two_node_ha_command::Error::Interrupted { .. }))
            | Self::Peer(client::Error::Interrupted { .. })
            | Self::Systemd(systemd::Error::Interrupted { .. })
            | Self::Copy(disk::Error::Interrupted { .. })
            | Self::NotMended(raft_repair::Error::Copy(disk::Error::Interrupted { .. })) => true,
            Self::NotConfirmed(not) => not.missing == confirm::Missing::Role,
            _ => false,
        }
    }

    /// Whether it is the peer that did not answer, or said no. A step that asks it may fail for a reason
    /// of this node's own, such as a full disk; a peer that is taken for silent may be fenced.
    #[must_use]
    pub fn is_of_the_peer(&self) -> bool {
        match self {
            Self::Peer(client::Error::Store { .. }) => false,
            Self::Peer(_) | Self::Refused { .. } => true,
            // An answer that is none.
            Self::Unfit(_) => true,
            Self::Guard(_)
            | Self::Io { .. }
            | Self::Copy(_)
            | Self::Store(_)
            | Self::Systemd(_)
            | Self::K8s(_)
            | Self::NotConfirmed(_)
            | Self::Damaged(_)
            | Self::NotMended(_)
            | Self::ReadYaml(_)
            | Self::WriteYaml(_)
            | Self::Plan(_)
            | Self::Membership(_)
            | Self::Apply(_) => false,
        }
    }

    /// For `map_err` after a call on `path`.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Called now and then during a long step with what it is doing, in words.
pub type Progress<'a> = dyn FnMut(&str) + 'a;

/// Whoever takes the steps on this node.
#[derive(Debug)]
pub struct Actor {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where everything is.
    pub paths: Paths,
    /// This node.
    pub node: Node,
    /// The other.
    pub peer: Node,
    /// The door to systemd.
    pub systemd: Box<dyn Units>,
    /// The door to other programs.
    pub runner: Box<dyn Runner>,
    /// The door to the peer.
    pub client: Box<dyn Peer>,
    /// The door to the databases that run here.
    pub datastore: Box<dyn Datastore>,
    /// What this node remembers; the file is replaced at every change.
    pub journal: Journal,
    /// Raised when the role that a step is taken for is wanted back.
    pub interrupt: Interrupt,
}

impl Actor {
    /// Takes one step. The two questions and the report to Pacemaker are the daemon's.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn take(&mut self, step: &Step, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        self.note_for(step, Some(step))?;
        let result = self.do_it(step, progress);
        // What failed half-way stays on record. What its guard refused was not begun.
        if matches!(result, Ok(_) | Err(Error::Guard(_))) {
            self.note_for(step, None)?;
        }
        result
    }

    /// Writes the journal for a step; where it cannot be written, the step is taken all the same if it
    /// is one that must not wait for a disk.
    fn note_for(&mut self, step: &Step, in_progress: Option<&Step>) -> Result<(), Error> {
        match self.note(in_progress) {
            Err(error) if !step.needs_the_journal() => {
                tracing::warn!(step = ?step, "the journal cannot be written: {error}");
                Ok(())
            }
            noted => noted,
        }
    }

    fn do_it(&mut self, step: &Step, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        match step {
            Step::AskPeer | Step::AskPacemaker | Step::AskPromotion | Step::ReportReleased => {
                Ok(Outcome::Done)
            }
            Step::RemoveConstraint(id) => self.remove_constraint(id),
            Step::AskFencePeer => self.ask_fence_peer(),
            Step::StopPeer => self.stop_peer(),
            Step::ProtectMountPoint => self.protect_mount_point(),
            Step::StopServices => self.stop_services(progress),
            Step::MoveOntoVolume => self.move_onto_volume(progress),
            Step::RememberEpoch(epoch) => {
                self.journal.saw_epoch(*epoch);
                Ok(Outcome::Done)
            }
            Step::KeepIdentity(database) => self.keep_identity(*database),
            Step::Leave(database) => self.leave(*database),
            Step::KeepOriginal(database) => self.keep_original(*database, progress),
            Step::Flip(database, target) => self.flip(*database, *target),
            Step::BeginEpoch => self.begin_epoch(),
            Step::FencePeer => self.fence_peer(progress),
            Step::FetchLogs => self.fetch_logs(progress),
            Step::RenewEpoch(epoch) => self.renew_epoch(*epoch),
            Step::Recover(database) => self.recover(*database, progress),
            Step::Rejoin(epoch) => self.rejoin(*epoch, progress),
            Step::StartServices => self.start_services(progress),
            Step::StartRest => self.start_rest(),
            Step::ConfirmVoter => self.confirm_voter(progress),
        }
    }

    /// Writes the journal with the step in progress.
    fn note(&mut self, step: Option<&Step>) -> Result<(), Error> {
        self.journal.note(step);
        let path = self.paths.journal();
        disk::private_directory(&self.paths.state())
            .map_err(Error::io("creating", &self.paths.state()))?;
        self.journal.write(&path)?;
        Ok(())
    }

    fn stop_peer(&self) -> Result<Outcome, Error> {
        let epoch = match self.read_epoch() {
            Known::Present(epoch) => epoch.epoch,
            Known::Absent => 0,
            Known::Unreadable(why) => return Err(Error::Guard(why)),
        };
        let request = Request::StopSpare {
            version: VERSION,
            node: self.node.name.clone(),
            epoch,
        };
        match self.client.ask(&request, PEER_STOP)? {
            Response::Stopped => Ok(Outcome::PeerStopped),
            Response::Refused { reason } => self.refused(reason),
            other => Err(Error::Unfit(format!(
                "{} answered a request to stop with {other:?}",
                self.peer.name
            ))),
        }
    }

    fn refused<T>(&self, reason: String) -> Result<T, Error> {
        Err(Error::Refused {
            peer: self.peer.name.clone(),
            reason,
        })
    }

    /// I2: an empty mount point that nothing can be written into.
    fn protect_mount_point(&self) -> Result<Outcome, Error> {
        let path = self.paths.mount_point(&self.config);
        match disk::effects::make_directory(&path, 0o755) {
            Ok(()) => {
                let parent = path.parent().unwrap_or(Path::new("/"));
                disk::sync_directory(parent).map_err(Error::io("syncing", parent))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("creating the mount point", &path)(error)),
        }
        // I3: the flag must not land on the volume's own root directory. What was opened before the look
        // stays what it is, whatever is mounted over it afterwards.
        let directory = File::open(&path).map_err(Error::io("opening", &path))?;
        self.nothing_mounted()?;
        disk::immutable::set_on(&directory, &path, true)
            .map_err(Error::io("making the mount point immutable", &path))?;
        Ok(Outcome::Done)
    }

    /// A node that cannot keep what was renewed of its identity leaves the volume all the same: the
    /// identity of before is still in its spare directory.
    fn leave(&self, database: Database) -> Result<Outcome, Error> {
        match self.keep_identity(database) {
            Ok(_) => {}
            Err(error @ Error::Guard(_)) => return Err(error),
            Err(error) => tracing::warn!(
                database = database.name(),
                "certificates of {database} that were renewed on the volume are not kept for the spare: \
                 {error}"
            ),
        }
        self.flip(database, Target::Spare)
    }

    fn flip(&self, database: Database, target: Target) -> Result<Outcome, Error> {
        self.services_stopped()?;
        let (directory, to, _pin) = match target {
            Target::Volume => {
                let pin = self.volume_mounted()?;
                let directory = self.paths.on_volume(&self.config, database);
                (directory, Target::Volume, Some(pin))
            }
            Target::Spare => (self.paths.spare(database), Target::Spare, None),
        };
        let link = self.paths.state_directory(&self.config, database);
        tracing::info!(
            database = database.name(),
            link = %link.display(),
            to = %directory.display(),
            "leading {database} {}",
            if to == Target::Volume { "onto the volume" } else { "to the spare directory" }
        );
        disk::link::flip(&link, &directory).map_err(Error::io("leading elsewhere", &link))?;
        Ok(Outcome::Done)
    }

    fn begin_epoch(&mut self) -> Result<Outcome, Error> {
        let _pin = self.volume_mounted()?;
        let Known::Present(now) = self.read_epoch() else {
            return Err(Error::Guard("the volume's record cannot be read".into()));
        };
        if now.owner == self.node.name {
            return Ok(Outcome::Done);
        }
        self.next_epoch(&now)
    }

    /// This node goes on, in an epoch of its own, from a log that was written off the volume.
    fn renew_epoch(&mut self, epoch: u64) -> Result<Outcome, Error> {
        self.services_stopped()?;
        let _pin = self.volume_mounted()?;
        let Known::Present(now) = self.read_epoch() else {
            return Err(Error::Guard("the volume's record cannot be read".into()));
        };
        if now.epoch >= epoch {
            return Ok(Outcome::Done);
        }
        if now.owner != self.node.name || now.epoch.checked_add(1) != Some(epoch) {
            return Err(Error::Guard(format!(
                "the volume has epoch {} of {}, which {epoch} does not follow",
                now.epoch, now.owner
            )));
        }
        self.next_epoch(&now)
    }

    fn next_epoch(&mut self, now: &Epoch) -> Result<Outcome, Error> {
        let next = now.taken_over_by(&self.node.name);
        self.carry_interrupted(now, next.epoch)?;
        next.write(&self.paths.epoch(&self.config))?;
        self.journal.saw_epoch(next.epoch);
        tracing::info!(
            epoch = next.epoch,
            from = now.owner,
            "epoch {} begins",
            next.epoch
        );
        Ok(Outcome::Done)
    }

    fn confirm_voter(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        progress("waiting for the voter to answer");
        let within = self.config.k8s.ready_timeout;
        confirm::confirm(&*self.datastore, within, &self.interrupt, progress)?;
        tracing::info!("the voter on {} works", self.node.name);
        if let Err(error) = self.note_confirmed() {
            // It serves, whether or not that could be written down.
            tracing::warn!("where the logs end could not be recorded on the volume: {error}");
        }
        Ok(Outcome::VoterConfirmed)
    }

    /// Records where each log ends, so that an older copy of it is known by that.
    fn note_confirmed(&self) -> Result<(), Error> {
        let _pin = self.volume_mounted()?;
        let Known::Present(mut epoch) = self.read_epoch() else {
            return Err(Error::Guard("the volume's record cannot be read".into()));
        };
        if epoch.owner != self.node.name || !epoch.complete() {
            return Err(Error::Guard("the epoch is not this node's".into()));
        }
        for database in Database::ALL {
            let raft = raft_directory(database, &self.paths.on_volume(&self.config, database));
            if let Log::Ends(end) = Looks::default().log(&raft, None) {
                epoch.confirmed.insert(database, end.last);
            }
        }
        epoch.write(&self.paths.epoch(&self.config))?;
        Ok(())
    }

    /// The record on the volume.
    fn read_epoch(&self) -> Known<Epoch> {
        match Epoch::read(&self.paths.epoch(&self.config)) {
            Ok(Some(epoch)) => Known::Present(epoch),
            Ok(None) => Known::Absent,
            Err(error) => Known::Unreadable(error.to_string()),
        }
    }
}
