//! What stands behind the agent's doors on the bench: systemd, programs, the peer, Pacemaker.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use two_node_ha_command::{Call, Error as CommandError, Exit, Interrupt, Output, Runner};
use two_node_ha_disk::effects::{self, Change};
use two_node_ha_disk::power;
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;
use two_node_ha_planner::machine::{Event as Happened, PeerPorts};
use two_node_ha_planner::observation::{PeerNode, Promotion};
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use super::bench::{Bench, NAMES, Node};
use super::{pause, refuse, snap};
use crate::act::FAILOVER_UNIT;
use crate::daemon::Event;
use crate::daemon::asking::{Questions, has_not_heard, heard};
use crate::daemon::ports::Ports;
use crate::datastore::Datastore;
use crate::peer::client::{Error as PeerError, Peer, read_answer, receive_all};
use crate::peer::server;
use crate::peer::server::Agent as _;
use crate::systemd::{Error as UnitError, UnitState, Units};

/// All doors of one node.
pub struct Door {
    bench: Rc<Bench>,
    index: usize,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.node().name)
    }
}

impl Door {
    pub fn new(bench: &Rc<Bench>, index: usize) -> Self {
        Self {
            bench: Rc::clone(bench),
            index,
        }
    }

    fn node(&self) -> &Node {
        &self.bench.nodes[self.index]
    }

    fn service<'a>(&self, unit: &'a str) -> &'a str {
        let name = unit.strip_prefix("snap.k8s.").unwrap();
        name.strip_suffix(".service").unwrap()
    }

    /// One point to be cut at: a call of something outside.
    fn call(&self, what: &'static str) -> io::Result<()> {
        effects::pass(Change::Other(what, Path::new("")), || Ok(()))
    }
}

fn failed(action: &'static str, unit: &str, why: &str) -> UnitError {
    UnitError::Job {
        action,
        unit: unit.into(),
        result: why.into(),
    }
}

impl Units for Door {
    fn states(&self, units: &[String]) -> Result<HashMap<String, UnitState>, UnitError> {
        let running = self.node().running.borrow();
        let state = |unit: &String| {
            let up = if unit == FAILOVER_UNIT {
                self.node().held.borrow().is_some()
            } else {
                running.contains_key(self.service(unit))
            };
            if up {
                UnitState::Active
            } else {
                UnitState::Stopped
            }
        };
        Ok(units
            .iter()
            .map(|unit| (unit.clone(), state(unit)))
            .collect())
    }

    fn start(
        &self,
        units: &[String],
        _: Duration,
        interrupt: &Interrupt,
        _: &mut dyn FnMut(),
    ) -> Result<(), UnitError> {
        // As systemd does: one that fails keeps no other from its start.
        let mut first = Ok(());
        for unit in units {
            if interrupt.is_set() {
                return Err(UnitError::Interrupted {
                    action: "start",
                    unit: unit.clone(),
                });
            }
            let started = self
                .call("start a service")
                .and_then(|()| snap::start(&self.bench, self.index, self.service(unit)));
            match refuse::in_its_words(started) {
                Err(error) => return Err(failed("start", unit, &error.to_string())),
                // systemd tells no more; the rest is in the service's own log.
                Ok(Err(_)) => first = first.and(Err(failed("start", unit, "failed"))),
                Ok(Ok(())) => {}
            }
        }
        first
    }

    fn stop(&self, units: &[String], _: Duration, _: &mut dyn FnMut()) -> Result<(), UnitError> {
        for unit in units {
            self.call("stop a service")
                .map_err(|error| failed("stop", unit, &error.to_string()))?;
            let service = self.service(unit);
            let running = self.node().running.borrow_mut().remove(service);
            let voter = running.is_some_and(|running| running.voter);
            assert!(
                !(voter && service == "k8s-dqlite"),
                "I4: k8s-dqlite was asked to stop, and hands the voter role over"
            );
            if service == "k8sd" {
                let _ = std::fs::remove_file(snap::control_socket(self.node()));
            }
        }
        Ok(())
    }

