//! The calls of a fence handler: the local CIB, the constraint, and two pieces of evidence.
//!
//! Each takes the time that it may take. Its child is killed, with all that it has started, when
//! that is over ([`two_node_ha_command`]); a tool that waits for a DC is told to give up before.

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::{Call, Exit, Output, Runner};

use crate::cib::{Cib, parse_cib, parse_constraints};
use crate::constraint::{self, FencingConstraint};
use crate::parse::{NOT_CONNECTED, document, fence_event};
use crate::query;
use crate::status::{FenceEvent, FenceStatus};

/// Exit codes of Pacemaker's tools (`include/crm/common/results.h`); those above 200 and below 100
/// are of 1.1 and old 2.0.
mod code {
    pub const EXISTS: &[i32] = &[108];
    pub const ABSENT: &[i32] = &[105, 6];
    pub const STALE: &[i32] = &[103, 205];
    pub const NO_DC: &[i32] = &[114, 124, 62];
    pub const NO_QUORUM: &[i32] = &[106];
}

/// Why the CIB was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is a constraint of that id already.
    #[error("the constraint is there already")]
    Exists,
    /// Somebody else changed the CIB at the same time: try again.
    #[error("the CIB changed meanwhile")]
    Stale,
    /// Nobody answered in time: there is no DC, or it has other things to do. Whether the change was
    /// made, the CIB tells.
    #[error("no DC answered: {0}")]
    NoDc(String),
    /// This partition has no quorum.
    #[error("the partition has no quorum: {0}")]
    NoQuorum(String),
    /// Pacemaker does not run on this node.
    #[error("Pacemaker is not running on this node: {0}")]
    NotRunning(String),
    /// It was refused.
    #[error("cibadmin ended with {exit}: {complaint}")]
    Refused {
        /// How cibadmin ended.
        exit: Exit,
        /// What it said.
        complaint: String,
    },
    /// cibadmin could not be run.
    #[error(transparent)]
    Call(two_node_ha_command::Error),
}

/// This node's copy of the CIB.
///
/// # Errors
/// When Pacemaker does not run here ([`query::Error::NotRunning`]), or cibadmin is not there,
/// fails, prints nonsense, or has not ended after `limit`.
pub fn local_cib(runner: &dyn Runner, limit: Duration) -> Result<Cib, query::Error> {
    let call = Call::new("cibadmin", limit).args(["--query", "--local"]);
    let output = runner.run(&call)?;
    let refused = |source| query::Error::Answer {
        tool: "cibadmin",
        exit: output.exit,
        source,
    };
    match output.exit {
        Exit::Code(0) => parse_cib(&String::from_utf8_lossy(&output.stdout)).map_err(refused),
        Exit::Code(NOT_CONNECTED) => Err(query::Error::NotRunning(output.complaint())),
        _ => Err(refused(crate::Error::Schema(output.complaint()))),
    }
}

/// Where Pacemaker keeps the CIB on the disk, without its status section.
const STORED: &str = "/var/lib/pacemaker/cib/cib.xml";

/// The handlers' constraints of a resource as they are on this node's disk; `None` when that cannot
/// be read. It takes no process, and may be a moment behind: Pacemaker writes the file once a change
/// has been made. So it is for whoever does no harm when it misses a constraint that has just been
/// placed, or names one that has just gone; nothing may be claimed on it.
pub fn stored_constraints(runner: &dyn Runner, resource: &str) -> Option<Vec<FencingConstraint>> {
    let text = runner.read(Path::new(STORED)).ok()?;
    let mut all = parse_constraints(&String::from_utf8_lossy(&text)).ok()?;
    all.retain(|constraint| constraint::belongs(&constraint.id, resource));
    Some(all)
}

/// Places the constraint: in the CIB of the whole partition, through its DC. Creating is atomic: of
/// two nodes that ask, one gets [`ChangeError::Exists`].
///
/// # Errors
/// A [`ChangeError`].
pub fn place(
    runner: &dyn Runner,
    constraint: &FencingConstraint,
    role: &str,
    limit: Duration,
) -> Result<(), ChangeError> {
    change(runner, "--create", &constraint.element(role), limit)
}

/// Takes the constraint away. One that is not there is taken away.
///
/// # Errors
/// A [`ChangeError`], but never [`ChangeError::Exists`].
pub fn remove(
    runner: &dyn Runner,
    constraint: &FencingConstraint,
    limit: Duration,
) -> Result<(), ChangeError> {
    change(runner, "--delete", &constraint.name(), limit)
}

