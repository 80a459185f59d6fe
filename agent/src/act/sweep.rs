//! Taking a fencing constraint away that has outlived its reason.

use std::time::Duration;

use two_node_ha_pacemaker::{fence, lock, query};

use super::{Actor, Error, Outcome};
use crate::observe::live;

/// How long a fence handler that is at work is waited for.
const LOCK: Duration = Duration::from_secs(5);

/// What cibadmin may take.
const CHANGE: Duration = Duration::from_secs(5);

impl Actor {
    /// I3: that both copies are the same is asked again, with the handlers' lock held. A handler that
    /// is called while this is under way waits for it, and then sees what it has done.
    ///
    /// A failure says nothing about the voter here, so that each is one of the guard: it is planned
    /// anew.
    pub(super) fn remove_constraint(&self, id: &str) -> Result<Outcome, Error> {
        let resource = &self.config.volume.resource;
        let _lock = lock::take(&self.paths.run(), resource, LOCK).map_err(Error::Guard)?;
        let drbd = live::drbd(&*self.runner, &self.config);
        if !drbd.equal {
            return Err(Error::Guard(format!(
                "the copies are not the same any more ({}), so the constraint {id} stays",
                drbd.summary
            )));
        }
        let constraints = query::fencing_constraints(&*self.runner, resource)
            .map_err(|error| Error::Guard(error.to_string()))?;
        let standing = constraints.into_iter().find(|c| c.id == id);
        let Some(constraint) = standing else {
            // The handler was quicker.
            return Ok(Outcome::ConstraintRemoved);
        };
        if constraint.forbids(&self.node.name) {
            return Err(Error::Guard(format!(
                "the constraint {id} is not this node's any more"
            )));
        }
        fence::remove(&*self.runner, &constraint, CHANGE).map_err(|error| {
            Error::Guard(format!(
                "the constraint {id} could not be taken away ({error}); by hand: `cibadmin \
                 --delete --xml-text '{}'`",
                constraint.name()
            ))
        })?;
        tracing::info!(
            id,
            "took the constraint away: both copies are the same again"
        );
        Ok(Outcome::ConstraintRemoved)
    }
}
