//! The one door to the running cluster.

use std::time::Duration;

use two_node_ha_command::{Call, Exit, Runner};

use crate::parse::NOT_CONNECTED;
use crate::{Status, parse_crm_mon};

/// How long [`status`] may take. On a busy small machine `crm_mon` takes the better part of a
/// second; a cluster in the middle of an election makes it wait.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Why the cluster's status could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Pacemaker does not run on this node, or has not joined yet.
    #[error("cannot read the cluster's status: Pacemaker is not running here: {0}")]
    NotRunning(String),
    /// crm_mon could not be run, or did not end in time.
    #[error("cannot read the cluster's status")]
    Call(#[from] two_node_ha_command::Error),
    /// crm_mon failed, or printed nonsense.
    #[error("cannot read the cluster's status: crm_mon ended with {exit}")]
    Answer {
        /// How it ended.
        exit: Exit,
        /// What it printed.
        #[source]
        source: crate::Error,
    },
}

/// The cluster's status now.
///
/// # Errors
/// When Pacemaker does not run here ([`Error::NotRunning`]), or crm_mon is not there, fails,
/// prints nonsense, or has not ended after [`DEADLINE`].
pub fn status(runner: &dyn Runner) -> Result<Status, Error> {
    status_within(runner, DEADLINE)
}

/// [`status`], with a deadline of one's own.
///
/// # Errors
/// As [`status`].
pub fn status_within(runner: &dyn Runner, deadline: Duration) -> Result<Status, Error> {
    let call = Call::new("crm_mon", deadline).args(["--output-as=xml", "-1", "--fence-history=3"]);
    let output = runner.run(&call)?;
    match parse_crm_mon(&String::from_utf8_lossy(&output.stdout)) {
        Ok(status) if output.success() => Ok(status),
        Ok(_) => Err(Error::Answer {
            exit: output.exit,
            source: crate::Error::Schema(output.complaint()),
        }),
        Err(crate::Error::NotRunning(why)) => Err(Error::NotRunning(why)),
        Err(_) if output.exit == Exit::Code(NOT_CONNECTED) => {
            Err(Error::NotRunning(output.complaint()))
        }
        Err(source) => Err(Error::Answer {
            exit: output.exit,
            source,
        }),
    }
}
