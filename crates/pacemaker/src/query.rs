//! The one door to the running cluster.

use std::time::Duration;

use two_node_ha_command::{Call, Exit, Runner};

use crate::parse::NOT_CONNECTED;
use crate::{FencingConstraint, Status, parse_crm_mon, parse_fencing_constraints};

/// How long [`status`] may take. On a busy small machine `crm_mon` takes the better part of a
/// second; a cluster in the middle of an election makes it wait.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Why the cluster's status could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Pacemaker does not run on this node, or has not joined yet.
    #[error("cannot read the cluster's status: Pacemaker is not running here: {0}")]
    NotRunning(String),
    /// A tool of Pacemaker could not be run, or did not end in time.
    #[error("cannot read the cluster's status")]
    Call(#[from] two_node_ha_command::Error),
    /// It failed, or printed nonsense.
    #[error("cannot read the cluster's status: {tool} ended with {exit}")]
    Answer {
        /// `crm_mon` or `cibadmin`.
        tool: &'static str,
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
            tool: "crm_mon",
            exit: output.exit,
            source: crate::Error::Schema(output.complaint()),
        }),
        Err(crate::Error::NotRunning(why)) => Err(Error::NotRunning(why)),
        Err(_) if output.exit == Exit::Code(NOT_CONNECTED) => {
            Err(Error::NotRunning(output.complaint()))
        }
        Err(source) => Err(Error::Answer {
            tool: "crm_mon",
            exit: output.exit,
            source,
        }),
    }
}

/// The constraints that the fence-peer handlers of this DRBD resource have placed.
///
/// # Errors
/// As [`status`].
pub fn fencing_constraints(
    runner: &dyn Runner,
    resource: &str,
) -> Result<Vec<FencingConstraint>, Error> {
    let call = Call::new("cibadmin", DEADLINE).args(["--query", "--scope", "constraints"]);
    let output = runner.run(&call)?;
    if output.exit == Exit::Code(NOT_CONNECTED) {
        return Err(Error::NotRunning(output.complaint()));
    }
    let answer = |source| Error::Answer {
        tool: "cibadmin",
        exit: output.exit,
        source,
    };
    if !output.success() {
        return Err(answer(crate::Error::Schema(output.complaint())));
    }
    parse_fencing_constraints(&String::from_utf8_lossy(&output.stdout), resource).map_err(answer)
}
