//! Running programs inside a handler, where the kernel waits for the answer and holds the resource.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use two_node_ha_command::{Call, Error, Output, Runner, System};

/// Runs programs of this machine, and of DRBD's own only those calls that are safe inside a handler:
/// `drbdsetup events2 --now` and `drbdsetup status`.
///
/// Everything else waits for a lock that the kernel may hold until the handler has answered, or for
/// the very thread that called it: a state change out of fence-peer or of a worker's handler never
/// ends, and `role`, `cstate` and `dstate` hold up every other user of generic netlink meanwhile.
/// drbdadm re-reads its configuration and calls drbdsetup; drbdmeta wants the device to itself.
#[derive(Debug, Clone)]
pub struct ReadOnly(System);

impl ReadOnly {
    /// Programs of this machine, and files ([`Runner::read`]) below `root`, which is `/` but for
    /// tests.
    pub fn rooted(root: impl Into<PathBuf>) -> Self {
        Self(System::rooted(root))
    }
}

impl Runner for ReadOnly {
    fn run(&self, call: &Call) -> Result<Output, Error> {
        if is_safe(call) {
            self.0.run(call)
        } else {
            Err(Error::Refused {
                call: call.to_string(),
                why: "inside a handler it could wait for the kernel, which waits for the handler",
            })
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }
}

/// Whether it is none of DRBD's programs, or a call that only reads and takes no lock.
fn is_safe(call: &Call) -> bool {
    let name = Path::new(&call.program).file_name();
    let name = name.map(OsStr::to_string_lossy).unwrap_or_default();
    if !name.starts_with("drbd") {
        return true;
    }
    // `drbdsetup-84` is what drbdsetup becomes under an 8.4 kernel.
    if name != "drbdsetup" && name != "drbdsetup-84" {
        return false;
    }
    let args: Vec<_> = call.args.iter().map(|arg| arg.to_string_lossy()).collect();
    match args.split_first() {
        Some((command, rest)) if command == "events2" => rest.iter().any(|arg| arg == "--now"),
        Some((command, _)) => command == "status",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(line: &str) -> bool {
        let mut words = line.split(' ');
        let call = Call::new(words.next().unwrap(), Duration::from_secs(10)).args(words);
        let result = ReadOnly::rooted("/nowhere").run(&call);
        matches!(result, Err(Error::Refused { .. }))
    }

    #[test]
    fn nothing_that_changes_drbd_or_takes_its_lock_is_run() {
        for line in [
            "drbdadm secondary r0",
            "drbdadm disconnect r0",
            "drbdadm status",
            "/usr/sbin/drbdadm adjust r0",
            "/lib/drbd/drbdadm-84 up all",
            "drbdmeta 0 v08 /dev/lodrbd internal dump-md",
            "drbdsetup",
            "drbdsetup secondary r0",
            "drbdsetup outdate 0",
            "drbdsetup role r0",
            "drbdsetup cstate r0",
            "drbdsetup dstate r0",
            "drbdsetup sh-status",
            "drbdsetup show",
            // Reads for ever.
            "drbdsetup events2",
            "/lib/drbd/drbdsetup-84 primary 0 --force",
        ] {
            assert!(refused(line), "{line}");
        }
    }

    #[test]
    fn what_is_safe_inside_a_handler_is_run() {
        for line in [
            "/nowhere/drbdsetup events2 --now --statistics",
            "/nowhere/drbdsetup status --verbose",
            "/nowhere/drbdsetup-84 status r0",
            "/nowhere/cibadmin --query",
        ] {
            assert!(!refused(line), "{line}");
        }
    }
}
