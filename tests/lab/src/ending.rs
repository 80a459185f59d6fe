//! Ending an instance, in order or by force, and removing what it leaves.

use crate::client::Lab;
use crate::places::Places;
use crate::supervisor::try_lock;
use crate::wait::{self, Seen};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Duration;

/// How long a supervisor may take to end two kernels.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Ends the instance: kernels, network, supervisor, and its directory. Does nothing where there is
/// none.
///
/// # Errors
/// When something of it cannot be ended.
pub fn end(places: &Places) -> Result<()> {
    if !places.instance.exists() {
        return Ok(());
    }
    if let Ok(lab) = Lab::connect(places) {
        // The supervisor may be gone before its answer is out.
        let _ = lab.shut_down();
    }
    let freed = || {
        let free = try_lock(&places.instance)?.is_some();
        Ok(if free {
            Seen::Ready(())
        } else {
            Seen::NotYet("its lock is held".into())
        })
    };
    if wait::quietly("the supervisor to end", LIMIT, freed).is_err() {
        kill_recorded(places)?;
        wait::quietly("the killed supervisor to end", LIMIT, freed)?;
    }
    let _ = fs::remove_file(&places.socket);
    if let Some(dir) = places.socket.parent() {
        // Only if no other instance has a socket there.
        let _ = fs::remove_dir(dir);
    }
    fs::remove_dir_all(&places.instance)
        .with_context(|| format!("remove {}", places.instance.display()))
}

/// Identity of the supervisor, so that no other process is ended in its place.
#[derive(Serialize, Deserialize)]
struct Identity {
    pid: u32,
    /// Start time in clock ticks since boot, from /proc/PID/stat.
    started: u64,
}

/// Records who supervises the instance.
///
/// # Errors
/// When it is gone already, or the record cannot be written.
pub fn record(places: &Places, pid: u32) -> Result<()> {
    let started = started(pid).with_context(|| format!("find the supervisor, process {pid}"))?;
    fs::write(
        places.instance.join("supervisor.json"),
        serde_json::to_vec(&Identity { pid, started })?,
    )
    .context("record the supervisor")
}

/// Field 22 of /proc/PID/stat (proc(5)).
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the fields after it are plain.
    text.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

fn kill_recorded(places: &Places) -> Result<()> {
    let path = places.instance.join("supervisor.json");
    let text = fs::read(&path).context("find the supervisor that does not answer")?;
    let identity: Identity = serde_json::from_slice(&text).context("read supervisor.json")?;
    if started(identity.pid) != Some(identity.started) {
        bail!(
            "the lab's lock is held, but not by the recorded supervisor {}",
            identity.pid
        );
    }
    let pid = Pid::from_raw(i32::try_from(identity.pid).context("a process id too large")?);
    kill(pid, Signal::SIGKILL).context("kill the supervisor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_of_a_process_stays_the_same_and_differs_from_an_older_ones() {
        let own = started(std::process::id());
        assert!(own.is_some());
        assert_eq!(own, started(std::process::id()));
        assert!(started(1) < own);
    }
}
