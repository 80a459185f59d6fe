//! The snap's services beside the datastore: they are started again with patience, and one that does not
//! run is said. Neither the voter nor the spare is given up for one of them, not even for k8sd: writes
//! are accepted without it.

use super::{Decision, State, Step, evidence};
use crate::observation::{Asked, Mount, Observation, Request, Services};

/// Says which of them do not run, and starts them where they may run and there is nothing else to do.
pub(super) fn plan(o: &Observation, decision: &mut Decision) {
    let may_run = o.services == Services::Running && o.token && !o.shutting_down;
    if o.rest.is_up() || !may_run || o.request == Request::Release {
        return;
    }
    let names: Vec<&str> = o.rest.down.iter().map(String::as_str).collect();
    let (subject, verb) = match names.len() {
        1 => (format!("the service {} of the snap", names[0]), "does"),
        _ => (
            format!("the services {} of the snap", names.join(", ")),
            "do",
        ),
    };
    let units: Vec<String> = names
        .iter()
        .map(|name| format!("-u 'snap.*.{name}.service'"))
        .collect();
    decision.warnings.push(format!(
        "{subject} {verb} not run, although the datastore does: the agent goes on trying to start what \
         is missing. See `journalctl -b {}`",
        units.join(" ")
    ));
    if o.rest.due && decision.steps.is_empty() && may_start(o, decision) {
        decision.steps.push(Step::StartRest);
        decision.settled = false;
    }
}

/// Whether k8sd may be among those that are started. The gate of each asks the kernel the same.
fn may_start(o: &Observation, decision: &Decision) -> bool {
    match o.request {
        Request::Hold => decision.state == State::PrimaryRunning,
        // As when it was started first; and a database that has become the voter off the volume stays as
        // it is.
        Request::None => {
            let known = matches!(&o.peer_report, Asked::Answer(report) if report.voter
                && report.epoch == o.journal.highest_epoch);
            known && o.mount == Mount::None && evidence::voter_off_the_volume(o).is_none()
        }
        Request::Release => false,
    }
}
