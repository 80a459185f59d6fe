//! The threads that wait for something to happen and say so.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use two_node_ha_drbd::{Decision, Handler};
use two_node_ha_events::Pending;
use two_node_ha_planner::machine::{Event as Happened, Wants};

use super::Event;
use crate::paths::Paths;

/// While DRBD's module is not loaded its events cannot be listened to. This is a state of the
/// boot and of the set-up, never of a settled node.
const DRBD_RETRY: Duration = Duration::from_secs(3);

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(|_| ())
        .map_err(|error| format!("starting the thread for {name}: {error}"))
}

/// SIGTERM and SIGINT end the loop. To be called before any other thread is there: they inherit
/// the mask.
///
/// # Errors
/// When the signals cannot be blocked: in words.
pub fn signals(events: Sender<Event>) -> Result<(), String> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block()
        .map_err(|error| format!("blocking signals: {error}"))?;
    spawn("signals", move || {
        // The first ends the loop between two steps; systemd kills who does not listen.
        if set.wait().is_ok() {
            let _ = events.send(Event::Terminate);
        }
    })
}

/// Mounts and unmounts: the kernel marks the list as urgent to read (proc(5), mountinfo).
///
/// # Errors
/// When the list cannot be opened: in words.
pub fn mounts(events: Sender<Event>) -> Result<(), String> {
    let list = std::fs::File::open("/proc/self/mountinfo")
        .map_err(|error| format!("opening /proc/self/mountinfo: {error}"))?;
    spawn("mounts", move || {
        loop {
            let mut fds = [PollFd::new(list.as_fd(), PollFlags::POLLPRI)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "mounts can no longer be watched");
                    return;
                }
            }
            if events.send(Happened::Changed.into()).is_err() {
                return;
            }
        }
    })
}

/// The program that tells of DRBD's events. Ended with its last owner, the agent: otherwise
/// systemd finds it left over and says so at each stop.
#[derive(Debug, Clone, Default)]
pub struct DrbdEvents(Arc<Mutex<Option<Child>>>);

