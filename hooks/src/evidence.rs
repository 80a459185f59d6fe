//! The evidence of a split brain, as far as a handler can have it: without a lock of DRBD's, and
//! without touching the volume, whose I/O may be suspended until the handler has answered. The agent
//! adds the generation identifiers, which `drbdsetup` reads under the lock, and the other side.

use std::path::{Path, PathBuf};
use std::time::Duration;

use two_node_ha_command::Runner;
use two_node_ha_drbd::query;
use two_node_ha_events::Event;
use two_node_ha_evidence::{DIR, Evidence, Noted};

use crate::root::Root;

const PROC_DRBD: &str = "/proc/drbd";
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
const JOURNAL: &str = "/var/lib/two-node-ha/journal.json";

/// How long DRBD may take to tell its state.
const DRBD: Duration = Duration::from_secs(2);

/// Writes it.
///
/// # Errors
/// See the evidence crate; then the event and the journal have what was passed.
pub fn keep(root: &Root, event: &Event) -> Result<PathBuf, two_node_ha_evidence::Error> {
    two_node_ha_evidence::write(&root.path(DIR), &gather(root, event))
}

fn gather(root: &Root, event: &Event) -> Evidence {
    let mut problems = Vec::new();
    let text = |path: &str| {
        let bytes = root.read(Path::new(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    let drbd = match query::now_within(root, DRBD) {
        Ok(state) => Some(state),
        Err(error) => {
            problems.push(crate::finish::chain(&error));
            None
        }
    };
    let journal = text(JOURNAL).and_then(|text| {
        let (journal, problem) = Noted::journal(text.as_bytes());
        problems.extend(problem.map(|why| format!("{JOURNAL}: {why}")));
        journal
    });
    Evidence {
        host: text(HOSTNAME).unwrap_or_default(),
        resource: event.resource.clone(),
        peer: event.peer.clone(),
        minors: event.minors.clone(),
        env: event.env.clone(),
        drbd,
        proc_drbd: text(PROC_DRBD),
        journal,
        problems,
        ..Evidence::new(event.handler.clone(), event.time)
    }
}
