//! `two-node-ha failover`: what `two-node-ha-k8s-failover.service` runs, and Pacemaker alone
//! starts and stops. It holds the voter role: start ends when the agent has confirmed a working
//! voter, an unhealthy voter makes it fail, stop ends when the node is off the volume.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use sd_notify::NotifyState;

use super::connect::Connection;
use super::{Selection, load};
use crate::act::gated_units;
use crate::daemon::control::{Request, Response};
use crate::exit;
use crate::logging;
use crate::paths::Paths;
use crate::systemd::{Systemd, Units};

/// How long an agent that restarts may be away before a running hold counts as lost, and before
/// a stop goes on without it.
const AGENT_GRACE: Duration = Duration::from_secs(15);
/// How often a missing agent is looked for.
const RECONNECT: Duration = Duration::from_millis(250);
/// How much longer the start or the stop may take each time the agent says that it is at work.
const EXTEND: Duration = Duration::from_secs(60);

/// Arguments of `failover`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only make sure that the node is off the volume (ExecStopPost=)
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    selection: Selection,
}

/// How one connection ended.
enum End {
    /// The volume is free.
    Released,
    /// The voter does not work.
    Unhealthy(String),
    /// The agent went away.
    Lost,
}

/// Runs until the role is released or lost.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let paths = Paths::from_env();
    let config = match load(&args.selection, &paths) {
        Ok(config) => config,
        Err(diagnostic) => {
            eprintln!("{diagnostic}");
            return exit::CONFIG.into();
        }
    };
    logging::start("two-node-ha-failover", config.agent.log_level);
    let releasing = Arc::new(AtomicBool::new(args.release));
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    if let Err(error) = signals.thread_block() {
        tracing::error!("blocking signals: {error}");
        return exit::FAILURE.into();
    }
    let current: Arc<std::sync::Mutex<Option<std::os::unix::net::UnixStream>>> = Arc::default();
    on_stop(signals, Arc::clone(&releasing), Arc::clone(&current));

    let mut away_since: Option<Instant> = None;
    loop {
        let wanted = releasing.load(Ordering::SeqCst);
        let request = if wanted {
            Request::Release
        } else {
            Request::Hold
        };
        match Connection::open(&paths, &request) {
            Ok(mut connection) => {
                away_since = None;
                if let (Ok(writer), Ok(mut slot)) = (connection.writer(), current.lock()) {
                    *slot = Some(writer);
                }
                // A signal between the request and the slot was not sent on.
                if releasing.load(Ordering::SeqCst) && !wanted {
                    let _ = connection.send(&Request::Release);
                }
                match follow(&mut connection, &releasing) {
                    End::Released => {
                        notify(&[NotifyState::Status("the volume is free")]);
                        return ExitCode::SUCCESS;
                    }
                    End::Unhealthy(reason) => {
                        tracing::error!("{reason}");
                        notify(&[NotifyState::Status(&reason)]);
                        return exit::FAILURE.into();
                    }
                    End::Lost => tracing::warn!("the agent is gone; waiting for it to come back"),
                }
            }
            Err(error) => {
                let since = *away_since.get_or_insert_with(Instant::now);
                if since.elapsed() > AGENT_GRACE {
                    tracing::error!("{error}");
                    if releasing.load(Ordering::SeqCst) {
                        return release_alone(&paths, &gated_units(&config));
                    }
                    return exit::FAILURE.into();
                }
                thread::sleep(RECONNECT);
            }
        }
    }
}

/// Sends the release on when systemd asks for the stop.
fn on_stop(
    signals: SigSet,
    releasing: Arc<AtomicBool>,
    current: Arc<std::sync::Mutex<Option<std::os::unix::net::UnixStream>>>,
) {
    thread::spawn(move || {
        while signals.wait().is_ok() {
            releasing.store(true, Ordering::SeqCst);
            if let Ok(mut slot) = current.lock() {
                if let Some(stream) = slot.as_mut() {
                    // A connection that broke is opened again, with the release as its request.
                    let _ = stream.write_all(b"{\"request\":\"release\"}\n");
                }
            }
        }
    });
}

fn follow(connection: &mut Connection, releasing: &AtomicBool) -> End {
    let extend = u32::try_from(EXTEND.as_micros()).unwrap_or(u32::MAX);
    loop {
        match connection.next() {
            Err(error) => {
                tracing::warn!("{error}");
                return End::Lost;
            }
            Ok(None) => return End::Lost,
            Ok(Some(Response::Progress { text })) => {
                notify(&[
                    NotifyState::Status(&text),
                    NotifyState::ExtendTimeoutUsec(extend),
                ]);
            }
            Ok(Some(Response::Working)) => {
                notify(&[NotifyState::Ready, NotifyState::Status("the voter works")]);
            }
            Ok(Some(Response::Unhealthy { reason })) => {
                // Whoever is leaving anyway does not mind.
                if !releasing.load(Ordering::SeqCst) {
                    return End::Unhealthy(reason);
                }
            }
            Ok(Some(Response::Released)) => return End::Released,
            Ok(Some(Response::Refused { reason })) => return End::Unhealthy(reason),
            Ok(Some(
                Response::Status(_) | Response::Plan { .. } | Response::Side(_) | Response::Taken,
            )) => {}
        }
    }
}

/// The agent is not there, and Pacemaker is about to unmount the volume: whatever could write to
/// it is killed. The links stay; the next agent puts them right.
fn release_alone(paths: &Paths, units: &[String]) -> ExitCode {
    tracing::warn!("stopping the k8s services without the agent");
    let _ = std::fs::remove_file(paths.token());
    let stopped = Systemd::connect(&[], |_| {}).and_then(|systemd| {
        for unit in units {
            systemd.kill(unit);
        }
        systemd.stop(units, Duration::from_secs(60), &mut || {})
    });
    match stopped {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            exit::FAILURE.into()
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
