//! Both sockets, as those see them who connect: the commands, the failover unit, and whoever carries the
//! peer's requests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use two_node_ha_planner::observation::Request as Wanted;
use two_node_ha_planner::record::{Astray, Epoch};
use two_node_ha_planner::{Database, State};
use two_node_ha_protocol::control::{Request, Response};
use two_node_ha_protocol::peer::{self, VERSION};

use super::given::{node_that_tells, report, says};
use super::only::Only;
use super::shared::Shared;
use super::{Event, Happened, serve};
use crate::commands::agent_socket::Connection;
use crate::store::Record;

/// Whoever waits this long for an answer waits for ever.
const WITHIN: Duration = Duration::from_secs(20);

/// haone's agent, the voter's bundle of epoch 1 on its volume.
struct Agent {
    shared: Arc<Shared>,
    only: Only,
    heard: Receiver<Event>,
    _dir: tempfile::TempDir,
}

impl Agent {
    /// One that has just become the agent of its node.
    fn new() -> Self {
        let (events, heard) = channel();
        let (shared, dir) = node_that_tells(events, &[1]);
        let only = Only::take(&shared.paths).unwrap();
        Self {
            shared: Arc::new(shared),
            only,
            heard,
            _dir: dir,
        }
    }

    fn listen(&self) -> Result<(), String> {
        serve::start(&self.shared, &self.only)
    }

    /// One that listens.
    fn listening() -> Self {
        let agent = Self::new();
        agent.listen().unwrap();
        agent
    }

    /// A command's connection.
    fn ask(&self, request: &Request) -> Connection {
        let connection = Connection::open(&self.shared.paths, request).unwrap();
        let stream = connection.writer().unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        connection
    }

    /// What comes back for these bytes, after which nothing more is sent.
    fn answer_to(&self, bytes: &[u8]) -> Response {
        let mut stream = UnixStream::connect(self.shared.paths.agent_socket()).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        Response::read(&line).unwrap()
    }

