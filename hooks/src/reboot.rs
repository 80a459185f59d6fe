//! Resetting this node at once: nothing is synced, unmounted or stopped, since each of these could
//! wait for the device that was lost. It is a power cut, for which everything on the node is made.

use std::fs::OpenOptions;
use std::io::Write;

use crate::root::Root;

/// sysrq(8) of the kernel's documentation: "immediately reboot the system".
const TRIGGER: &str = "/proc/sysrq-trigger";

/// Resets the node. Returns only where the machine is not ours (a test's root), or where the kernel
/// refuses; then in words.
pub fn now(root: &Root) -> Result<(), String> {
    // Root may write here whatever kernel.sysrq says.
    let triggered = OpenOptions::new()
        .write(true)
        .open(root.path(TRIGGER))
        .and_then(|mut trigger| trigger.write_all(b"b"));
    match triggered {
        Err(_) if root.is_real() => rustix::system::reboot(rustix::system::RebootCommand::Restart)
            .map_err(|error| format!("the kernel does not reset this node: {error}")),
        Err(error) => Err(format!("writing {TRIGGER}: {error}")),
        Ok(()) => Ok(()),
    }
}
