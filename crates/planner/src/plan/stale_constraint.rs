//! A fencing constraint that has outlived its reason.
//!
//! DRBD's unfence-peer handler takes the constraint away at the end of a resync. 8.4 calls it only
//! then: a link that comes back with nothing to sync leaves the constraint for good, and with the
//! next failure a cluster that promotes nobody. The node that the constraint allows takes it away,
//! while both copies are the same: then it protects nothing.
//!
//! That holds for a node that is not where it should be, too. Pacemaker may want to promote the other
//! one just because this one cannot become the voter, and the constraint would let it promote nobody.

use super::{Decision, State, Step, suspended_io};
use crate::observation::{Asked, Observation, Promotion};

/// The node is where it should be; what is left is to see whether a constraint has stayed.
pub fn arrived(o: &Observation, state: State, reason: String) -> Decision {
    if !o.drbd.equal {
        // It may have every reason to stand. DRBD tells when that changes.
        return Decision::settled(state, reason);
    }
    match &o.promotion {
        Asked::NotYet => Decision::act(state, vec![Step::AskPromotion], reason)
            .because("whether a fencing constraint has stayed is not known yet"),
        Asked::Silent(why) => Decision::wait(state, reason).because(format!(
            "whether a fencing constraint has stayed is not known: {why}"
        )),
        Asked::Answer(Promotion::PeerForbidden(id)) => {
            Decision::act(state, vec![Step::RemoveConstraint(id.clone())], reason)
                .because(outlived(o, id))
        }
        // One against this node is the peer's to take away.
        Asked::Answer(Promotion::Allowed | Promotion::Forbidden(_)) => {
            Decision::settled(state, reason)
        }
    }
}

/// The node is not where it should be, and can do nothing about that but wait.
pub fn meanwhile(o: &Observation, decision: &mut Decision) {
    if decision.settled || !decision.steps.is_empty() || !o.drbd.equal || suspended_io::is(o) {
        return;
    }
    match &o.promotion {
        Asked::NotYet => decision.steps.push(Step::AskPromotion),
        Asked::Answer(Promotion::PeerForbidden(id)) => {
            decision.steps.push(Step::RemoveConstraint(id.clone()));
            decision.reasons.push(outlived(o, id));
        }
        // What Pacemaker does not tell is asked again before it matters: see [`arrived`].
        Asked::Silent(_) | Asked::Answer(Promotion::Allowed | Promotion::Forbidden(_)) => {}
    }
}

fn outlived(o: &Observation, id: &str) -> String {
    format!(
        "the constraint {id} still keeps {} from being promoted, although both copies are the same \
         again",
        o.peer
    )
}
