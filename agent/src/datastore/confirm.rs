//! The confirmation of a voter: its databases answer here, and raft says that they are this node's.

use std::time::{Duration, Instant};

use two_node_ha_command::Interrupt;
use two_node_ha_planner::Database;

use super::{Datastore, PATIENCE};

/// How long to wait between two rounds of questions while the voter starts.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// How long the API server is waited for once the databases have answered. It decides nothing: the
/// API server on the other node is served by the same voter.
const API_PATIENCE: Duration = Duration::from_secs(10);

/// What a voter lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// k8s-dqlite does not answer a read.
    #[error("k8s-dqlite does not answer a read on its socket: {0}")]
    Read(String),
    /// k8sd does not answer.
    #[error("k8sd does not answer on its control socket: {0}")]
    K8sd(String),
    /// Raft's files cannot be read as they are.
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
    "the voter was not confirmed within {} s: {missing}; see `journalctl -b -u 'snap.*.k8s-dqlite.service' \
     -u 'snap.*.k8sd.service'` and `two-node-ha raft inspect`",
    within.as_secs()
)]
pub struct NotConfirmed {
    /// How long it was waited for.
    pub within: Duration,
    /// What was still missing.
    pub missing: Missing,
}

/// Waits until the voter here works, and tells `progress` what it waits for. The value is what the
/// API server lacks, where it is not ready although the datastore is.
///
/// # Errors
/// See [`NotConfirmed`].
pub fn confirm(
    datastore: &dyn Datastore,
    within: Duration,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(&str),
) -> Result<Option<String>, NotConfirmed> {
    let deadline = Instant::now() + within;
    let given_up = || NotConfirmed {
        within,
        missing: Missing::Role,
    };
    while let Some(missing) = missing(datastore, patience(deadline)) {
        if interrupt.is_set() {
            return Err(given_up());
        }
        if Instant::now() >= deadline {
            return Err(NotConfirmed { within, missing });
        }
        progress(&format!("waiting for the voter: {missing}"));
        std::thread::sleep(ASK_AGAIN);
    }
    let deadline = deadline.min(Instant::now() + API_PATIENCE);
    loop {
        let Err(why) = datastore.api(patience(deadline)) else {
            return Ok(None);
        };
        if interrupt.is_set() || Instant::now() >= deadline {
            return Ok(Some(why));
        }
        progress(&format!(
            "the datastore answers; waiting for the API server: {why}"
        ));
        std::thread::sleep(ASK_AGAIN);
    }
}

/// How long one question may take: the last ones get a second, or they could not be answered.
fn patience(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.clamp(Duration::from_secs(1), PATIENCE)
}

/// The first thing that is missing, in the order in which a voter comes up. The log is read last: it
/// is large, and says nothing about a program that does not answer.
fn missing(datastore: &dyn Datastore, patience: Duration) -> Option<Missing> {
    if let Err(why) = datastore.read(patience) {
        return Some(Missing::Read(why));
    }
    if let Err(why) = datastore.k8sd(patience) {
        return Some(Missing::K8sd(why));
    }
    Database::ALL
        .into_iter()
        .find_map(|database| match datastore.sole_voter(database) {
            Ok(true) => None,
            Ok(false) => Some(Missing::Elsewhere(database)),
            Err(why) => Some(Missing::Unsaid(database, why)),
        })
}
