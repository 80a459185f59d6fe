//! One client's connection.

use super::protocol::{Event, Input, Reply, Request, Status, receive, send};
use super::{Order, Shared};
use crate::cluster::{NODES, Node};
use crate::control::wire::{CHUNK, ToGuest};
use crate::net;
use anyhow::{Result, anyhow};
use nix::libc::SIGKILL;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// Serves a client until it hangs up.
///
/// # Errors
/// When the connection breaks in mid-message.
pub fn serve(shared: &Arc<Shared>, connection: UnixStream) -> Result<()> {
    let mut output = connection.try_clone()?;
    let mut input = BufReader::new(connection);
    while let Some(request) = receive::<Request>(&mut input)? {
        let result = match request {
            Request::Run { node, argv, read } => {
                return run(shared, &node, argv, read, input, output);
            }
            Request::Status => {
                send(&mut output, &Reply::Status(status(shared)))?;
                continue;
            }
            other => obey(shared, other),
        };
        let reply = match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Failed(format!("{error:#}")),
        };
        send(&mut output, &reply)?;
    }
    Ok(())
}

fn status(shared: &Shared) -> Status {
    let facts = shared.facts();
    Status {
        supervisor: std::process::id(),
        nodes: NODES.iter().map(|n| shared.machine(*n).status()).collect(),
        partition: facts.partition.clone(),
        auto_boot: facts.auto_boot,
        fencings: facts.fencings.clone(),
    }
}

fn obey(shared: &Arc<Shared>, request: Request) -> Result<()> {
    match request {
        Request::Boot(node, words) => {
            let (answer, answered) = channel();
            shared
                .orders
                .send(Order::Boot(Node::parse(&node)?, words, Some(answer)))
                .map_err(|_| anyhow!("the lab is ending"))?;
            answered.recv().map_err(|_| anyhow!("the lab is ending"))?
        }
        Request::Cut(node) => shared.machine(Node::parse(&node)?).cut(),
        Request::WaitOff(node) => {
            shared.machine(Node::parse(&node)?).wait_off();
            Ok(())
        }
        Request::Partition(node) => {
            let words = match node {
                Some(node) => {
                    net::unplug(Node::parse(&node)?)?;
                    format!("{node} is unplugged")
                }
                None => {
                    net::isolate()?;
                    "the nodes are cut from each other".to_owned()
                }
            };
            shared.facts().partition = Some(words);
            Ok(())
        }
        Request::Heal => {
            net::heal()?;
            shared.facts().partition = None;
            Ok(())
        }
        Request::AutoBoot(on) => {
            shared.facts().auto_boot = on;
            Ok(())
        }
        Request::Shutdown => {
            let (answer, answered) = channel();
            let _ = shared.orders.send(Order::Shutdown(Some(answer)));
            answered
                .recv()
                .map_err(|_| anyhow!("the supervisor ended early"))
        }
        Request::Status | Request::Run { .. } => Err(anyhow!("answered elsewhere")),
    }
}

fn run(
    shared: &Arc<Shared>,
    node: &str,
    argv: Vec<String>,
    read: bool,
    mut input: BufReader<UnixStream>,
    mut output: UnixStream,
) -> Result<()> {
    let submitted = Node::parse(node).and_then(|node| {
        let machine = shared.machine(node);
        let job = machine.submit(|id| orders(id, &argv, read))?;
        Ok((machine.node(), job))
    });
    let (node, (id, events)) = match submitted {
        Ok(job) => job,
        Err(error) => return send(&mut output, &Event::Lost(format!("{error:#}"))),
    };
    let feeding = Arc::clone(shared);
    std::thread::spawn(move || {
        let machine = feeding.machine(node);
        while let Ok(Some(item)) = receive::<Input>(&mut input) {
            match item {
                Input::Stdin(data) if data.is_empty() => machine.tell(&ToGuest::In(id, data)),
                Input::Stdin(data) => {
                    for part in data.chunks(CHUNK) {
                        machine.tell(&ToGuest::In(id, part.to_vec()));
                    }
                }
                Input::Signal(signal) => machine.tell(&ToGuest::Kill(id, signal)),
            }
        }
        // The client is gone; what it started must not stay. After the end this hits nothing.
        machine.tell(&ToGuest::Kill(id, SIGKILL));
    });
    for event in events {
        let last = matches!(event, Event::Exit(_) | Event::Lost(_));
        send(&mut output, &event)?;
        if last {
            break;
        }
    }
    // Lets the feeding thread see the end, too.
    let _ = output.shutdown(std::net::Shutdown::Both);
    Ok(())
}

fn orders(id: u32, argv: &[String], read: bool) -> Vec<ToGuest> {
    if read {
        return argv
            .iter()
            .take(1)
            .map(|path| ToGuest::Read(id, path.clone().into_bytes()))
            .collect();
    }
    let text: Vec<u8> = argv.iter().flat_map(|arg| arg.bytes().chain([0])).collect();
    let mut orders: Vec<ToGuest> = text
        .chunks(CHUNK)
        .map(|piece| ToGuest::Args(id, piece.to_vec()))
        .collect();
    orders.push(ToGuest::Run(id));
    orders
}
