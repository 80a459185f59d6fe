//! The way down (invariant I11): what makes this node safe to unmount, and needs nothing for it.
//!
//! No configuration, no journal, no agent, no D-Bus, no free block and no writable disk: the token
//! goes, whatever writes a database is killed (SIGKILL, never asked: k8s-dqlite hands its role over
//! when it is asked), and [`run`] returns only once a look through `/proc` has found nobody on the
//! volume, twice in a row. While it has not returned, the failover unit is *deactivating*: Pacemaker
//! waits, its own time-out ends the wait, and the node is fenced. It must never be *failed* before
//! that, which Pacemaker takes for stopped.
//!
//! Nothing here waits for a log line to be written, nor for a look that hangs: see [`say`] and
//! [`Looks`].

mod cgroup;
mod holders;
mod marks;
mod process;
mod say;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use holders::{Found, Who};
use process::Process;
use two_node_ha_node::Paths;

pub use process::has_ended;
pub use say::Say;

/// How long something may take before it is dealt with otherwise.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// The agent may be in the middle of a step; it is made to be killed at any point of one.
    agent: Duration,
    /// Anybody else on the volume, such as a person's shell. Pacemaker's own agent would wait as long.
    other: Duration,
    /// Between two looks while somebody is to be killed, and before the second of two clean ones.
    between: Duration,
    /// How long a look may take before it is said to hang.
    look: Duration,
    /// How often the same reason to wait is said again.
    again: Duration,
}

const PATIENCE: Patience = Patience {
    agent: Duration::from_secs(3),
    other: Duration::from_secs(5),
    // systemd may be between a gate that it has asked and the program that it starts next.
    between: Duration::from_millis(200),
    look: Duration::from_secs(5),
    again: Duration::from_secs(10),
};

/// Leaves the volume; returns once nothing is on it, however long that takes.
pub fn run(paths: &Paths, say: &Say) {
    down(paths, say, PATIENCE);
}

fn down(paths: &Paths, say: &Say, patience: Patience) {
    let mut looks = Looks::new(paths.clone());
    let mut waiting = Waiting::default();
    let mut clean = 0;
    loop {
        take_token(paths, say, &mut waiting);
        let mut busy = cgroup::kill_all(paths, &marks::units(paths));
        match looks.look(patience.look) {
            Ok(found) => {
                for one in &found {
                    waiting.deal_with(one, patience, say);
                }
                busy.extend(found.iter().map(|one| one.to_string()));
            }
            Err(why) => busy.push(why),
        }
        if busy.is_empty() {
            clean += 1;
            if clean == 2 {
                say.info("no database runs here, and nobody is on the volume".into());
                return;
            }
        } else {
            clean = 0;
            waiting.tell(&busy, patience, say);
        }
        thread::sleep(patience.between);
    }
}

/// Takes the token away, so that nothing is started again. A `/run` that cannot be changed is said
/// and stops nothing: the gate of each database asks more than the token.
fn take_token(paths: &Paths, say: &Say, waiting: &mut Waiting) {
    let token = paths.token();
    match std::fs::remove_file(&token) {
        Ok(()) => say.warn(format!("the token {} was still there", token.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            if !std::mem::replace(&mut waiting.token_said, true) {
                say.error(format!(
                    "the token {} cannot be taken away ({error}); the databases are killed all the \
                     same, and their gates stay shut while nobody holds the voter's role",
                    token.display()
                ));
            }
        }
    }
}

/// Whom is waited for, and since when.
#[derive(Debug, Default)]
struct Waiting {
    /// By process: since when, and whether it was killed.
    since: BTreeMap<Process, (Instant, bool)>,
    told: Option<(Instant, Vec<String>)>,
    token_said: bool,
}

impl Waiting {
    fn deal_with(&mut self, one: &Found, patience: Patience, say: &Say) {
        let now = Instant::now();
        let grace = match one.who {
            Who::Writer => Duration::ZERO,
            Who::Agent => patience.agent,
            Who::Other => patience.other,
        };
        let (since, killed) = self.since.entry(one.process).or_insert((now, false));
        if now.duration_since(*since) < grace {
            return;
        }
        match one.process.kill(&one.proc) {
            Ok(()) if *killed => {}
            Ok(()) => say.warn(format!("killed {one}")),
            Err(error) if !*killed => say.error(format!("{one} cannot be killed: {error}")),
            Err(_) => {}
        }
        *killed = true;
    }

    /// Says who is in the way, at each change and now and then.
    fn tell(&mut self, busy: &[String], patience: Patience, say: &Say) {
        if let Some((at, told)) = &self.told {
            if told == busy && at.elapsed() < patience.again {
                return;
            }
        }
        let first = self.told.is_none();
        self.told = Some((Instant::now(), busy.to_vec()));
        let who = busy.join("; ");
        say.status(format!("the volume is not free yet: {who}"));
        // What goes at the first kill is not worth a warning.
        if !first {
            say.warn(format!(
                "the volume is not free yet: {who}. This goes on until it is; if it is not before \
                 Pacemaker's stop of the failover resource runs out of time, this node is fenced"
            ));
        }
    }
}

/// The looks through `/proc`: each is a thread's, because a process whose memory the kernel holds
/// locked makes its reader wait, too, and the databases must be killed meanwhile.
#[derive(Debug)]
struct Looks {
    paths: Paths,
    under_way: Option<Receiver<io::Result<Vec<Found>>>>,
}

impl Looks {
    fn new(paths: Paths) -> Self {
        Self {
            paths,
            under_way: None,
        }
    }

    fn look(&mut self, patience: Duration) -> Result<Vec<Found>, String> {
        if let Some(receiver) = &self.under_way {
            // What a late one has seen is old.
            match receiver.try_recv() {
                Err(TryRecvError::Empty) => {
                    return Err("a look through /proc hangs, as a process there does".into());
                }
                Ok(_) | Err(TryRecvError::Disconnected) => self.under_way = None,
            }
        }
        let (sender, receiver) = sync_channel(1);
        let paths = self.paths.clone();
        let look = move || {
            // Nobody waits any more where it is late.
            let _ = sender.send(holders::look(&paths));
        };
        if let Err(error) = thread::Builder::new().name("proc".into()).spawn(look) {
            // Out of memory or of processes: here, then.
            let found = holders::look(&self.paths);
            return found.map_err(|why| format!("{why}, without a thread ({error})"));
        }
        match receiver.recv_timeout(patience) {
            Ok(found) => found.map_err(|why| why.to_string()),
            Err(RecvTimeoutError::Timeout) => {
                self.under_way = Some(receiver);
                Err("a look through /proc hangs, as a process there does".into())
            }
            Err(RecvTimeoutError::Disconnected) => Err("a look through /proc has failed".into()),
        }
    }
}
