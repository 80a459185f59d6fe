//! A stream of writes against both nodes, with a record of every one that was acknowledged.

use super::http;
use crate::cluster::{NODES, Node};
use crate::net;
use crate::progress;
use crate::wait::{self, Seen};
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// Writes under way at a time: two against each node.
const STREAMS: usize = 4;

/// The API server itself gives up after 2.5 s.
const WRITE_LIMIT: Duration = Duration::from_secs(4);

/// After an acknowledged write. As fast as they can, the streams would take both nodes' processors from
/// the failover that they are there to watch, and from the lab in the next lane.
const PACE: Duration = Duration::from_millis(40);

/// After a refused write: the node is not serving, and asking it in a tight loop would only take
/// time from its recovery.
const PAUSE: Duration = Duration::from_millis(100);

/// One acknowledged write.
#[derive(Debug, Clone)]
pub struct Ack {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// When it was sent.
    pub sent: SystemTime,
    /// When the acknowledgement was here.
    pub acked: SystemTime,
    /// Which node acknowledged it.
    pub by: Node,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU64,
    in_flight: AtomicUsize,
    acks: Mutex<Vec<Ack>>,
    last_refusal: Mutex<String>,
}

impl Shared {
    fn acks(&self) -> MutexGuard<'_, Vec<Ack>> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes until stopped.
pub struct Writer {
    prefix: String,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Starts to write. `prefix` keeps the keys of several writers apart.
    #[must_use]
    pub fn start(supervisor: u32, prefix: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = (0..STREAMS)
            .map(|stream| {
                let (shared, prefix) = (Arc::clone(&shared), prefix.to_owned());
                std::thread::spawn(move || {
                    if let Err(error) = net::enter(supervisor) {
                        *shared
                            .last_refusal
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner) = format!("{error:#}");
                        return;
                    }
                    write(&shared, &prefix, NODES[stream % NODES.len()]);
                })
            })
            .collect();
        Self {
            prefix: prefix.to_owned(),
            shared,
            threads,
        }
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.acks().len()
    }

    /// How many are under way right now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// The first write that was sent after `when` and acknowledged.
    #[must_use]
    pub fn first_after(&self, when: SystemTime) -> Option<Ack> {
        self.shared
            .acks()
            .iter()
            .filter(|ack| ack.sent > when)
            .min_by_key(|ack| ack.acked)
            .cloned()
    }

    /// Waits for that many acknowledged writes.
    ///
    /// # Errors
    /// When they do not come in time; says what the last refusal was.
    pub fn wait_count(&self, count: usize, limit: Duration) -> Result<()> {
        wait::until(&format!("{count} acknowledged writes"), limit, || {
            let now = self.count();
            Ok(if now >= count {
                Seen::Ready(())
            } else {
                Seen::NotYet(format!("{now}; {}", self.refusal()))
            })
        })
    }

    /// Waits for a write that was sent after `when` and acknowledged.
    ///
    /// # Errors
    /// When none comes in time; says what the last refusal was.
    pub fn wait_after(&self, when: SystemTime, limit: Duration) -> Result<Ack> {
        wait::until("the first accepted write", limit, || {
            Ok(self
                .first_after(when)
                .map_or_else(|| Seen::NotYet(self.refusal()), Seen::Ready))
        })
    }

    fn refusal(&self) -> String {
        let refusal = self
            .shared
            .last_refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if refusal.is_empty() {
            "no write was refused".to_owned()
        } else {
            format!("the last refusal: {refusal}")
        }
    }

    /// Stops, and returns what was acknowledged; tells how much that is, and for how long nothing was.
    #[must_use]
    pub fn stop(mut self) -> Vec<Ack> {
        self.halt();
        let acks = std::mem::take(&mut *self.shared.acks());
        eprintln!(
            "{}: {} writes were acknowledged, and for {} none",
            self.prefix,
            acks.len(),
            progress::seconds(outage(&acks))
        );
        acks
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.halt();
    }
}

fn write(shared: &Shared, prefix: &str, first: Node) {
    let mut node = first;
    while !shared.stop.load(Ordering::SeqCst) {
        // A new key each time: whether a failed write happened is unknown, so it is not counted.
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        let key = format!("{prefix}-{number:06}");
        let value = format!("value {number} of {prefix}");
        let sent = SystemTime::now();
        shared.in_flight.fetch_add(1, Ordering::SeqCst);
        let answer = http::request(node, "PUT", &format!("/kv/{key}"), &value, WRITE_LIMIT);
        shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        match answer {
            Ok(_) => {
                shared.acks().push(Ack {
                    key,
                    value,
                    sent,
                    acked: SystemTime::now(),
                    by: node,
                });
                std::thread::sleep(PACE);
            }
            Err(error) => {
                *shared
                    .last_refusal
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = format!("{error:#}");
                node = node.peer();
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// The longest time between two acknowledgements.
fn outage(acks: &[Ack]) -> Duration {
    longest_gap(acks).map_or(Duration::ZERO, |(from, to)| {
        to.duration_since(from).unwrap_or_default()
    })
}

/// The two acknowledgements with the longest time between them.
#[must_use]
pub fn longest_gap(acks: &[Ack]) -> Option<(SystemTime, SystemTime)> {
    let mut times: Vec<SystemTime> = acks.iter().map(|ack| ack.acked).collect();
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| (pair[0], pair[1]));
    gaps.max_by_key(|(from, to)| to.duration_since(*from).unwrap_or_default())
}

/// Acknowledged writes that `node` does not have, or has with another value.
///
/// # Errors
/// When the node does not list its keys.
pub fn missing(supervisor: u32, node: Node, acks: &[Ack]) -> Result<Vec<String>> {
    let listing = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            net::enter(supervisor)?;
            wait::quietly(
                &format!("{node} to list all keys"),
                Duration::from_secs(60),
                || {
                    Ok(
                        match http::request(node, "GET", "/kv", "", Duration::from_secs(25)) {
                            Ok(listing) => Seen::Ready(listing),
                            Err(error) => Seen::NotYet(format!("{error:#}")),
                        },
                    )
                },
            )
        });
        thread
            .join()
            .unwrap_or_else(|_| bail!("the reader panicked"))
    })
    .with_context(|| format!("read all keys from {node}"))?;
    let there: HashMap<&str, &str> = listing
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    Ok(acks
        .iter()
        .filter(|ack| there.get(ack.key.as_str()) != Some(&ack.value.as_str()))
        .map(|ack| ack.key.clone())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_the_longest_time_without_an_acknowledgement_in_whatever_order_they_came() {
        let at = |seconds: u64| Ack {
            key: String::new(),
            value: String::new(),
            sent: SystemTime::UNIX_EPOCH,
            acked: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            by: Node::One,
        };
        assert_eq!(outage(&[]), Duration::ZERO);
        assert_eq!(outage(&[at(1)]), Duration::ZERO);
        let acks = [at(30), at(1), at(2), at(21), at(20)];
        assert_eq!(outage(&acks), Duration::from_secs(18));
    }
}
