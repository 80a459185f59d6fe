//! The confirmation of a voter: its datastore answers here, and raft says that the databases are this
//! node's. k8sd and the API server are not asked: writes are accepted without the one, and through the
//! other node's API server, which has the same voter behind it.

use std::time::{Duration, Instant};

use two_node_ha_command::Interrupt;
use two_node_ha_planner::Database;

use super::{Datastore, PATIENCE};

/// How long to wait between two rounds of questions while the voter starts.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// What a voter lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// k8s-dqlite does not answer a read.
    #[error("k8s-dqlite does not answer a read on its socket: {0}")]
    Read(String),
    /// The datastore's raft files cannot be read as they are.
    #[error("the log of {0} does not say who votes: {1}")]
    Unsaid(Database, String),
    /// Raft has another voter, or one more.
    #[error("by the log of {0} this node is not its only voter")]
    Elsewhere(Database),
    /// Pacemaker takes the role away.
    #[error("the role is taken away meanwhile")]
    Role,
}

/// The voter was not confirmed in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the voter was not confirmed within {} s: {missing}; see `journalctl -b -u 'snap.*.k8s-dqlite.service'` \
     and `two-node-ha raft inspect`",
    within.as_secs()
)]
pub struct NotConfirmed {
    /// How long it was waited for.
    pub within: Duration,
    /// What was still missing.
    pub missing: Missing,
}

/// Waits until the voter here works, and tells `progress` what it waits for.
///
/// # Errors
/// See [`NotConfirmed`].
pub fn confirm(
    datastore: &dyn Datastore,
    within: Duration,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(&str),
) -> Result<(), NotConfirmed> {
    let deadline = Instant::now() + within;
    while let Some(missing) = missing(datastore, patience(deadline)) {
        if interrupt.is_set() {
            return Err(NotConfirmed {
                within,
                missing: Missing::Role,
            });
        }
        if Instant::now() >= deadline {
            return Err(NotConfirmed { within, missing });
        }
        progress(&format!("waiting for the voter: {missing}"));
        std::thread::sleep(ASK_AGAIN);
    }
    Ok(())
}

/// How long one question may take: the last ones get a second, or they could not be answered.
fn patience(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.clamp(Duration::from_secs(1), PATIENCE)
}

/// The first thing that is missing, in the order in which a voter comes up. The logs are read last: they
/// are large, and say nothing about a program that does not answer.
fn missing(datastore: &dyn Datastore, patience: Duration) -> Option<Missing> {
    if let Err(why) = datastore.read(patience) {
        return Some(Missing::Read(why));
    }
    Database::ALL.into_iter().find_map(|database| {
        match (datastore.sole_voter(database), database) {
            (Ok(true), _) => None,
            (Ok(false), _) => Some(Missing::Elsewhere(database)),
            (Err(why), Database::K8sDqlite) => Some(Missing::Unsaid(database, why)),
            // Perhaps it is just being closed by a k8sd that starts, and nobody waits for that.
            (Err(why), Database::K8sd) => {
                tracing::debug!(why, "the log of k8sd does not say who votes");
                None
            }
        }
    })
}
