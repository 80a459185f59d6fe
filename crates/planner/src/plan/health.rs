//! A voter that runs and does not answer.
//!
//! systemd and the process table call it healthy: it is there. Whoever reads from it waits. Pacemaker
//! cannot know, so it is told, and does what it does with any unit that has failed: it stops the voter
//! here, by SIGKILL, and starts it again, here or on the other node.

use super::{Decision, suspended_io};
use crate::observation::Observation;

/// This many reads in a row without an answer are a voter that does not work. One may be a machine
/// that is short of everything for a moment, and a false alarm costs a failover.
const MISSES: u32 = 3;

/// Why the voter here does not work; nothing where it does. Not asked while its volume stands still.
pub(super) fn plan(o: &Observation) -> Option<Decision> {
    if !ill(o) {
        return None;
    }
    Some(
        Decision::blocked(
            format!(
                "k8s-dqlite runs, and the last {} reads of it had no answer: {}",
                o.health.misses,
                last(o)
            ),
            "Pacemaker is told, stops the voter here and starts it again, here or on the other node \
             (`crm_mon -1rf`). What k8s-dqlite waits for may be seen by `systemctl status \
             'snap.*.k8s-dqlite.service'`, `journalctl -k` and `drbdadm status`",
        )
        .only_here(),
    )
}

/// That a read had no answer, before that decides anything.
pub(super) fn warn(o: &Observation, decision: &mut Decision) {
    if o.health.misses > 0 && !ill(o) && o.is_running_voter() && !suspended_io::is(o) {
        decision.warnings.push(format!(
            "the datastore did not answer when it was read ({} of {MISSES} times in a row that make \
             the voter fail): {}",
            o.health.misses,
            last(o)
        ));
    }
}

fn ill(o: &Observation) -> bool {
    o.health.misses >= MISSES && o.is_running_voter()
}

fn last(o: &Observation) -> &str {
    o.health.last.as_deref().unwrap_or("no reason is known")
}
