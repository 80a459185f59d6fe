//! Ctrl-C and SIGTERM: end what this process answers for, then this process.

use crate::ending;
use crate::places::Places;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An instance of its own, or processes that answer for theirs.
struct Answer {
    instance: Option<Places>,
    processes: Vec<Pid>,
}

static ANSWER_FOR: Mutex<Answer> = Mutex::new(Answer {
    instance: None,
    processes: Vec::new(),
});

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn answer() -> MutexGuard<'static, Answer> {
    ANSWER_FOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on an interrupt ends this instance.
pub fn answer_for(places: &Places) {
    answer().instance = Some(places.clone());
}

/// From now on an interrupt ends no instance.
pub fn answer_for_nothing() {
    answer().instance = None;
}

/// While the returned value lives, an interrupt is passed on to this child, and its end is waited for.
/// It must not be reaped meanwhile, or another process might have its id: see [`wait_for`].
#[must_use]
pub fn pass_on_to(child: u32) -> PassOn {
    let pid = pid(child);
    answer().processes.push(pid);
    PassOn(pid)
}

/// See [`pass_on_to`].
pub struct PassOn(Pid);

impl Drop for PassOn {
    fn drop(&mut self) {
        answer().processes.retain(|pid| *pid != self.0);
    }
}

/// Waits for a child's end, and leaves it to be reaped.
pub fn wait_for(child: u32) {
    let end = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid(child)), end) == Err(nix::errno::Errno::EINTR) {}
}

fn pid(child: u32) -> Pid {
    // The kernel's ids fit into 22 bits.
    Pid::from_raw(i32::try_from(child).unwrap_or(i32::MAX))
}

/// Whether this process is about to end.
#[must_use]
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Returns where nothing has interrupted this process. Where something has, it does not: the listening
/// thread ends the process, with the exit code that tells so.
pub fn give_way() {
    while interrupted() {
        std::thread::park();
    }
}

/// Starts to listen. Programs that this process started are told by the kernel when it ends.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen() -> Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("watch for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            let instance = answer().instance.take();
            if let Some(places) = instance {
                eprintln!("\ninterrupted: ending the lab");
                if let Err(error) = ending::end(&places) {
                    eprintln!("while ending the lab: {error:#}");
                }
            }
            pass_on();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Interrupts the children, and waits until those who attend to them have seen their end.
fn pass_on() {
    for pid in &answer().processes {
        let _ = kill(*pid, Signal::SIGTERM);
    }
    // Each ends a lab of its own within that time.
    let _ = crate::wait::quietly(
        "the lanes to end",
        ending::LIMIT * 2 + Duration::from_secs(5),
        || {
            let left = answer().processes.len();
            Ok(if left == 0 {
                crate::wait::Seen::Ready(())
            } else {
                crate::wait::Seen::NotYet(format!("{left} are left"))
            })
        },
    );
}