    fn kill(&self, unit: &str) {
        if self.call("kill a service").is_ok() {
            self.node().running.borrow_mut().remove(self.service(unit));
        }
    }

    fn shutting_down(&self) -> bool {
        false
    }
}

impl Runner for Door {
    fn run(&self, call: &Call) -> Result<Output, CommandError> {
        let lost = |source| CommandError::Io {
            call: call.to_string(),
            source,
        };
        let (code, stdout, stderr) = match call.program.to_str().unwrap() {
            "drbdsetup" => (0, self.drbd(), String::new()),
            "drbdadm" => {
                self.drbdadm(&call.args).map_err(lost)?;
                (0, String::new(), String::new())
            }
            program if program.ends_with("/k8sd") => {
                self.call("k8sd cluster-recover").map_err(lost)?;
                if self.bench.released_in_recovery.get() {
                    // Half-way, as a killed program leaves it.
                    let node = self.node();
                    let database = two_node_ha_planner::Database::K8sd;
                    let raft = raft_directory(database, &node.state(database));
                    std::fs::write(raft.join("cluster.yaml"), "").unwrap();
                    return Err(CommandError::Interrupted {
                        call: call.to_string(),
                    });
                }
                let args: Vec<_> = call.args.iter().map(|a| a.to_str().unwrap()).collect();
                let said = snap::cluster_recover(&self.bench, self.index, &args);
                match refuse::in_its_words(said).map_err(lost)? {
                    Ok(()) => (0, String::new(), String::new()),
                    Err(why) => (1, String::new(), why),
                }
            }
            program => panic!("nobody knows {program}"),
        };
        Ok(Output {
            exit: Exit::Code(code),
            stdout: stdout.into_bytes(),
            stderr: stderr.into_bytes(),
        })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str().unwrap() {
            "/sys/module/drbd/version" => Ok(b"9.2.14\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Datastore for Door {
    fn read(&self, _: Duration) -> Result<(), String> {
        self.call("read the datastore")
            .map_err(|error| error.to_string())?;
        snap::answers(self.node(), Database::K8sDqlite)
    }

    fn k8sd(&self, _: Duration) -> Result<(), String> {
        snap::answers(self.node(), Database::K8sd)
    }

    fn sole_voter(&self, database: Database) -> Result<bool, String> {
        snap::sole_voter(self.node(), database)
    }

    fn api(&self, _: Duration) -> Result<(), String> {
        Ok(())
    }
}

impl Door {
    /// The handler answers as soon as it is asked; it is asked when a connection ends.
    fn drbdadm(&self, args: &[OsString]) -> io::Result<()> {
        let node = self.node();
        match args[0].to_str().unwrap() {
            "disconnect" => {
                self.call("drbdadm disconnect")?;
                node.alone.set(true);
                node.suspended.set(false);
            }
            "connect" => {
                self.call("drbdadm connect")?;
                node.alone.set(false);
            }
            command => panic!("nobody has DRBD {command}"),
        }
        Ok(())
    }

    fn drbd(&self) -> String {
        let role = |index: usize| {
            if self.bench.volume_on.get() == Some(index) {
                "Primary"
            } else {
                "Secondary"
            }
        };
        let other = Bench::other(self.index);
        let lost = ["StandAlone", "Unknown", "Off peer-disk:DUnknown"];
        let [connection, peer, replication] = if self.node().alone.get() {
            lost
        } else if self.bench.alive(other) {
            ["Connected", role(other), "Established peer-disk:UpToDate"]
        } else {
            ["Connecting", lost[1], lost[2]]
        };
        let suspended = if self.node().suspended.get() {
            "fencing"
        } else {
            "no"
        };
        format!(
            "exists resource name:r0 role:{} suspended:{suspended}\n\
             exists connection name:r0 peer-node-id:{} conn-name:{} connection:{connection} \
             role:{peer}\n\
             exists device name:r0 volume:0 minor:0 disk:UpToDate\n\
             exists peer-device name:r0 peer-node-id:{} conn-name:{} volume:0 \
             replication:{replication}\n\
             exists -\n",
            role(self.index),
            other + 1,
            NAMES[other],
            other + 1,
            NAMES[other],
        )
    }

    fn silent(&self) -> PeerError {
        PeerError::Ssh {
            host: NAMES[Bench::other(self.index)].into(),
            complaint: "no route to host".into(),
        }
    }

    /// The other's agent answers, where there is one.
    fn ask_other(&self, request: &Request) -> Result<Response, PeerError> {
        let index = Bench::other(self.index);
        let other = &self.bench.nodes[index];
        let shared = other.shared.borrow().clone();
        let answers = self.bench.alive(index) && !pause::is_paused(index);
        let Some(shared) = shared.filter(|_| answers) else {
            return Err(self.silent());
        };
        let answer = power::of_node(index, || match request {
            // The agent's own answer waits for its loop, which is the caller here.
            Request::StopSpare { node, epoch, .. } => {
                if shared.report().is_none() {
                    return shared.answer(request.clone());
                }
                match self.bench.stop_for(index, node, *epoch) {
                    Ok(()) => Response::Stopped,
                    Err(reason) => Response::Refused { reason },
                }
            }
            request => shared.answer(request.clone()),
        });
        if self.bench.alive(index) {
            Ok(answer)
        } else {
            Err(self.silent())
        }
    }
}

impl Peer for Door {
    fn ask(&self, request: &Request, _: Duration) -> Result<Response, PeerError> {
        self.ask_other(request)
    }

    fn fetch(
        &self,
        request: &Request,
        directory: &Path,
        _: Duration,
    ) -> Result<Response, PeerError> {
        let index = Bench::other(self.index);
        let shared = self.bench.nodes[index].shared.borrow().clone();
        let answers = self.bench.alive(index) && !pause::is_paused(index);
        let Some(shared) = shared.filter(|_| answers) else {
            return Err(self.silent());
        };
        // The bundles are small enough for the socket's buffer.
        let (mut here, there) = UnixStream::pair().unwrap();
        serde_json::to_writer(&mut here, request).unwrap();
        here.write_all(b"\n").unwrap();
        server::serve(there, &*shared).unwrap();
        let host = NAMES[index];
        let answer = read_answer(host, BufReader::new(here), |response, stream| {
            receive_all(host, response, stream, directory)
        })?;
        Ok(answer.unwrap())
    }
}

/// No network between the nodes of the bench.
impl Ports for Door {
    fn set(&self, _: PeerPorts) {}
}

impl Questions for Door {
    fn ask_peer(&self) {
        let answer = self.ask_other(&Request::Report { version: VERSION });
        let mine = self
            .node()
            .shared
            .borrow()
            .as_ref()
            .and_then(|s| s.report());
        let config = mine.map(|report| report.config).unwrap_or_default();
        let tell = answer
            .as_ref()
            .is_ok_and(|answer| has_not_heard(answer, &config));
        let answer = heard(answer.map_err(|e| e.to_string()));
        self.tell(Happened::PeerAnswered(answer).into());
        if tell {
            let version = VERSION;
            let _ = self.ask_other(&Request::Configuration { version, config });
        }
    }

    fn ask_pacemaker(&self) {
        let other = Bench::other(self.index);
        let node = if self.bench.alive(other) && !pause::is_paused(other) {
            PeerNode::Online
        } else {
            // Fenced, or so Pacemaker was told.
            PeerNode::Down
        };
        self.tell(Happened::PacemakerAnswered(Ok(node)).into());
    }

    fn ask_promotion(&self, round: u64) {
        self.tell(
            Happened::PromotionAnswered {
                round,
                answer: Ok(Promotion::Allowed),
            }
            .into(),
        );
    }

    fn wake_peer(&self) {
        let _ = self.ask_other(&Request::Wake { version: VERSION });
    }

    fn complete_evidence(&self) {
        panic!("nobody has found a split brain");
    }
}

impl Door {
    fn tell(&self, event: Event) {
        let events = self.node().events.borrow();
        events.as_ref().unwrap().send(event).unwrap();
    }
}
