//! fence-peer and unfence-peer.
//!
//! DRBD asks whether it may go on without the peer. The answer rests on what [`disks`] says of the
//! data, what [`view`] reads in the CIB, and a decision without clock and I/O ([`mod@decide`]);
//! [`run`] does what it says until it answers.

mod disks;
mod run;
mod unfence;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::Runner;
use two_node_ha_drbd::Decision;
use two_node_ha_node::RUN;
use two_node_ha_pacemaker::lock;

use self::run::Run;
use crate::call::Call;
use crate::journal::{Journal, Record};
use crate::settings::Settings;
use crate::world::World;
use two_node_ha_fence::Subject;
use two_node_ha_fence::answer::{Answer, Code, Fence, Level};

/// How long another handler's lock is waited for, of a deadline.
const LOCK_SHARE: u32 = 4;

/// Answers fence-peer.
pub fn fence(call: &Call, settings: &Settings) -> Answer {
    let world = World::new(&call.root);
    let subject = match subject(call, settings, &world) {
        Ok(subject) => subject,
        Err(why) => {
            let reason = format!("{why}: answered 1, nothing is claimed about the peer");
            return Answer::new(Code::Fence(Fence::Broken), Decision::Unnamed, reason);
        }
    };
    let journal = Journal::open(&call.root);
    let note = |text: &str| {
        let Subject { resource, peer, .. } = &subject;
        let text = format!("fence-peer of {resource} (peer {peer}): waiting: {text}");
        journal.send(&Record::new(Level::Notice, text));
    };
    let deadline = settings.deadline(&call.request.handler);
    let _lock = locked(call, &subject, deadline, &journal);
    let configured = settings.minor_of(&subject.resource);
    Run {
        runner: &world,
        subject: &subject,
        minors: &minors(call.request.minors(), configured),
        started: call.started,
        deadline,
        note: &note,
    }
    .answer()
}

/// Answers unfence-peer.
pub fn unfence(call: &Call, settings: &Settings) -> Answer {
    let world = World::new(&call.root);
    let subject = match subject(call, settings, &world) {
        Ok(subject) => subject,
        Err(why) => return Answer::noted(Level::Warning, why),
    };
    let deadline = settings.deadline(&call.request.handler);
    let _lock = locked(call, &subject, deadline, &Journal::open(&call.root));
    let configured = settings.minor_of(&subject.resource);
    let minors = minors(call.request.minors(), configured);
    unfence::unfence(&world, &subject, &minors)
}

/// The lock, or none when it cannot be had: the constraint is made atomically without it.
fn locked(
    call: &Call,
    subject: &Subject,
    deadline: Duration,
    journal: &Journal,
) -> Option<std::fs::File> {
    lock::take(
        &call.root.path(RUN),
        &subject.resource,
        deadline / LOCK_SHARE,
    )
    .inspect_err(|why| {
        let handler = call.request.handler.as_str();
        let text = format!(
            "{handler} of {} goes on without a lock: {why}",
            subject.resource
        );
        journal.send(&Record::new(Level::Warning, text));
    })
    .ok()
}

/// Who and what it is about: by the configuration, else by what DRBD says and the host's name.
fn subject(call: &Call, settings: &Settings, world: &World) -> Result<Subject, String> {
    let request = &call.request;
    let resource = settings
        .resource_of(request)
        .ok_or("DRBD has named no resource")?;
    let host = world
        .read(Path::new("/proc/sys/kernel/hostname"))
        .map_err(|error| format!("this host's name cannot be read: {error}"))?;
    let host = String::from_utf8_lossy(&host).trim().to_owned();
    let (me, peer) = match settings.nodes(&host) {
        Some((me, peer)) => (me, Some(peer)),
        None => (host, request.peer.names.first().cloned()),
    };
    Ok(Subject {
        resource,
        me,
        peer: peer.ok_or("neither /etc/two-node-ha.toml nor DRBD tells the peer's name")?,
        mode: settings.fencing(),
    })
}

/// As DRBD lists them; a kernel that names none is asked about the configured one.
fn minors(named: Vec<u32>, configured: Option<u32>) -> Vec<u32> {
    if named.is_empty() {
        configured.into_iter().collect()
    } else {
        named
    }
}
