//! The questions against servers that answer as the real ones do, badly, or not at all.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use prost::Message;
use two_node_ha_command::Interrupt;
use two_node_ha_planner::Database;

use super::confirm::{Missing, confirm};
use super::etcd::{self, RangeRequest, RangeResponse, ResponseHeader};
use super::{Datastore, k8sd};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

struct Place {
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    Place {
        socket: dir.path().join("k8s-dqlite.sock"),
        _dir: dir,
    }
}

/// Serves one connection, outside any protocol.
fn raw(serve: impl FnOnce(UnixStream) + Send + 'static) -> Place {
    let place = place();
    let listener = UnixListener::bind(&place.socket).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    place
}

/// Serves one gRPC call: `serve` gets the path, the headers and the message.
fn grpc(
    serve: impl FnOnce(&str, &HeaderMap, &[u8], SendResponse<Bytes>) + Send + 'static,
) -> Place {
    raw(move |stream| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            stream.set_nonblocking(true).unwrap();
            let stream = tokio::net::UnixStream::from_std(stream).unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (request, respond) = connection.accept().await.unwrap().unwrap();
            let (head, mut body) = request.into_parts();
            let collect = async move {
                let mut message = Vec::new();
                while let Some(chunk) = body.data().await {
                    message.extend_from_slice(&chunk.unwrap());
                }
                message
            };
            // The connection has to be driven for the body to come in.
            let mut collect = std::pin::pin!(collect);
            let message = std::future::poll_fn(|context| {
                let _ = connection.poll_closed(context);
                collect.as_mut().poll(context)
            })
            .await;
            serve(head.uri.path(), &head.headers, &message, respond);
            // Until the other side hangs up.
            let _ = std::future::poll_fn(|context| connection.poll_closed(context)).await;
        });
    })
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.insert(*name, value.parse().unwrap());
    }
    map
}

fn head(pairs: &[(&'static str, &'static str)]) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = headers(pairs);
    response
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

fn answered() -> Bytes {
    etcd::framed(&RangeResponse {
        header: Some(ResponseHeader { revision: 42 }),
    })
}

#[test]
fn a_datastore_that_answers_a_read_of_one_key_works_whether_the_key_is_there_or_not() {
    let place = grpc(|path, headers, message, mut respond| {
        assert_eq!(path, "/etcdserverpb.KV/Range");
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(headers["grpc-timeout"], "20000m");
        // Nothing but the key: k8s-dqlite refuses the rest.
        let request = RangeRequest::decode(&message[5..]).unwrap();
        assert_eq!(request.key, b"/registry/health");
        assert_eq!(message.len(), 5 + 2 + request.key.len());
        let mut body = respond.send_response(head(&[GRPC]), false).unwrap();
        body.send_data(answered(), false).unwrap();
        body.send_trailers(headers_ok()).unwrap();
    });
    assert_eq!(etcd::read(&place.socket, LONG), Ok(()));
}

fn headers_ok() -> HeaderMap {
    headers(&[("grpc-status", "0")])
}

#[test]
fn an_answer_in_pieces_is_one_answer() {
    let place = grpc(|_, _, _, mut respond| {
        let mut body = respond.send_response(head(&[GRPC]), false).unwrap();
        for byte in answered() {
            body.send_data(Bytes::copy_from_slice(&[byte]), false)
                .unwrap();
        }
        body.send_trailers(headers_ok()).unwrap();
    });
    assert_eq!(etcd::read(&place.socket, LONG), Ok(()));
}

#[test]
fn an_error_is_no_answer_wherever_grpc_puts_it_and_its_reason_is_told() {
    let reason = ("grpc-message", "context%20deadline exceeded, 50%");
    let in_trailers = grpc(move |_, _, _, mut respond| {
        let mut body = respond.send_response(head(&[GRPC]), false).unwrap();
        body.send_trailers(headers(&[("grpc-status", "2"), reason]))
            .unwrap();
    });
    let trailers_only = grpc(move |_, _, _, mut respond| {
        let head = head(&[GRPC, ("grpc-status", "2"), reason]);
        respond.send_response(head, true).unwrap();
    });
    for place in [in_trailers, trailers_only] {
        let why = etcd::read(&place.socket, LONG).unwrap_err();
        assert!(why.contains("context deadline exceeded, 50%"), "{why}");
        assert!(why.contains("status 2"), "{why}");
    }
}

