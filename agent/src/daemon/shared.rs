//! What the loop shares with the threads that serve sockets.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use two_node_ha_config::{Config, Node};
use two_node_ha_node::Paths;
use two_node_ha_node::database::{CLUSTER_FILES, is_raft_file, raft_directory};
use two_node_ha_planner::Database;
use two_node_ha_planner::Decision;
use two_node_ha_planner::machine::Event as Happened;
use two_node_ha_planner::observation::{Observation, Request};
use two_node_ha_planner::report::Report;
use two_node_ha_protocol::control::{Response, Status};

use super::Event;
use crate::act::for_a_spare;
use crate::store::recovered;

/// The failover unit's connection.
#[derive(Debug)]
struct Hold {
    id: u64,
    releasing: bool,
    told_working: bool,
    stream: UnixStream,
}

#[derive(Debug, Default)]
struct Inner {
    hold: Option<Hold>,
    next_hold: u64,
    status: Option<Status>,
    /// Raised at each change of `status`.
    generation: u64,
    last: Option<(Observation, Decision)>,
    report: Option<Report>,
}

/// The shared part of the agent.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where everything is.
    pub paths: Paths,
    /// This node.
    pub node: Node,
    events: Sender<Event>,
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Shared {
    /// Nothing is known yet.
    pub fn new(config: Arc<Config>, paths: Paths, node: Node, events: Sender<Event>) -> Self {
        Self {
            config,
            paths,
            node,
            events,
            inner: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// A thread that panicked while it held the lock left plain values behind: they are as good
    /// as before.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the loop. Nobody listens when the agent ends.
    pub fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// What Pacemaker asks, by the hold that stands.
    pub fn request(&self) -> Request {
        self.asked().0
    }

    /// The same, and the number of that hold.
    pub fn asked(&self) -> (Request, Option<u64>) {
        match &self.lock().hold {
            None => (Request::None, None),
            Some(hold) => (wanted(hold.releasing), Some(hold.id)),
        }
    }

    /// A failover unit connected. A hold that stood before is replaced: its process has been
    /// restarted.
    pub fn hold(&self, stream: UnixStream, releasing: bool) -> u64 {
        let mut inner = self.lock();
        inner.next_hold += 1;
        let id = inner.next_hold;
        inner.hold = Some(Hold {
            id,
            releasing,
            told_working: false,
            stream,
        });
        drop(inner);
        self.send(Happened::Asks(wanted(releasing)).into());
        id
    }

    /// The holder wants the volume to be left.
    pub fn release(&self, id: u64) {
        let mut inner = self.lock();
        let hold = inner.hold.as_mut().filter(|hold| hold.id == id);
        let stands = hold.is_some_and(|hold| {
            hold.releasing = true;
            true
        });
        drop(inner);
        self.send(match stands {
            true => Happened::Asks(Request::Release).into(),
            false => Happened::Changed.into(),
        });
    }

    /// The holder is gone.
    pub fn drop_hold(&self, id: u64) {
        let stood = self.lock().hold.take_if(|hold| hold.id == id).is_some();
        self.send(match stood {
            true => Happened::Asks(Request::None).into(),
            false => Happened::Changed.into(),
        });
    }

    /// Tells the holder something. One that does not listen is found out by its reader.
    pub fn tell_holder(&self, response: &Response) {
        let mut inner = self.lock();
        if let Some(hold) = &mut inner.hold {
            if *response == Response::Working && std::mem::replace(&mut hold.told_working, true) {
                return;
            }
            write_line(&mut hold.stream, response);
        }
    }

    /// The volume is free: says so, and ends the hold.
    pub fn released(&self) {
        self.tell_holder(&Response::Released);
        self.lock().hold = None;
    }

    /// Publishes how the agent stands.
    pub fn publish(&self, status: Status, last: (Observation, Decision), report: Report) {
        let mut inner = self.lock();
        if inner.status.as_ref() != Some(&status) {
            inner.status = Some(status);
            inner.generation += 1;
            self.changed.notify_all();
        }
        inner.last = Some(last);
        inner.report = Some(report);
    }

    /// The published status.
    pub fn status(&self) -> Option<Status> {
        self.lock().status.clone()
    }

    /// Waits for a status newer than `seen`.
    pub fn next_status(&self, seen: u64) -> (u64, Option<Status>) {
        let mut inner = self.lock();
        while inner.generation == seen {
            inner = self
                .changed
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        (inner.generation, inner.status.clone())
    }

    /// The last observation and decision.
    pub fn last(&self) -> Option<(Observation, Decision)> {
        self.lock().last.clone()
    }

    /// What the peer may rely on.
    pub fn report(&self) -> Option<Report> {
        self.lock().report.clone()
    }

    /// Between a change of the world and the next turn nothing must be promised to the peer.
    pub fn retract_voter(&self) {
        if let Some(report) = &mut self.lock().report {
            report.voter = false;
        }
    }

    /// The databases are stopped, before the next turn says so: their logs may be asked for at once.
    pub fn databases_stopped(&self) {
        if let Some(report) = &mut self.lock().report {
            report.datastore_running = false;
        }
    }

    /// The files of the bundle of `epoch`.
    ///
    /// # Errors
    /// Why this node cannot give it.
    pub fn bundle(&self, epoch: u64) -> Result<Vec<(Database, String, PathBuf)>, String> {
        let report = self.report().ok_or("the agent has only just started")?;
        if !report.voter || report.epoch != epoch {
            return Err(format!(
                "{} is {} in epoch {}, and not the voter of epoch {epoch}",
                self.node.name, report.state, report.epoch
            ));
        }
        let mut files = Vec::new();
        for database in Database::ALL {
            let tarball = recovered::tarball(&self.paths, &self.config, epoch, database);
            if tarball.exists() {
                files.push((database, format!("{database}.tar.gz"), tarball));
            } else {
                let members = for_a_spare(&self.paths, &self.config, database)?;
                let named = members
                    .into_iter()
                    .map(|(name, path)| (database, name, path));
                files.extend(named.map(|(of, name, path)| (of, format!("{of}.{name}"), path)));
            }
            // Renewed certificates are newer than any bundle.
            for name in CLUSTER_FILES {
                let path = self.paths.on_volume(&self.config, database).join(name);
                if path.exists() {
                    files.push((database, format!("{database}.{name}"), path));
                }
            }
        }
        Ok(files)
    }
}

impl Shared {
    /// raft's files of a database, for a peer that is about to be the voter.
    ///
    /// # Errors
    /// Why this node does not give them.
    pub fn log(&self, database: Database) -> Result<Vec<(Database, String, PathBuf)>, String> {
        let report = self.report().ok_or("the agent has only just started")?;
        let node = &self.node.name;
        if report.voter || report.wants_voter {
            return Err(format!("{node} is {} itself", report.state));
        }
        // While it runs, it may write more than what is sent.
        if report.datastore_running || self.paths.token().exists() {
            return Err(format!("{database} on {node} is not stopped"));
        }
        let directory = raft_directory(database, &self.paths.spare(database));
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            // A member that has no log.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("reading {}: {error}", directory.display())),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry =
                entry.map_err(|error| format!("reading {}: {error}", directory.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_raft_file(&name) && name != "dqlite-lock" && entry.path().is_file() {
                files.push((database, name, entry.path()));
            }
        }
        files.sort();
        Ok(files)
    }
}

fn wanted(releasing: bool) -> Request {
    if releasing {
        Request::Release
    } else {
        Request::Hold
    }
}

/// Writes one line; whoever does not read it will be seen to be gone.
pub fn write_line(stream: &mut UnixStream, response: &Response) {
    let written = serde_json::to_vec(response)
        .map_err(std::io::Error::from)
        .and_then(|mut line| {
            line.push(b'\n');
            stream.write_all(&line)
        });
    if let Err(error) = written {
        tracing::debug!(%error, "a client is gone");
    }
}
