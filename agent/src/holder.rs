//! Who holds the voter's role for Pacemaker: the failover unit's main process, for as long as it
//! lives and has not been asked to stop. It has a lock, which the kernel gives back when the process
//! is gone, however it went; nothing that a paused program believes can stand in for it.

use std::io;

use two_node_ha_node::Paths;

use crate::lock::{self, Lock, Other};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Held {
    _lock: Lock,
}

/// Takes the lock, or says which other process has it.
///
/// # Errors
/// What the system says.
pub fn take(paths: &Paths) -> io::Result<Result<Held, Other>> {
    let taken = lock::take(paths, &paths.holder())?;
    Ok(taken.map(|lock| Held { _lock: lock }))
}

/// Whether some process has it. Asking takes nothing, so that it cannot be in the holder's way.
///
/// # Errors
/// What the system says.
pub fn is_held(paths: &Paths) -> io::Result<bool> {
    lock::is_held(&paths.holder())
}