#[test]
fn an_answer_that_is_none_to_a_read_is_no_answer() {
    type Serve = fn(SendResponse<Bytes>);
    let cases: [(&str, Serve); 6] = [
        ("HTTP 404", |mut respond| {
            let mut head = head(&[]);
            *head.status_mut() = http::StatusCode::NOT_FOUND;
            respond.send_response(head, true).unwrap();
        }),
        ("no outcome", |mut respond| {
            let mut body = respond.send_response(head(&[GRPC]), false).unwrap();
            body.send_data(answered(), true).unwrap();
        }),
        ("cut off", |mut respond| {
            let mut body = respond.send_response(head(&[GRPC]), false).unwrap();
            let whole = answered();
            body.send_data(whole.slice(..whole.len() - 1), false)
                .unwrap();
            body.send_trailers(headers_ok()).unwrap();
        }),
        ("cut off", |mut respond| {
            // Success with nothing in it.
            respond
                .send_response(head(&[GRPC, ("grpc-status", "0")]), true)
                .unwrap();
        }),
        ("none to a read", |mut respond| {
            let mut body = respond.send_response(head(&[GRPC]), false).unwrap();
            body.send_data(etcd::framed(&RangeResponse { header: None }), false)
                .unwrap();
            body.send_trailers(headers_ok()).unwrap();
        }),
        ("compressed", |mut respond| {
            let mut body = respond.send_response(head(&[GRPC]), false).unwrap();
            body.send_data(Bytes::from_static(&[1, 0, 0, 0, 0]), false)
                .unwrap();
            body.send_trailers(headers_ok()).unwrap();
        }),
    ];
    for (says, serve) in cases {
        let place = grpc(move |_, _, _, respond| serve(respond));
        let why = etcd::read(&place.socket, LONG).unwrap_err();
        assert!(why.contains(says), "{says}: {why}");
    }
}

#[test]
fn whoever_speaks_something_else_or_hangs_up_is_no_datastore() {
    let chatter = raw(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    let gone = raw(drop);
    for place in [chatter, gone] {
        let began = Instant::now();
        etcd::read(&place.socket, LONG).unwrap_err();
        assert!(began.elapsed() < LONG / 2, "it was waited for");
    }
}

/// A process that was stopped, or that waits for a disk: the kernel accepts for it, and nothing comes.
#[test]
fn whoever_accepts_and_never_answers_costs_no_more_than_the_deadline() {
    let place = place();
    let _listener = UnixListener::bind(&place.socket).unwrap();
    type Ask = fn(&Path, Duration) -> Result<(), String>;
    for ask in [etcd::read as Ask, k8sd::ask as Ask] {
        let began = Instant::now();
        let why = ask(&place.socket, SHORT).unwrap_err();
        assert!(why.contains("nothing within 0.2 s"), "{why}");
        assert!(began.elapsed() >= SHORT && began.elapsed() < LONG / 2);
    }
}

#[test]
fn a_queue_that_is_full_costs_no_more_than_the_deadline() {
    let place = place();
    let listener = UnixListener::bind(&place.socket).unwrap();
    // SAFETY: the descriptor is the listener's, which lives to the end; only its queue gets shorter.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 1) }, 0);
    let began = Instant::now();
    // Each read leaves its connection in the queue.
    let why = loop {
        let why = etcd::read(&place.socket, SHORT / 10).unwrap_err();
        if !why.contains("nothing within") {
            break why;
        }
        assert!(began.elapsed() < LONG, "the queue never fills");
    };
    assert!(why.contains("connecting to"), "{why}");
}

#[test]
fn a_socket_that_nobody_listens_on_is_refused_at_once_and_named() {
    let place = place();
    for stale in [false, true] {
        if stale {
            drop(UnixListener::bind(&place.socket).unwrap());
        }
        type Ask = fn(&Path, Duration) -> Result<(), String>;
        for ask in [etcd::read as Ask, k8sd::ask as Ask] {
            let why = ask(&place.socket, LONG).unwrap_err();
            assert!(why.contains("k8s-dqlite.sock"), "{why}");
        }
    }
}

#[test]
fn k8sd_is_asked_over_its_socket() {
    let place = raw(|mut stream| {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET /core/1.0 HTTP/1.0\r\n"));
        stream
            .write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"metadata\": {\"ready\": true}}")
            .unwrap();
    });
    assert_eq!(k8sd::ask(&place.socket, LONG), Ok(()));
}

