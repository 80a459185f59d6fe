//! Leaving the volume: before Pacemaker unmounts it, or when nobody holds the role any more.

use super::{Decision, State, Step, Target, frozen, stop_if_needed};
use crate::observe::{Leads, Mount, Observation, Request};

pub(super) fn plan(o: &Observation) -> Decision {
    // I4: k8s-dqlite is killed here and hands nothing over, so the peer's spare may go on running.
    let mut steps: Vec<Step> = stop_if_needed(o).into_iter().collect();
    if frozen::is(o) && o.mount == Mount::ReadWrite {
        // What is to be taken from the volume cannot be read, nor can it be unmounted.
        let why = "the volume is to be left, and its I/O stands still";
        return if steps.is_empty() {
            Decision::wait(State::Draining, why)
        } else {
            Decision::act(State::Draining, steps, why)
        };
    }
    for (database, directories) in &o.databases {
        if directories.leads == Leads::ToVolume {
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
