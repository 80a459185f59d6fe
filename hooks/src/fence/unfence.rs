//! unfence-peer: the resync onto the peer is over.
//!
//! 8.4 calls it in the worker that every state change waits for, so it asks once and does not wait:
//! what it leaves, the agent takes away.

use std::time::Duration;

use two_node_ha_command::Runner;
use two_node_ha_drbd::Decision;
use two_node_ha_pacemaker::fence::{self, ChangeError};
use two_node_ha_pacemaker::{FencingConstraint, query};

use super::disks;
use crate::call::chain;
use two_node_ha_fence::answer::{Answer, Level};
use two_node_ha_fence::{Data, Disks, Subject};

/// What one child may take.
const LIMIT: Duration = Duration::from_secs(3);

/// How often a change is tried again that was overtaken by another.
const ATTEMPTS: usize = 3;

/// Takes the constraints of this resource away if there is nothing left that either side misses. It
/// reads them before it looks at the data; [`mod@two_node_ha_pacemaker::fence`] says why.
///
/// A primary peer's it leaves to that one's own unfence-peer, or to its agent. What a primary claims
/// holds from when *it* has lost the link, and this node may notice that some seconds later, and see
/// both copies connected and the same until then.
pub fn unfence(runner: &dyn Runner, subject: &Subject, minors: &[u32]) -> Answer {
    let later = "; the agent takes it away later";
    let constraints = constraints(runner, &subject.resource);
    let disks = match disks::read(runner, &subject.resource, minors, LIMIT) {
        Ok(disks) => disks,
        Err(why) => {
            let reason =
                format!("DRBD's state cannot be read, so the constraint stays{later}: {why}");
            return Answer::noted(Level::Warning, reason);
        }
    };
    if !equal(&disks) {
        let reason = format!(
            "this node is {} and {} {}: a constraint stays until both are UpToDate",
            Disks::words(&disks.local),
            subject.peer,
            Disks::words(&disks.peer)
        );
        return Answer::noted(Level::Notice, reason);
    }
    let constraints = match constraints {
        Ok(constraints) => constraints,
        Err(error @ query::Error::NotRunning(_)) => {
            let reason = format!("the constraint cannot be looked for: {error}");
            return Answer::noted(Level::Notice, reason);
        }
        Err(error) => {
            let reason = format!(
                "the constraint cannot be looked for{later}: {}",
                chain(&error)
            );
            return Answer::noted(Level::Warning, reason);
        }
    };
    if constraints.is_empty() {
        return Answer::noted(
            Level::Info,
            "both nodes are UpToDate, and there is no constraint, or none that Pacemaker has on its disk \
             (yet): the agent takes that away",
        );
    }
    if let Some(theirs) = constraints
        .iter()
        .find(|constraint| disks.peer_primary && constraint.forbids(&subject.me))
    {
        let reason = format!(
            "both nodes are UpToDate, and the constraint {} is that of {}, which is the primary: it \
             is left to {} to take it away",
            theirs.id, subject.peer, subject.peer
        );
        return Answer::noted(Level::Info, reason);
    }
    let mut gone = Vec::new();
    for constraint in &constraints {
        if let Err(error) = remove(runner, constraint) {
            let reason = format!(
                "both nodes are UpToDate, but the constraint {} could not be taken away{later}: \
                 {error}. By hand: `cibadmin --delete --xml-text '{}'`",
                constraint.id,
                constraint.name()
            );
            return Answer::noted(Level::Warning, reason);
        }
        gone.push(constraint.id.as_str());
    }
    let reason = format!(
        "both nodes are UpToDate again: took away the constraint {}, either may be promoted. One \
         that a fence-peer has placed or renewed in this moment stays",
        gone.join(", ")
    );
    Answer {
        decision: Decision::Unfenced,
        ..Answer::noted(Level::Notice, reason)
    }
}

/// The constraints of the resource: on the disk, where looking is free, else from Pacemaker. One that
/// was placed or renewed in this very moment may be missed, or be there with its old mark, and while
/// that disk is full any: then it stays, and is the agent's. One that is gone already can be taken away again.
fn constraints(
    runner: &dyn Runner,
    resource: &str,
) -> Result<Vec<FencingConstraint>, query::Error> {
    if let Some(stored) = fence::stored_constraints(runner, resource) {
        return Ok(stored);
    }
    let cib = fence::local_cib(runner, LIMIT)?;
    Ok(cib.fencing(resource).cloned().collect())
}

/// Whether both sides hold the same, current data.
fn equal(disks: &Disks) -> bool {
    disks.data() == Data::UpToDate && disks.peer_up_to_date()
}

fn remove(runner: &dyn Runner, constraint: &FencingConstraint) -> Result<(), ChangeError> {
    let mut result = Ok(());
    for _ in 0..ATTEMPTS {
        result = fence::remove(runner, constraint, LIMIT);
        if !matches!(result, Err(ChangeError::Stale)) {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use two_node_ha_command::scripted::Scripted;

    use super::*;

    #[test]
    fn only_where_this_nodes_copy_of_the_cib_is_behind_the_taking_away_is_tried_again() {
        let constraint = FencingConstraint::new("r0", "drbd_master_slave", "alpha");
        // Done, a copy that is behind, no quorum.
        for (code, tries) in [(0, 1), (103, ATTEMPTS), (106, 1)] {
            let runner = Scripted::new().answer("cibadmin --delete", code, "");
            let removed = remove(&runner, &constraint);
            assert_eq!(removed.is_ok(), code == 0, "{code}");
            assert_eq!(runner.calls().len(), tries, "{code}");
        }
    }
}
