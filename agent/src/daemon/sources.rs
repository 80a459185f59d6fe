//! The threads that wait for something to happen and say so.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use two_node_ha_node::Paths;
use two_node_ha_planner::machine::Event as Happened;

use super::Event;
use super::split_brain::Responder;

/// While DRBD's module is not loaded its events cannot be listened to. This is a state of the
/// boot and of the set-up, never of a settled node.
const DRBD_RETRY: Duration = Duration::from_secs(3);

/// When an event is taken again that could not be done: Pacemaker was not there yet, say.
const UNDONE_RETRY_MS: u16 = 10_000;

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

/// What the hooks left: told in the journal in the agent's words, and a reason to look.
///
/// # Errors
/// When the directory cannot be watched: in words.
pub(super) fn hooks(
    paths: &Paths,
    responder: Responder,
    events: Sender<Event>,
) -> Result<(), String> {
    let directory = paths.events();
    let mut watcher =
        two_node_ha_events::Watcher::new(&directory).map_err(|error| error.to_string())?;
    spawn("hooks", move || {
        loop {
            // The files that came while nobody watched are taken first.
            let left = take_events(&directory, &responder);
            if events.send(Happened::Changed.into()).is_err() {
                return;
            }
            let mut fds = [PollFd::new(watcher.as_fd(), PollFlags::POLLIN)];
            let patience = if left {
                UNDONE_RETRY_MS.into()
            } else {
                PollTimeout::NONE
            };
            let polled = match poll(&mut fds, patience) {
                Ok(_) => Ok(()),
                Err(nix::errno::Errno::EINTR) => Ok(()),
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

/// Whether any event is left, to be taken again.
fn take_events(directory: &std::path::Path, responder: &Responder) -> bool {
    let taken = match two_node_ha_events::take_all(directory) {
        Ok(taken) => taken,
        Err(error) => {
            tracing::error!("taking the events of the hooks: {error}");
            return false;
        }
    };
    let mut left = false;
    for (path, why) in taken.unreadable {
        tracing::warn!(file = %path.display(), "an event of a hook cannot be read: {why}");
    }
    for pending in taken.events {
        let event = &pending.event;
        // Each look at the device makes one; only the kernel's questions are worth a line.
        if event.handler == "udev" {
            tracing::debug!(decision = event.decision, "udev: {}", event.reason);
            acknowledge(pending);
            continue;
        }
        tracing::info!(
            handler = event.handler,
            resource = event.resource,
            decision = event.decision,
            "DRBD called {}: {} ({})",
            event.handler,
            event.decision,
            event.reason
        );
        if responder.heard(event) {
            acknowledge(pending);
        } else {
            left = true;
        }
    }
    left
}

fn acknowledge(pending: two_node_ha_events::Pending) {
    if let Err(error) = pending.ack() {
        tracing::warn!("an event of a hook stays behind: {error}");
    }
}
