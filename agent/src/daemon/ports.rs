//! The databases' ports on the peer, refused or open as the machine says: a thread, since `ip` takes
//! its time, and neither the loop nor a step that is being taken may wait for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use two_node_ha_command::System;
use two_node_ha_config::{Config, Node};
use two_node_ha_node::Paths;
use two_node_ha_planner::machine::PeerPorts;

use crate::peer_ports::{self, dialled};

/// After how long ports that could not be opened are tried again, the first time and at most.
const RETRY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(300)];

/// Where the loop says how the ports are to be.
pub(super) trait Ports {
    /// From now on, and does not wait.
    fn set(&self, ports: PeerPorts);
}

/// The thread. When it is dropped the ports are open.
#[derive(Debug)]
pub(super) struct Thread {
    put: Option<Sender<PeerPorts>>,
    thread: Option<JoinHandle<()>>,
}

impl Ports for Thread {
    fn set(&self, ports: PeerPorts) {
        if let Some(put) = &self.put {
            // It ends with this value and not before.
            let _ = put.send(ports);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.put.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so; systemd opens the ports after this process (ExecStopPost=).
            let _ = thread.join();
        }
    }
}

/// Starts the thread, which opens the ports first: an agent that was killed may have left them refused.
///
/// # Errors
/// When there is no thread: in words.
pub(super) fn start(
    config: &Config,
    paths: &Paths,
    (node, peer): (&Node, &Node),
) -> Result<Thread, String> {
    let (config, paths) = (config.clone(), paths.clone());
    let (node, peer) = (node.clone(), peer.clone());
    spawn(RETRY, move |ports| {
        set(ports, &config, &paths, (&node, &peer))
    })
}

fn spawn(
    retry: [Duration; 2],
    set: impl FnMut(PeerPorts) -> Result<(), String> + Send + 'static,
) -> Result<Thread, String> {
    let (put, wanted) = channel();
    let thread = thread::Builder::new()
        .name("ports".into())
        .spawn(move || follow(&wanted, retry, set))
        .map_err(|error| format!("starting the thread of the peer's ports: {error}"))?;
    Ok(Thread {
        put: Some(put),
        thread: Some(thread),
    })
}

/// Sets the ports to what was wanted last, from open to open. Ports that cannot be opened are tried again
/// and again, for the peer needs them; ports that cannot be refused cost time, and no more.
fn follow(
    wanted: &Receiver<PeerPorts>,
    [first, longest]: [Duration; 2],
    mut set: impl FnMut(PeerPorts) -> Result<(), String>,
) {
    let mut ports = PeerPorts::Open;
    let mut patience = first;
    let mut told = [false; 2];
    loop {
        let failed = set(ports).err();
        if let Some(why) = &failed {
            say(ports, why, &mut told);
        }
        let next = match (ports, &failed) {
            (PeerPorts::Open, Some(_)) => {
                let next = wanted.recv_timeout(patience);
                patience = (patience * 2).min(longest);
                next
            }
            (PeerPorts::Open, None) | (PeerPorts::Refused, _) => {
                patience = first;
                wanted.recv().map_err(RecvTimeoutError::from)
            }
        };
        match next {
            Ok(next) => ports = wanted.try_iter().last().unwrap_or(next),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // The agent ends. What may have been refused is opened, and one that failed tried once more.
                if ports == PeerPorts::Refused || failed.is_some() {
                    if let Err(why) = set(PeerPorts::Open) {
                        say(PeerPorts::Open, &why, &mut told);
                    }
                }
                return;
            }
        }
    }
}