    /// What the peer is answered.
    fn answer_the_peer(&self, request: &peer::Request) -> peer::Response {
        let mut stream = UnixStream::connect(self.shared.paths.peer_socket()).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        stream.write_all(&line).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// What the loop is woken with next.
    fn hears(&self) -> Happened {
        match self.heard.recv_timeout(WITHIN).unwrap() {
            Event::Happened(happened) => happened,
            other => panic!("{other:?}"),
        }
    }
}

/// The epoch that a status says.
fn epoch(response: Response) -> u64 {
    match response {
        Response::Status(status) => status.epoch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sockets_of_an_earlier_agent_are_replaced_by_ones_that_only_root_and_the_group_may_open() {
    let agent = Agent::new();
    let paths = &agent.shared.paths;
    for path in [paths.agent_socket(), paths.peer_socket()] {
        // Of one that has ended, and of one that has ended while it was about to listen.
        drop(UnixListener::bind(&path).unwrap());
        drop(UnixListener::bind(path.with_extension("new")).unwrap());
    }
    agent.listen().unwrap();
    for (path, mode) in [(paths.agent_socket(), 0o600), (paths.peer_socket(), 0o660)] {
        let meta = fs::metadata(&path).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.permissions().mode() & 0o777, mode);
        UnixStream::connect(&path).unwrap();
        assert!(!path.with_extension("new").exists());
    }
}

#[test]
fn what_is_no_socket_and_stands_in_the_way_of_one_is_named() {
    for path in [
        |agent: &Agent| agent.shared.paths.agent_socket(),
        |agent: &Agent| agent.shared.paths.peer_socket(),
    ] {
        let agent = Agent::new();
        let path = path(&agent);
        fs::create_dir(&path).unwrap();
        let why = agent.listen().unwrap_err();
        let named = format!("listening on {}: ", path.display());
        assert!(why.starts_with(&named), "{why}");
        assert!(path.is_dir());
    }
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    let agent = Agent::listening();
    for (bytes, why) in [
        (&b""[..], "the connection was closed"),
        (b"status\n", "this is no request"),
        (b"{\"request\":\"fly\"}\n", "unknown variant `fly`"),
    ] {
        let Response::Refused { reason } = agent.answer_to(bytes) else {
            panic!("it was understood");
        };
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn an_agent_that_knows_nothing_yet_says_so_and_afterwards_how_it_stands() {
    let agent = Agent::listening();
    for request in [Request::Status, Request::Plan] {
        let why = agent.ask(&request).answer().unwrap_err();
        assert_eq!(why, "the agent has only just started");
    }
    says(&agent.shared, report(State::SecondaryRunning, 3));
    let status = agent.ask(&Request::Status).answer().unwrap();
    assert_eq!(epoch(status), 3);
    let plan = agent.ask(&Request::Plan).answer().unwrap();
    assert!(matches!(plan, Response::Plan { .. }), "{plan:?}");
}

#[test]
fn whoever_watches_is_told_the_status_at_once_and_again_at_each_change_and_not_in_between() {
    let agent = Agent::listening();
    says(&agent.shared, report(State::SecondaryRunning, 1));
    let mut watch = agent.ask(&Request::Watch);
    assert_eq!(epoch(watch.answer().unwrap()), 1);
    for (again, next) in [(1, 2), (2, 3)] {
        says(&agent.shared, report(State::SecondaryRunning, again));
        says(&agent.shared, report(State::SecondaryRunning, next));
        assert_eq!(epoch(watch.answer().unwrap()), next);
    }
    let (generation, status) = agent.shared.next_status(0);
    assert_eq!((generation, status.unwrap().epoch), (3, 3));
}

#[test]
fn a_hold_lasts_until_it_is_released_or_its_connection_ends() {
    let agent = Agent::listening();
    let mut holder = agent.ask(&Request::Hold);
    assert_eq!(agent.hears(), Happened::Asks(Wanted::Hold));
    assert_eq!(agent.shared.request(), Wanted::Hold);
    holder.send(&Request::Release).unwrap();
    assert_eq!(agent.hears(), Happened::Asks(Wanted::Release));
    assert_eq!(agent.shared.request(), Wanted::Release);
    drop(holder);
    assert_eq!(agent.hears(), Happened::Asks(Wanted::None));
    assert_eq!(agent.shared.request(), Wanted::None);
    // A unit that was restarted while it left the volume.
    let _leaving = agent.ask(&Request::Release);
    assert_eq!(agent.hears(), Happened::Asks(Wanted::Release));
    assert_eq!(agent.shared.request(), Wanted::Release);
}

#[test]
fn the_end_of_a_connection_whose_hold_was_replaced_ends_no_hold() {
    let agent = Agent::listening();
    let first = agent.ask(&Request::Hold);
    assert_eq!(agent.hears(), Happened::Asks(Wanted::Hold));
    let second = agent.ask(&Request::Hold);
    assert_eq!(agent.hears(), Happened::Asks(Wanted::Hold));
    drop(first);
    assert_eq!(agent.hears(), Happened::Changed);
    assert_eq!(agent.shared.request(), Wanted::Hold);
    drop(second);
    assert_eq!(agent.hears(), Happened::Asks(Wanted::None));
    assert_eq!(agent.shared.request(), Wanted::None);
}

#[test]
fn a_peer_that_fetches_the_bundle_hears_what_had_been_written_off_the_volume() {
    let agent = Agent::listening();
    let Shared { paths, config, .. } = &*agent.shared;
    let mut volume = Epoch::first("haone");
    let lay_on_hatwo = Astray {
        node: "hatwo".into(),
        first: 52,
        last: 90,
        since: 1_795_552_215,
        until: 1_795_552_270,
    };
    volume.astray.insert(Database::K8sd, lay_on_hatwo.clone());
    volume.write(&paths.epoch(config)).unwrap();
    says(&agent.shared, report(State::PrimaryRunning, 1));
    let request = peer::Request::Bundle {
        version: VERSION,
        epoch: 1,
    };
    match agent.answer_the_peer(&request) {
        peer::Response::Bundle {
            epoch,
            files,
            astray,
        } => {
            assert_eq!((epoch, files.len()), (1, Database::ALL.len()));
            assert_eq!(astray, BTreeMap::from([(Database::K8sd, lay_on_hatwo)]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whatever_the_peer_asks_the_loop_hears_that_it_lives() {
    let agent = Agent::listening();
    says(&agent.shared, report(State::PrimaryRunning, 1));
    for request in [
        peer::Request::Report { version: VERSION },
        peer::Request::Bundle {
            version: VERSION,
            epoch: 7,
        },
    ] {
        agent.answer_the_peer(&request);
        assert_eq!(agent.hears(), Happened::PeerHeard, "{request:?}");
    }
}
