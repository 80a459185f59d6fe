//! The calls of a fence handler: the local CIB, the constraint, and two pieces of evidence.
//!
//! Each takes the time that it may take. Its child is killed, with all that it has started, when
//! that is over ([`two_node_ha_command`]); a tool that waits for a DC is told to give up before.
//!
//! # The mark
//! Handler, unfence and the agent's sweep share the constraint, and each may be stopped between what
//! it reads and what it does. So a constraint carries a mark: the id of its first exception, with a
//! new random word in it each time that it is placed, and each time that a handler is about to claim
//! something on one that it has found ([`renew`]). Whoever takes a constraint away
//! names the mark that it has read ([`remove`]), and Pacemaker compares and deletes in
//! one step. Whoever deletes has to do it in this order:
//!
//! 1. read the constraint, and with it the mark;
//! 2. see that both copies are the same, and connected;
//! 3. delete the constraint of that mark.
//!
//! Then no claim loses its constraint. Say that a handler was called for a lost link, and claims
//! something on mark m, which it has put there itself. If a deleter names m, it has read it after the
//! handler was called (1), so that it has seen the link up again after the handler was called (2);
//! and DRBD does not take an answer of a handler that was called before the link was last up. If it
//! names another mark, the delete finds nothing (3). The other way round, 2 before 1, would be wrong:
//! the link may drop in between, and what is read then is the handler's new mark.
//!
//! The id of the exception is where the mark hurts nobody: Pacemaker's schema takes any, drbd-utils'
//! scripts find the constraint by its own id and cut all ids out before they compare, and
//! crm-fence-peer.9.sh looks for the id of the *rule* in crm_mon's bans, which is why that one stays.
//! A constraint of theirs, or of an older version of this one, has a mark as well: the id that they
//! always give it. The handler that relies on it renews it like any other.

use std::path::Path;
use std::time::{Duration, Instant};

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
    /// The constraint that was read is not there any more: it was taken away, or renewed.
    #[error("the constraint is not the one any more that was read")]
    Changed,
    /// The constraint was to be taken away and stands, with another mark than the one that was read.
    #[error("it was renewed or placed anew meanwhile, so somebody relies on it and it stays")]
    Renewed,
    /// The constraint was to be taken away, nobody refused, and the CIB cannot be read.
    #[error("whether it is gone is not known: {0}")]
    Unknown(String),
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
    let element = constraint.element(role);
    let change = ["--create", "--scope", "constraints", "--xml-text", &element];
    changed(runner, &change, limit)
}

/// Gives the constraint that was read another mark, so that whoever has read the old one does not
/// take it away any more.
///
/// Pacemaker looks for the constraint of the old mark and puts the new one in its place, as one
/// change of the CIB at the DC. It makes none where there was none: one that was taken away, or that
/// another handler has renewed, is [`ChangeError::Changed`], and has to be looked at again. After
/// `Ok` the constraint stands, has stood since it was read, and its mark is one that nobody else has
/// read before.
///
/// # Errors
/// A [`ChangeError`]. After [`ChangeError::NoDc`] it may have been renewed all the same; its mark
/// tells.
pub fn renew(
    runner: &dyn Runner,
    read: &FencingConstraint,
    renewed: &FencingConstraint,
    role: &str,
    limit: Duration,
) -> Result<(), ChangeError> {
    let (path, element) = (read.path(), renewed.element(role));
    let change = ["--replace", "--xpath", &path, "--xml-text", &element];
    changed(runner, &change, limit)
}

/// Takes the constraint away that was read, as long as it has the mark that it was read with. One
/// that is not there is taken away, and one that has another mark stays: [`remove_and_look`] tells. What has to
/// be looked at between reading and this, the head of this page says.
///
/// `cibadmin --delete --xml-text` would compare the attributes of the element, and not its children,
/// so that it cannot name a mark; with an XPath Pacemaker searches and deletes in one change of the
/// CIB.
///
/// # Errors
/// A [`ChangeError`], but never [`ChangeError::Exists`] or [`ChangeError::Changed`].
pub fn remove(
    runner: &dyn Runner,
    read: &FencingConstraint,
    limit: Duration,
) -> Result<(), ChangeError> {
    remove_at(runner, &read.path(), limit)
}

