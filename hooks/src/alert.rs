//! Telling people of a split brain: the terminals, the operator's own command, Pacemaker. DRBD waits
//! for the handler, and the handler for these: each has a deadline, they run at the same time, and
//! none of them decides anything.

use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::Duration;

use two_node_ha_command::{Call, Error, Runner};
use two_node_ha_events::Event;

use crate::finish::chain;
use crate::root::Root;
use crate::settings::Settings;

/// How long `hooks.alert_command` may take.
const COMMAND: Duration = Duration::from_secs(5);
/// How long the terminals and Pacemaker may take.
const OTHERS: Duration = Duration::from_secs(3);

/// What was left for the agent and for a person.
pub struct Files<'a> {
    /// The event.
    pub event: Option<&'a Path>,
    /// The evidence.
    pub evidence: Option<&'a Path>,
}

/// Alerts everybody, and says what failed.
pub fn all(
    root: &Root,
    settings: &Settings,
    event: &Event,
    files: &Files<'_>,
    complain: &mut dyn FnMut(String),
) {
    let calls: Vec<Call> = [
        Some(wall(event)),
        settings
            .alert_command()
            .map(|c| command(c.into(), event, files)),
        settings
            .alert_attribute()
            .map(|name| attribute(name, event)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let failed: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = calls
            .iter()
            .map(|call| thread::Builder::new().spawn_scoped(scope, || run(root, call)))
            .collect();
        running
            .into_iter()
            .filter_map(|thread| thread.ok()?.join().ok()?)
            .collect()
    });
    for complaint in failed {
        complain(format!(
            "the alert of {} failed: {complaint}",
            event.handler
        ));
    }
}

/// What went wrong, if anything that was to be expected did.
fn run(root: &Root, call: &Call) -> Option<String> {
    match root.run(call) {
        Ok(output) if output.success() => None,
        Ok(output) => Some(output.failure(call)),
        // A machine without terminals, or without Pacemaker.
        Err(Error::NotInstalled { .. }) if !Path::new(&call.program).is_absolute() => None,
        Err(error) => Some(chain(&error)),
    }
}

fn subject(event: &Event) -> String {
    event.resource.clone().unwrap_or_else(|| {
        event
            .minors
            .first()
            .map_or_else(|| "a resource".to_owned(), |minor| format!("minor {minor}"))
    })
}

/// wall(1) gives up on a terminal that does not read.
fn wall(event: &Event) -> Call {
    let text = format!(
        "SPLIT BRAIN of DRBD {}: both nodes have written. Nothing is discarded. \
         What to do: two-node-ha split-brain show",
        subject(event)
    );
    Call::new("wall", OTHERS).args(["-t", "2", &text])
}

/// `hooks.alert_command RESOURCE`, with DRBD's variables and the files' paths.
fn command(program: OsString, event: &Event, files: &Files<'_>) -> Call {
    let mut call = Call::new(program, COMMAND).args([subject(event)]);
    call.env.extend(
        event
            .env
            .iter()
            .map(|(k, v)| (OsString::from(k), OsString::from(v))),
    );
    let path = |path: Option<&Path>| path.unwrap_or(Path::new("")).to_owned();
    call.env("TWO_NODE_HA_HANDLER", event.handler.as_str())
        .env("TWO_NODE_HA_EVENT", path(files.event))
        .env("TWO_NODE_HA_EVIDENCE", path(files.evidence))
}

/// Fails at once where Pacemaker does not run.
fn attribute(name: &str, event: &Event) -> Call {
    Call::new("attrd_updater", OTHERS).args(["--name", name, "--update", event.handler.as_str()])
}
