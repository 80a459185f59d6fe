//! The two sockets: one for root on this node, one for the peer's forced command.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use two_node_ha_planner::Database;
use two_node_ha_planner::machine::{Event as Happened, may_stop_for};
use two_node_ha_planner::record::{Astray, Epoch};
use two_node_ha_protocol::control::{Request, Response};
use two_node_ha_protocol::peer::{LONGEST_LINE, Request as PeerRequest, Response as PeerResponse};

use super::Event;
use super::only::Only;
use super::shared::{Shared, write_line};
use crate::peer::server;
use crate::store::Record;

/// The group whose members may speak for the peer.
const PEER_GROUP: &str = "two-node-ha";
/// How long the loop may take until it has stopped the databases for the peer.
const STOP: Duration = Duration::from_secs(90);

/// Opens both sockets and serves them from threads. A socket that is there already is replaced: it is
/// an earlier agent's, and no other runs.
///
/// # Errors
/// When a socket cannot be made: in words.
pub fn start(shared: &Arc<Shared>, _only: &Only) -> Result<(), String> {
    let control = listen(&shared.paths.agent_socket(), 0o600, None)?;
    let group = nix::unistd::Group::from_name(PEER_GROUP).ok().flatten();
    if group.is_none() {
        tracing::warn!("there is no group {PEER_GROUP}: only root can speak for the peer");
    }
    let peer = listen(
        &shared.paths.peer_socket(),
        0o660,
        group.map(|group| group.gid.as_raw()),
    )?;
    accept("control", control, Arc::clone(shared), control_connection)?;
    accept("peer", peer, Arc::clone(shared), |stream, shared| {
        // Whatever it wants: only what comes from the peer's machine is carried here.
        shared.send(Happened::PeerHeard.into());
        if let Err(error) = server::serve(stream, &*shared) {
            tracing::debug!(%error, "a connection of the peer ended early");
        }
    })
}

fn listen(path: &Path, mode: u32, group: Option<u32>) -> Result<UnixListener, String> {
    let bind = || -> io::Result<UnixListener> {
        // Bound under another name, so that nobody connects before the mode is right. The socket of an
        // earlier agent is replaced by the renaming.
        let fresh = path.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let listener = UnixListener::bind(&fresh)?;
        if let Some(group) = group {
            chown(&fresh, None, Some(group))?;
        }
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
        fs::rename(&fresh, path)?;
        Ok(listener)
    };
    bind().map_err(|error| format!("listening on {}: {error}", path.display()))
}

fn accept(
    name: &'static str,
    listener: UnixListener,
    shared: Arc<Shared>,
    serve: impl Fn(UnixStream, Arc<Shared>) + Copy + Send + 'static,
) -> Result<(), String> {
    let spawned = std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            for stream in listener.incoming() {
                let stream = match stream {
                    Ok(stream) => stream,
                    Err(error) => {
                        // Out of descriptors, say: not a reason to spin.
                        tracing::warn!(%error, "a connection could not be accepted");
                        std::thread::sleep(Duration::from_secs(1));
                        continue;
                    }
                };
                let shared = Arc::clone(&shared);
                let thread = std::thread::Builder::new().name(format!("{name}-client"));
                if let Err(error) = thread.spawn(move || serve(stream, shared)) {
                    tracing::warn!(%error, "no thread for a connection");
                }
            }
        });
    spawned
        .map(|_| ())
        .map_err(|error| format!("starting the {name} socket's thread: {error}"))
}

fn control_connection(stream: UnixStream, shared: Arc<Shared>) {
    // A client that does not read must not stop the agent.
    let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
    let Ok(mut out) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(stream);
    let refuse = |out: &mut UnixStream, reason: String| {
        write_line(out, &Response::Refused { reason });
    };
    match read_request(&mut lines) {
        Err(reason) => refuse(&mut out, reason),
        Ok(Request::Status) => match shared.status() {
            Some(status) => write_line(&mut out, &Response::Status(Box::new(status))),
            None => refuse(&mut out, "the agent has only just started".into()),
        },
        Ok(Request::Watch) => watch(&mut out, &shared),
        Ok(Request::Plan) => match shared.last() {
            Some((observation, decision)) => write_line(
                &mut out,
                &Response::Plan {
                    observation: Box::new(observation),
                    decision: Box::new(decision),
                },
            ),
            None => refuse(&mut out, "the agent has only just started".into()),
        },
        Ok(Request::Side { logs }) => match shared.side(logs) {
            Ok(side) => write_line(&mut out, &Response::Side(Box::new(side))),
            Err(reason) => refuse(&mut out, reason),
        },
        Ok(Request::Resolve { step, resolution }) => match shared.resolve(step, resolution) {
            Ok(()) => write_line(&mut out, &Response::Taken),
            Err(reason) => refuse(&mut out, reason),
        },
        Ok(request @ (Request::Hold | Request::Release)) => {
            let id = shared.hold(out, request == Request::Release);
            while let Ok(request) = read_request(&mut lines) {
                if request == Request::Release {
                    shared.release(id);
                }
            }
            shared.drop_hold(id);
        }
    }
}