/// Answers from fields.
#[derive(Debug)]
struct Told {
    read: Result<(), String>,
    k8sd: Result<(), String>,
    sole: fn(Database) -> Result<bool, String>,
    api: Result<(), String>,
    reads: Cell<u32>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            read: Ok(()),
            k8sd: Ok(()),
            sole: |_| Ok(true),
            api: Ok(()),
            reads: Cell::new(0),
        }
    }
}

impl Datastore for Told {
    fn read(&self, _: Duration) -> Result<(), String> {
        self.reads.set(self.reads.get() + 1);
        self.read.clone()
    }

    fn k8sd(&self, _: Duration) -> Result<(), String> {
        self.k8sd.clone()
    }

    fn sole_voter(&self, database: Database) -> Result<bool, String> {
        (self.sole)(database)
    }

    fn api(&self, _: Duration) -> Result<(), String> {
        self.api.clone()
    }
}

fn confirmed(told: &Told, within: Duration) -> Result<(), Missing> {
    confirm(told, within, &Interrupt::default(), &mut |_| {}).map_err(|not| not.missing)
}

#[test]
fn a_voter_is_confirmed_by_its_datastore_and_by_raft_and_by_nothing_else() {
    let silent = || Err::<(), _>("nothing within 5.0 s".to_owned());
    assert_eq!(confirmed(&Told::default(), Duration::ZERO), Ok(()));
    // k8sd that never starts, or is just closing a segment of its log; an API server that is not ready.
    for works in [
        Told {
            k8sd: silent(),
            api: silent(),
            ..Told::default()
        },
        Told {
            sole: |database| match database {
                Database::K8sDqlite => Ok(true),
                Database::K8sd => Err("a segment is being closed".into()),
            },
            ..Told::default()
        },
    ] {
        assert_eq!(confirmed(&works, Duration::ZERO), Ok(()));
    }
    let cases = [
        Told {
            read: silent(),
            ..Told::default()
        },
        Told {
            sole: |database| Ok(database != Database::K8sd),
            ..Told::default()
        },
        Told {
            sole: |database| Ok(database != Database::K8sDqlite),
            ..Told::default()
        },
        Told {
            sole: |_| Err("a segment is being closed".into()),
            ..Told::default()
        },
    ];
    let expected = [
        Missing::Read("nothing within 5.0 s".into()),
        Missing::Elsewhere(Database::K8sd),
        Missing::Elsewhere(Database::K8sDqlite),
        Missing::Unsaid(Database::K8sDqlite, "a segment is being closed".into()),
    ];
    for (told, missing) in cases.iter().zip(expected) {
        assert_eq!(confirmed(told, Duration::ZERO), Err(missing));
    }
}

#[test]
fn whoever_waits_is_told_what_is_missing_and_is_asked_again_until_the_time_is_up() {
    let told = Told {
        read: Err("connection refused".into()),
        ..Told::default()
    };
    let mut said = Vec::new();
    let within = Duration::from_millis(700);
    let error = confirm(&told, within, &Interrupt::default(), &mut |text: &str| {
        said.push(text.to_owned());
    })
    .unwrap_err();
    assert!(told.reads.get() >= 3);
    let sentence = "waiting for the voter: k8s-dqlite does not answer a read on its socket: \
                    connection refused";
    assert!(said.iter().all(|text| text == sentence), "{said:?}");
    let error = error.to_string();
    assert!(error.contains("connection refused"), "{error}");
    assert!(error.contains("journalctl"), "{error}");
}

#[test]
fn a_confirmation_gives_way_to_a_release_at_once() {
    let silent = Told {
        read: Err("nothing within 5.0 s".into()),
        ..Told::default()
    };
    let interrupt = Interrupt::default();
    let mut looked = 0;
    let error = confirm(&silent, LONG, &interrupt, &mut |_: &str| {
        looked += 1;
        interrupt.set(looked == 2);
    });
    assert_eq!(error.unwrap_err().missing, Missing::Role);
    assert_eq!(silent.reads.get(), 3);
}
