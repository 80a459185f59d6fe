//! Making the datastore as large as it is to be.

use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::http;
use crate::scenario::{COMMAND, SETTLE};
use crate::wait::{self, Seen};
use crate::{net, progress};
use anyhow::{Context, Result, bail, ensure};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Values written at a time.
const STREAMS: u64 = 4;

/// Bytes of a value: some thousand of them make 100 MB, of which dqlite has then taken two snapshots.
const VALUE: usize = 96 * 1024;

/// One write, where both processors are busy.
const WRITE_LIMIT: Duration = Duration::from_secs(4);

/// For 500 MB on a machine that does something else as well.
const LIMIT: Duration = Duration::from_secs(1800);

const RAFT: &str = "/mnt/drbd0/k8s-dqlite";

/// What was written so far.
#[derive(Debug, Default)]
pub struct Filler {
    written: u64,
}

impl Filler {
    /// Writes until there are so many MB, and dqlite has them in a snapshot.
    ///
    /// # Errors
    /// When the datastore does not take them.
    pub fn fill(&mut self, lab: &Lab, mb: u32) -> Result<()> {
        let wanted = u64::from(mb) * 1_000_000;
        let voter = agent::voter(lab, SETTLE)?;
        let supervisor = lab.status()?.supervisor;
        progress::step(&format!("filling the datastore up to {mb} MB"), || {
            let size = VALUE as u64;
            let count = wanted.saturating_sub(self.written).div_ceil(size);
            write(supervisor, voter, VALUE, count)?;
            self.written += count * size;
            Ok(())
        })?;
        // Random letters do not get smaller by lz4; the rest of a page is.
        let enough = wanted / 10 * 8;
        wait::until("a snapshot of it", LIMIT, || {
            let size = newest_snapshot(lab, voter)?;
            if size >= enough {
                eprintln!("the newest snapshot has {:.1} MB", size as f64 / 1e6);
                return Ok(Seen::Ready(()));
            }
            // One is taken after so many entries, of whatever size.
            write(supervisor, voter, 16, 64)?;
            Ok(Seen::NotYet(format!("the newest has {size} bytes")))
        })
    }
}

/// Writes so many values, several at a time. The keys are few: it is the datastore that is to be large,
/// and not the answer to whoever lists them.
fn write(supervisor: u32, voter: Node, size: usize, count: u64) -> Result<()> {
    let next = AtomicU64::new(0);
    let until = Instant::now() + LIMIT;
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS)
            .map(|stream| {
                let next = &next;
                scope.spawn(move || -> Result<()> {
                    net::enter(supervisor)?;
                    while next.fetch_add(1, Ordering::SeqCst) < count {
                        put(voter, stream, size, until)?;
                    }
                    Ok(())
                })
            })
            .collect();
        streams.into_iter().try_for_each(|stream| {
            let written = stream.join();
            written.unwrap_or_else(|_| bail!("a stream of values panicked"))
        })
    })
}

/// Writes one value, again where it was refused.
fn put(voter: Node, stream: u64, size: usize, until: Instant) -> Result<()> {
    let value = letters(size);
    let path = format!("/kv/filler-{stream}");
    loop {
        match http::request(voter, "PUT", &path, &value, WRITE_LIMIT) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > until => {
                return Err(error).context("fill the datastore");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Random letters and digits: what a snapshot or a tarball has to pack is not to be all the same.
fn letters(size: usize) -> String {
    use std::hash::{BuildHasher, Hasher};
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let seed = std::collections::hash_map::RandomState::new();
    // xorshift64, which stays at zero if it begins there.
    let mut state = seed.build_hasher().finish() | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..size).map(letter).collect()
}

/// Bytes of raft's newest snapshot on the volume.
fn newest_snapshot(lab: &Lab, voter: Node) -> Result<u64> {
    // It may be renamed or removed in between: then it is looked for again.
    let script = format!(
        "cd {RAFT}; newest=$(ls -t snapshot-* 2>/dev/null | grep -v '[.]meta$' | head -n1); \
         [ -z \"$newest\" ] || stat -c %s \"$newest\" 2>/dev/null || true"
    );
    let said = lab.sh(voter, &script, COMMAND)?;
    let size = said.trim();
    if size.is_empty() {
        return Ok(0);
    }
    ensure!(
        size.bytes().all(|b| b.is_ascii_digit()),
        "the size of a snapshot: {size:?}"
    );
    Ok(size.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_the_size_asked_for_and_differ_and_the_api_server_takes_them() {
        let (one, other) = (letters(1000), letters(1000));
        assert_eq!(one.len(), 1000);
        assert_ne!(one, other);
        assert!(one.bytes().all(|b| b.is_ascii_graphic()));
    }
}
