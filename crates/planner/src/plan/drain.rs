//! Leaving the volume: before Pacemaker unmounts it, or when nobody holds the role any more.

use super::{Decision, State, Step, Target, stop_if_needed, suspended_io};
use crate::observation::{LinkTarget, Mount, Observation, Request};

pub(super) fn plan(o: &Observation) -> Decision {
    // I4: k8s-dqlite is killed here and hands nothing over, so the peer's spare may go on running.
    let mut steps: Vec<Step> = stop_if_needed(o).into_iter().collect();
    if suspended_io::is(o) && o.mount == Mount::ReadWrite {
        // What is to be taken from the volume cannot be read, nor can it be unmounted.
        let why = "the volume is to be left, and its I/O stands still";
        return if steps.is_empty() {
            Decision::wait(State::Draining, why)
        } else {
            Decision::act(State::Draining, steps, why)
        };
    }
    if let Some(why) = o.own_disk.as_ref().filter(|_| !o.services.may_write()) {
        return without_the_disk(o, why);
    }
    for (database, directories) in &o.databases {
        if directories.leads == LinkTarget::ToVolume {
            // Certificates may have been renewed since this node became the voter.
            steps.push(if o.mount == Mount::ReadWrite {
                Step::Leave(*database)
            } else {
                Step::Flip(*database, Target::Spare)
            });
        }
    }
    let reason = match o.request {
        Request::Release => "Pacemaker takes the voter role away from this node",
        Request::None | Request::Hold => {
            "the failover unit is gone, so Pacemaker may unmount the volume at any moment"
        }
    };
    if o.request == Request::Release {
        steps.push(Step::ReportReleased);
    }
    Decision::act(State::Draining, steps, reason)
}

/// Nothing runs on the volume, and what else is to be done needs a disk that takes no change: a link
/// that still leads onto the volume leads into an empty, immutable directory once that is unmounted,
/// and a token that stays opens no gate while nobody holds the role.
fn without_the_disk(o: &Observation, why: &str) -> Decision {
    let warning = format!(
        "{why}. The k8s services are stopped, so the volume is left all the same; until this node's own \
         disk can be written again nothing starts here"
    );
    let decision = match o.request {
        Request::Release => Decision::act(
            State::Draining,
            vec![Step::ReportReleased],
            "Pacemaker takes the voter role away from this node",
        ),
        Request::None | Request::Hold => Decision::wait(
            State::Draining,
            "the failover unit is gone, and the services are stopped",
        ),
    };
    decision.warning(warning)
}