impl DrbdEvents {
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the program.
    pub fn end(&self) {
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a line of DRBD's events is a reason for.
fn of_line(line: &str) -> Event {
    if ["connection:", "peer-disk:", "helper:"]
        .iter()
        .any(|field| line.contains(field))
    {
        Happened::LinkChanged.into()
    } else {
        Happened::Changed.into()
    }
}

/// DRBD's own event stream. A line is only a reason to look.
///
/// # Errors
/// When there is no thread: in words.
pub fn drbd(events: Sender<Event>) -> Result<DrbdEvents, String> {
    let program = DrbdEvents::default();
    let running = program.clone();
    spawn("drbd", move || {
        loop {
            let child = Command::new("drbdsetup")
                .arg("events2")
                .env_remove("NOTIFY_SOCKET")
                .env_remove("WATCHDOG_USEC")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn();
            match child {
                Ok(mut child) => {
                    let stdout = child.stdout.take();
                    *running.lock() = Some(child);
                    if let Some(stdout) = stdout {
                        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                            if events.send(of_line(&line)).is_err() {
                                running.end();
                                return;
                            }
                        }
                    }
                    running.end();
                }
                Err(error) => tracing::warn!(%error, "drbdsetup cannot be run"),
            }
            std::thread::sleep(DRBD_RETRY);
        }
    })?;
    Ok(program)
}

/// What the hooks left: told in the journal in the agent's words, and to the loop, which takes a file away
/// once what it wants is done.
///
/// # Errors
/// When the directory cannot be watched: in words.
pub(super) fn hooks(paths: &Paths, events: Sender<Event>) -> Result<(), String> {
    let directory = paths.events();
    let mut watcher =
        two_node_ha_events::Watcher::new(&directory).map_err(|error| error.to_string())?;
    spawn("hooks", move || {
        let mut given = BTreeSet::new();
        loop {
            // The files that came while nobody watched are taken first.
            for pending in new_events(&directory, &mut given) {
                if events.send(Event::Handler(Box::new(pending))).is_err() {
                    return;
                }
            }
            if events.send(Happened::Changed.into()).is_err() {
                return;
            }
            let mut fds = [PollFd::new(watcher.as_fd(), PollFlags::POLLIN)];
            let polled = match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            let drained =
                polled.and_then(|()| watcher.drain().map(|_| ()).map_err(|e| e.to_string()));
            if let Err(error) = drained {
                tracing::error!("events of the hooks can no longer be watched: {error}");
                return;
            }
        }
    })
}

/// The events that were not given to the loop yet: those that it has not done with are still there.
fn new_events(directory: &Path, given: &mut BTreeSet<PathBuf>) -> Vec<Pending> {
    let taken = match two_node_ha_events::take_all(directory) {
        Ok(taken) => taken,
        Err(error) => {
            tracing::error!("taking the events of the hooks: {error}");
            return Vec::new();
        }
    };
    for (path, why) in taken.unreadable {
        tracing::warn!(file = %path.display(), "an event of a hook cannot be read: {why}");
    }
    given.retain(|path| taken.events.iter().any(|pending| pending.path() == path));
    let mut new = Vec::new();
    for pending in taken.events {
        if !given.insert(pending.path().to_path_buf()) {
            continue;
        }
        let event = &pending.event;
        // Each look at the device makes one; only the kernel's questions are worth a line.
        if event.handler == Handler::Udev {
            tracing::debug!(decision = event.decision.as_str(), "udev: {}", event.reason);
            if let Err(error) = pending.ack() {
                tracing::warn!("an event of a hook stays behind: {error}");
            }
            continue;
        }
        tracing::info!(
            handler = event.handler.as_str(),
            resource = event.resource,
            decision = event.decision.as_str(),
            "DRBD called {}: {} ({})",
            event.handler,
            event.decision,
            event.reason
        );
        if let Decision::Unrecognised(word) = &event.decision {
            tracing::warn!(
                handler = event.handler.as_str(),
                "{} has decided `{word}`, which this version of the agent does not know: it does nothing \
                 about it. Install the same two-node-ha for hooks and agent, and restart the agent",
                event.handler
            );
        }
        new.push(pending);
    }
    new
}

/// What a handler wants, by what it has left.
pub(super) fn wants(event: &two_node_ha_events::Event) -> Wants {
    if event.handler.is_of_a_split_brain() {
        Wants::Evidence
    } else if event.decision == Decision::Demote {
        Wants::Demotion
    } else {
        Wants::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_events::{Event as Left, write};

    fn left(handler: Handler, decision: Decision) -> Left {
        Left {
            decision,
            ..Left::new(handler)
        }
    }

    #[test]
    fn an_event_is_given_to_the_loop_once_and_stays_on_the_disk_until_that_is_done_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut given = BTreeSet::new();
        write(dir.path(), &left(Handler::LocalIoError, Decision::Demote)).unwrap();
        let mut first = new_events(dir.path(), &mut given);
        assert_eq!(first.len(), 1);
        assert!(new_events(dir.path(), &mut given).is_empty());
        write(dir.path(), &left(Handler::Udev, Decision::Recorded)).unwrap();
        write(dir.path(), &left(Handler::FencePeer, Decision::Fenced)).unwrap();
        let second = new_events(dir.path(), &mut given);
        let handlers: Vec<_> = second.iter().map(|p| p.event.handler.as_str()).collect();
        assert_eq!(handlers, ["fence-peer"]);
        // An agent that is started anew hears of it again, until it is done with.
        assert_eq!(new_events(dir.path(), &mut BTreeSet::new()).len(), 2);
        first.remove(0).ack().unwrap();
        assert_eq!(new_events(dir.path(), &mut BTreeSet::new()).len(), 1);
    }

    #[test]
    fn a_handler_wants_what_it_has_decided() {
        for (handler, decision, wanted) in [
            (Handler::SplitBrain, Decision::Recorded, Wants::Evidence),
            (
                Handler::InitialSplitBrain,
                Decision::Recorded,
                Wants::Evidence,
            ),
            (Handler::LocalIoError, Decision::Demote, Wants::Demotion),
            (Handler::LocalIoError, Decision::Recorded, Wants::Nothing),
            (Handler::FencePeer, Decision::Fenced, Wants::Nothing),
        ] {
            let event = left(handler, decision);
            assert_eq!(wants(&event), wanted, "{event:?}");
        }
    }
}