fn remove_at(runner: &dyn Runner, path: &str, limit: Duration) -> Result<(), ChangeError> {
    match changed(runner, &["--delete", "--xpath", path], limit) {
        Ok(()) | Err(ChangeError::Changed) => Ok(()),
        Err(error) => Err(error),
    }
}

/// [`remove`], and a look at what has come of it: Pacemaker says the same whether it has found the
/// constraint or not.
///
/// # Errors
/// A [`ChangeError`]: [`ChangeError::Renewed`] where it stands with another mark.
pub fn remove_and_look(
    runner: &dyn Runner,
    read: &FencingConstraint,
    limit: Duration,
) -> Result<(), ChangeError> {
    remove_any_and_look(runner, std::slice::from_ref(read), limit)
}

/// The same of a constraint that has the mark of one of these, for whoever has tried to place it more
/// than once and was not answered each time: which of the tries was made, this node's copy of the CIB
/// need not show yet.
///
/// # Errors
/// A [`ChangeError`]: [`ChangeError::Renewed`] where it stands with a mark of somebody else.
pub fn remove_any_and_look(
    runner: &dyn Runner,
    any: &[FencingConstraint],
    limit: Duration,
) -> Result<(), ChangeError> {
    let Some(first) = any.first() else {
        return Ok(());
    };
    let since = Instant::now();
    remove_at(runner, &first.path_with_marks_of(any), limit)?;
    let deleted = Instant::now();
    loop {
        let left = limit.saturating_sub(since.elapsed()).max(LAST_LOOK);
        let all = local_constraints(runner, left)
            .map_err(|error| ChangeError::Unknown(error.to_string()))?;
        match all.iter().find(|constraint| constraint.id == first.id) {
            None => return Ok(()),
            Some(stands) if any.iter().all(|one| one.mark != stands.mark) => {
                return Err(ChangeError::Renewed);
            }
            // No mark comes twice: this node's copy of the CIB is behind by a moment.
            Some(_) if deleted.elapsed() < LAST_LOOK => std::thread::sleep(PAUSE),
            Some(_) => {
                let why = "this node's copy of the CIB still has it".to_owned();
                return Err(ChangeError::Unknown(why));
            }
        }
    }
}

/// What a look after a change may take, whatever the change has left of its time.
const LAST_LOOK: Duration = Duration::from_millis(200);

/// Between two such looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The handlers' constraints of all resources, in this node's copy of the CIB.
fn local_constraints(
    runner: &dyn Runner,
    limit: Duration,
) -> Result<Vec<FencingConstraint>, query::Error> {
    let call = Call::new("cibadmin", limit).args(["--query", "--local", "--scope", "constraints"]);
    let output = runner.run(&call)?;
    let refused = |source| query::Error::Answer {
        tool: "cibadmin",
        exit: output.exit,
        source,
    };
    if !output.success() {
        return Err(refused(crate::Error::Schema(output.complaint())));
    }
    constraint::section(&String::from_utf8_lossy(&output.stdout)).map_err(refused)
}

/// Has cibadmin change the CIB.
fn changed(runner: &dyn Runner, change: &[&str], limit: Duration) -> Result<(), ChangeError> {
    // Whole seconds are all that it understands; it gives up before it is killed.
    let patience = limit.as_secs().saturating_sub(1).max(1).to_string();
    let call = Call::new("cibadmin", limit)
        .args(change)
        .args(["--timeout", &patience]);
    let output = match runner.run(&call) {
        Ok(output) => output,
        Err(error @ two_node_ha_command::Error::Deadline { .. }) => {
            return Err(ChangeError::NoDc(error.to_string()));
        }
        Err(error) => return Err(ChangeError::Call(error)),
    };
    let of = |codes: &[i32]| matches!(output.exit, Exit::Code(code) if codes.contains(&code));
    let said = || first_line(&output);
    if output.success() {
        Ok(())
    } else if of(code::ABSENT) {
        Err(ChangeError::Changed)
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