fn watch(out: &mut UnixStream, shared: &Shared) {
    let mut seen = 0;
    loop {
        let (generation, status) = shared.next_status(seen);
        seen = generation;
        let Some(status) = status else { continue };
        let mut line = match serde_json::to_vec(&Response::Status(Box::new(status))) {
            Ok(line) => line,
            Err(_) => return,
        };
        line.push(b'\n');
        if io::Write::write_all(out, &line).is_err() {
            return;
        }
    }
}

/// The next line as a request; the end of the stream is an error.
fn read_request(lines: &mut BufReader<UnixStream>) -> Result<Request, String> {
    let mut line = String::new();
    let read = lines.by_ref().take(LONGEST_LINE).read_line(&mut line);
    match read.map_err(|error| format!("this is no request: {error}"))? {
        0 => Err("this is no request: the connection was closed".into()),
        _ => Request::read(&line),
    }
}

impl server::Agent for Shared {
    fn answer(&self, request: PeerRequest) -> PeerResponse {
        let refused = |reason: String| PeerResponse::Refused { reason };
        let Some(report) = self.report() else {
            return refused(format!(
                "the agent on {} has only just started",
                self.node.name
            ));
        };
        match request {
            PeerRequest::Report { .. } => PeerResponse::Report(report),
            PeerRequest::Configuration { config, .. } => {
                self.send(Happened::PeerConfiguration(config).into());
                PeerResponse::Compared
            }
            PeerRequest::Wake { .. } => {
                self.send(Happened::PeerWoke.into());
                PeerResponse::Woken
            }
            PeerRequest::StopSpare { node, epoch, .. } => {
                // The loop decides; this spares the peer the wait for one that is at work.
                let here = (self.node.name.as_str(), self.request());
                if let Err(reason) = may_stop_for(here, (&node, epoch), report.epoch) {
                    return refused(reason);
                }
                self.retract_voter();
                let (send, done) = channel();
                self.send(Event::StopSpare {
                    node,
                    epoch,
                    reply: send,
                });
                match done.recv_timeout(STOP) {
                    Ok(Ok(())) => PeerResponse::Stopped,
                    Ok(Err(reason)) => refused(reason),
                    Err(_) => refused(format!(
                        "{} is still busy after {} s",
                        self.node.name,
                        STOP.as_secs()
                    )),
                }
            }
            PeerRequest::Side { logs, .. } => match self.side(logs) {
                Ok(side) => PeerResponse::Side(Box::new(side)),
                Err(reason) => refused(reason),
            },
            PeerRequest::Resolve {
                step, resolution, ..
            } => match self.resolve(step, resolution) {
                Ok(()) => PeerResponse::Taken,
                Err(reason) => refused(reason),
            },
            // Served before they come here.
            PeerRequest::Bundle { .. } | PeerRequest::Log { .. } => {
                refused("a bundle is not an answer".into())
            }
        }
    }

    fn bundle(&self, epoch: u64) -> Result<Vec<(Database, String, std::path::PathBuf)>, String> {
        Shared::bundle(self, epoch)
    }

    fn astray(&self) -> BTreeMap<Database, Astray> {
        let record = Epoch::read(&self.paths.epoch(&self.config));
        record
            .ok()
            .flatten()
            .map(|epoch| epoch.astray)
            .unwrap_or_default()
    }

    fn log(
        &self,
        database: Database,
    ) -> Result<Vec<(Database, String, std::path::PathBuf)>, String> {
        Shared::log(self, database)
    }
}
