//! Whether the databases here answer, asked of the programs that hold them and of nobody else.
//!
//! `k8s status` is not asked: it dials every member of the cluster in turn, 30 s each, and takes the
//! roles from a table that only heartbeats write. Where a peer has died without a word it calls a
//! voter by its name after a minute, or never, although every write succeeds. Each question here goes
//! to one socket on this node, or to files on it, and has a deadline.

mod api;
pub mod confirm;
mod etcd;
mod k8sd;
mod raft;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use two_node_ha_config::Config;
use two_node_ha_node::Paths;
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;

/// How long one question may take. The answers are there in a tenth of a second; a disk that is busy
/// with a resync makes them slower, but not by this much.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The questions: narrow, so that everything decided on the answers can be tried without a database.
/// Each error is a sentence without its full stop, made to follow "no answer: ".
pub trait Datastore: std::fmt::Debug {
    /// Reads one key from k8s-dqlite as the API server would, through the leader: whoever answers
    /// this can serve.
    ///
    /// # Errors
    /// Why there is no answer.
    fn read(&self, within: Duration) -> Result<(), String>;

    /// Asks k8sd whether its database is open.
    ///
    /// # Errors
    /// Why there is no answer, or what k8sd says instead.
    fn k8sd(&self, within: Duration) -> Result<(), String>;

    /// Whether the log of this database says that this node is its only voter.
    ///
    /// # Errors
    /// Why the log does not say, as while a segment is being closed.
    fn sole_voter(&self, database: Database) -> Result<bool, String>;

    /// Asks the API server here whether it is ready.
    ///
    /// # Errors
    /// Why there is no answer, or what it says instead.
    fn api(&self, within: Duration) -> Result<(), String>;
}

/// The door to the real ones.
#[derive(Debug, Clone)]
pub struct Local {
    config: Arc<Config>,
    paths: Paths,
}

impl Local {
    /// The databases of this node.
    #[must_use]
    pub fn new(config: &Arc<Config>, paths: &Paths) -> Self {
        Self {
            config: Arc::clone(config),
            paths: paths.clone(),
        }
    }

    fn in_state(&self, database: Database, name: &str) -> PathBuf {
        self.paths
            .state_directory(&self.config, database)
            .join(name)
    }
}

impl Datastore for Local {
    fn read(&self, within: Duration) -> Result<(), String> {
        etcd::read(
            &self.in_state(Database::K8sDqlite, "k8s-dqlite.sock"),
            within,
        )
    }

    fn k8sd(&self, within: Duration) -> Result<(), String> {
        k8sd::ask(&self.in_state(Database::K8sd, "control.socket"), within)
    }

    fn sole_voter(&self, database: Database) -> Result<bool, String> {
        raft::sole_voter(&raft_directory(
            database,
            &self.paths.state_directory(&self.config, database),
        ))
    }

    fn api(&self, within: Duration) -> Result<(), String> {
        api::ask(
            &two_node_ha_command::System::new(),
            &self.config,
            &self.paths,
            within,
        )
    }
}

/// Runs one question to its end or its deadline, on a runtime that is made for it on this thread and
/// gone afterwards: nothing is left that could wake up.
fn ask<T>(
    within: Duration,
    question: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("no runtime for the question: {error}"))?;
    let answer = runtime.block_on(async { tokio::time::timeout(within, question).await });
    answer.unwrap_or_else(|_| Err(format!("nothing within {:.1} s", within.as_secs_f64())))
}

/// Connects to a socket in the file system. One whose queue is full refuses at once: whoever listens
/// there has not accepted anybody for long.
async fn connect(socket: &std::path::Path) -> Result<tokio::net::UnixStream, String> {
    tokio::net::UnixStream::connect(socket)
        .await
        .map_err(|error| format!("connecting to {}: {error}", socket.display()))
}

#[cfg(test)]
mod tests;