/// Says a failure once, not at each try.
fn say(ports: PeerPorts, why: &str, told: &mut [bool; 2]) {
    let [open, refused] = told;
    match ports {
        PeerPorts::Open if !std::mem::replace(open, true) => tracing::error!(
            ports = "open",
            "the rules by which this node refuses connections to the peer's databases cannot be looked \
             for and taken away: {why}. It is tried again; by hand: `two-node-ha peer open-ports`, and \
             `ip rule show` tells what is there"
        ),
        PeerPorts::Refused if !std::mem::replace(refused, true) => tracing::warn!(
            ports = "refused",
            "connections to the databases of the dead peer cannot be refused on this node: {why}. What \
             dials it waits until its time is out; the takeover goes on"
        ),
        PeerPorts::Open | PeerPorts::Refused => tracing::debug!(?ports, "again: {why}"),
    }
}

fn set(
    ports: PeerPorts,
    config: &Config,
    paths: &Paths,
    (node, peer): (&Node, &Node),
) -> Result<(), String> {
    let runner = System::new();
    match ports {
        PeerPorts::Open => {
            let changed = peer_ports::open(&runner)?;
            if changed.removed > 0 {
                tracing::info!(
                    ports = "open",
                    "connections to the databases of {} go out again",
                    peer.name
                );
            }
        }
        PeerPorts::Refused => {
            let addresses = dialled(config, paths, node, peer);
            peer_ports::refuse(&runner, &addresses)?;
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            tracing::info!(
                ports = "refused",
                "{} is off: connections to its databases ({}) are refused here at once, until it is heard",
                peer.name,
                addresses.join(", ")
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use PeerPorts::{Open, Refused};

    const WITHIN: Duration = Duration::from_secs(20);
    const NEVER: [Duration; 2] = [Duration::from_secs(3600); 2];

    /// A thread whose settings come to the test, which says of each how it ends.
    fn bench(
        retry: [Duration; 2],
        fails: impl Fn(PeerPorts) -> bool + Send + 'static,
    ) -> (Thread, Receiver<PeerPorts>) {
        let (tell, told) = channel();
        let thread = spawn(retry, move |ports| {
            let _ = tell.send(ports);
            if fails(ports) {
                Err("it cannot".into())
            } else {
                Ok(())
            }
        });
        (thread.unwrap(), told)
    }

    #[test]
    fn an_agent_begins_and_ends_with_open_ports() {
        let (thread, set) = bench(NEVER, |_| false);
        assert_eq!(set.recv_timeout(WITHIN), Ok(Open), "of an earlier agent");
        thread.set(Refused);
        assert_eq!(set.recv_timeout(WITHIN), Ok(Refused));
        drop(thread);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Open]);
        let (thread, set) = bench(NEVER, |_| false);
        assert_eq!(set.recv_timeout(WITHIN), Ok(Open));
        drop(thread);
        assert_eq!(set.iter().count(), 0, "they are open");
    }

    #[test]
    fn what_was_wanted_last_counts_also_where_the_agent_ends_right_then() {
        let (put, wanted) = channel();
        for ports in [Refused, Open, Refused] {
            put.send(ports).unwrap();
        }
        drop(put);
        let mut all = Vec::new();
        follow(&wanted, NEVER, |ports| {
            all.push(ports);
            Ok(())
        });
        assert_eq!(all, [Open, Refused, Open]);
    }

    #[test]
    fn ports_that_cannot_be_opened_are_tried_again_and_those_that_cannot_be_refused_are_not() {
        let soon = [Duration::from_millis(1); 2];
        let (thread, set) = bench(soon, |ports| ports == Open);
        for _ in 0..3 {
            assert_eq!(set.recv_timeout(WITHIN), Ok(Open));
        }
        drop(thread);
        assert_eq!(set.iter().last(), Some(Open), "once more at the end");
        let (thread, set) = bench(soon, |ports| ports == Refused);
        assert_eq!(set.recv_timeout(WITHIN), Ok(Open));
        thread.set(Refused);
        assert_eq!(set.recv_timeout(WITHIN), Ok(Refused));
        let again = set.recv_timeout(Duration::from_millis(50));
        assert_eq!(again, Err(RecvTimeoutError::Timeout));
    }
}