fn change(
    runner: &dyn Runner,
    command: &str,
    element: &str,
    limit: Duration,
) -> Result<(), ChangeError> {
    // Whole seconds are all that it understands; it gives up before it is killed.
    let patience = limit.as_secs().saturating_sub(1).max(1).to_string();
    let call = Call::new("cibadmin", limit).args([
        command,
        "--scope",
        "constraints",
        "--timeout",
        &patience,
        "--xml-text",
        element,
    ]);
    let output = match runner.run(&call) {
        Ok(output) => output,
        Err(error @ two_node_ha_command::Error::Deadline { .. }) => {
            return Err(ChangeError::NoDc(error.to_string()));
        }
        Err(error) => return Err(ChangeError::Call(error)),
    };
    let of = |codes: &[i32]| matches!(output.exit, Exit::Code(code) if codes.contains(&code));
    let said = || first_line(&output);
    if output.success() || (command == "--delete" && of(code::ABSENT)) {
        Ok(())
    } else if of(code::EXISTS) {
        Err(ChangeError::Exists)
    } else if of(code::STALE) {
        Err(ChangeError::Stale)
    } else if of(code::NO_DC) {
        Err(ChangeError::NoDc(said()))
    } else if of(code::NO_QUORUM) {
        Err(ChangeError::NoQuorum(said()))
    } else if of(&[NOT_CONNECTED]) {
        Err(ChangeError::NotRunning(said()))
    } else {
        Err(ChangeError::Refused {
            exit: output.exit,
            complaint: said(),
        })
    }
}

/// What follows its first line is the constraint once more.
fn first_line(output: &Output) -> String {
    let complaint = output.complaint();
    complaint.lines().next().unwrap_or_default().to_owned()
}

/// Whether the controller of that node answers now: a message there and back through the cluster,
/// in the same total order as the changes of the CIB. One that answers has seen every change that
/// was made before the question.
///
/// # Errors
/// Why it did not answer, in words.
pub fn answers(runner: &dyn Runner, node: &str, limit: Duration) -> Result<(), String> {
    let patience = format!("{}ms", limit.as_millis().max(1));
    // A little longer than it has been told to wait, so that it can say what it did not hear.
    let call = Call::new("crmadmin", limit + Duration::from_millis(500)).args([
        "--output-as=xml",
        "--timeout",
        &patience,
        "--status",
        node,
    ]);
    let output = runner.run(&call).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tree = document(&text).map_err(|error| format!("`{call}`: {error}"))?;
    // `<crmd node_name="beta" state="S_NOT_DC" result="ok"/>`
    let answered = tree.descendants().any(|element| {
        element.has_tag_name("crmd")
            && element.attribute("result") == Some("ok")
            && element
                .attribute("node_name")
                .is_none_or(|name| name == node)
    });
    if output.success() && answered {
        return Ok(());
    }
    let errors: Vec<_> = tree
        .descendants()
        .filter(|element| element.has_tag_name("error"))
        .filter_map(|element| element.text())
        .collect();
    Err(format!(
        "`{call}` ended with {}: {}",
        output.exit,
        if errors.is_empty() {
            output.complaint()
        } else {
            errors.join("; ")
        }
    ))
}

/// The last fencing of that node which is over, as the cluster's fencer remembers it; `None` when
/// it remembers none, or when one is under way.
///
/// # Errors
/// Why it cannot be told, in words.
pub fn last_fencing(
    runner: &dyn Runner,
    node: &str,
    limit: Duration,
) -> Result<Option<FenceEvent>, String> {
    // Without --verbose it leaves out those that failed.
    let call =
        Call::new("stonith_admin", limit).args(["--output-as=xml", "--verbose", "--history", node]);
    let output = runner.run(&call).map_err(|error| error.to_string())?;
    if !output.success() {
        return Err(format!("`{call}` ended with {}", output.exit));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let tree = document(&text).map_err(|error| format!("`{call}`: {error}"))?;
    // The newest first, pending ones before all others.
    let newest = tree
        .descendants()
        .filter(|element| element.has_tag_name("fence_event"))
        .map(fence_event)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("`{call}`: {error}"))?
        .into_iter()
        .find(|event| event.target == node);
    Ok(newest.filter(|event| event.status != FenceStatus::Pending))
}
