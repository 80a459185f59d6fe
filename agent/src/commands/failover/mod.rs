//! `two-node-ha failover`: what `two-node-ha-k8s-failover.service` runs, and Pacemaker alone
//! starts and stops. It holds the voter role: start ends when the agent has confirmed a working
//! voter, an unhealthy voter makes it fail, stop ends when the node is off the volume.
//!
//! It reads no configuration, and however it ends, the way down is gone first ([`release::run`]):
//! Pacemaker takes the end of this process, a failure too, for leave to unmount. `ExecStopPost=` goes
//! it once more, for the case that this process was killed.

mod hold;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use hold::{Do, End, Heard, Hold, Wanted};
use nix::sys::signal::{SigSet, Signal};
use sd_notify::NotifyState;
use two_node_ha_config::LogLevel;
use two_node_ha_node::Paths;
use two_node_ha_protocol::control::Request;

use super::agent_socket::Connection;
use crate::act::FAILOVER_UNIT;
use crate::exit;
use crate::holder::{self, Held};
use crate::logging;
use crate::release::{self, Say};

/// How much longer the start may take each time the agent says that it is at work.
const EXTEND: Duration = Duration::from_secs(60);
/// What an agent that does not read may take of this process's time.
const SEND: Duration = Duration::from_secs(1);

/// Arguments of `failover`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only make sure that the node is off the volume (ExecStopPost=)
    #[arg(long)]
    release: bool,
}

/// Runs until the role is released or lost, and nothing is on the volume any more.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let paths = Paths::from_env();
    logging::start("two-node-ha-failover", LogLevel::Info);
    // Before there is any thread: none may be ended by them, or the unit would be failed with a
    // database still running.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    if let Err(error) = signals.thread_block() {
        tracing::error!("blocking signals: {error}");
    }
    let say = Say::new();
    let code = if args.release {
        ExitCode::SUCCESS
    } else {
        match holder::take(&paths) {
            Ok(Ok(held)) => hold(&paths, held, signals),
            // What runs here is the other's, and so is the way down. Where systemd started this
            // process, `ExecStopPost=` goes that way before the unit is failed.
            Ok(Err(other)) => {
                tracing::error!(
                    "{other} holds the voter's role on this node; this one has changed nothing. \
                     Pacemaker alone starts and stops {FAILOVER_UNIT}: `crm_mon -1r` tells where, and \
                     `two-node-ha move NODE` moves it"
                );
                return exit::FAILURE.into();
            }
            Err(error) => {
                tracing::error!(
                    "locking {}: {error}; no database would start without it",
                    paths.holder().display()
                );
                exit::FAILURE.into()
            }
        }
    };
    release::run(&paths, &say);
    say.status("the volume is free".into());
    code
}

/// Holds the role until it is over.
fn hold(paths: &Paths, held: Held, signals: SigSet) -> ExitCode {
    let mut held = Some(held);
    let (send, heard) = channel();
    let stop = send.clone();
    thread::spawn(move || {
        while signals.wait().is_ok() {
            if stop.send(Said::Heard(Heard::Stop)).is_err() {
                return;
            }
        }
    });
    let end = follow(paths, &mut held, &send, &heard);
    drop(held);
    notify(&[NotifyState::Stopping]);
    match end {
        End::Released => {
            tracing::info!("the agent has left the volume");
            ExitCode::SUCCESS
        }
        End::WithoutTheAgent(why) => {
            tracing::warn!("leaving the volume without the agent: {why}");
            ExitCode::SUCCESS
        }
        End::Failed(reason) => {
            tracing::error!("{reason}");
            notify(&[NotifyState::Status(&reason)]);
            exit::FAILURE.into()
        }
    }
}

/// What the threads send.
enum Said {
    Heard(Heard),
    /// Connected, and where to write.
    Connected(UnixStream),
}

fn follow(
    paths: &Paths,
    held: &mut Option<Held>,
    send: &Sender<Said>,
    heard: &Receiver<Said>,
) -> End {
    let mut hold = Hold::new();
    let mut writer: Option<UnixStream> = None;
    let mut then = vec![Do::Connect(Wanted::Hold)];
    loop {
        for next in std::mem::take(&mut then) {
            match next {
                Do::Connect(wanted) => connect(paths, wanted, send),
                Do::Release => release_on(writer.as_mut()),
                Do::LetGo => *held = None,
                Do::Progress(text) => notify(&[
                    NotifyState::Status(&text),
                    NotifyState::ExtendTimeoutUsec(
                        u32::try_from(EXTEND.as_micros()).unwrap_or(u32::MAX),
                    ),
                ]),
                Do::Working => {
                    notify(&[NotifyState::Ready, NotifyState::Status("the voter works")]);
                }
                Do::Warn(text) => tracing::warn!("{text}"),
                Do::End(end) => return end,
            }
        }
        let said = match hold.due() {
            Some(due) => heard.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let now = Instant::now();
        then = match said {
            Ok(Said::Connected(stream)) => {
                writer = Some(stream);
                hold.hear(Heard::Connected, now)
            }
            Ok(Said::Heard(said)) => hold.hear(said, now),
            Err(RecvTimeoutError::Timeout) => hold.tick(now),
            // Not while `send` lives.
            Err(RecvTimeoutError::Disconnected) => return End::Failed("nobody listens".into()),
        };
    }
}

/// Connects in a thread of its own, which then reads: an agent that is stopped accepts nobody.
fn connect(paths: &Paths, wanted: Wanted, send: &Sender<Said>) {
    let (paths, sender) = (paths.clone(), send.clone());
    let request = match wanted {
        Wanted::Hold => Request::Hold,
        Wanted::Release => Request::Release,
    };
    let work = move || {
        let lost = |why: String| Said::Heard(Heard::Lost(why));
        let mut connection = match Connection::open(&paths, &request) {
            Ok(connection) => connection,
            Err(why) => {
                let _ = sender.send(lost(why));
                return;
            }
        };
        let first = match connection.writer() {
            Ok(writer) => Said::Connected(writer),
            Err(why) => lost(why),
        };
        let mut next = first;
        // Nobody listens any more at the end.
        while sender.send(next).is_ok() {
            next = match connection.next() {
                Ok(Some(response)) => Said::Heard(Heard::Said(response)),
                Ok(None) => break,
                Err(why) => {
                    let _ = sender.send(lost(why));
                    return;
                }
            };
        }
        let _ = sender.send(lost("the agent is gone".into()));
    };
    if let Err(error) = thread::Builder::new().name("agent".into()).spawn(work) {
        let _ = send.send(Said::Heard(Heard::Lost(format!("no thread: {error}"))));
    }
}

fn release_on(writer: Option<&mut UnixStream>) {
    let Some(stream) = writer else { return };
    let _ = stream.set_write_timeout(Some(SEND));
    // A connection that broke is opened again, with the release as its request.
    let _ = stream.write_all(b"{\"request\":\"release\"}\n");
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
