//! The one door to the running DRBD.
//!
//! It calls `drbdsetup events2 --now` and reads `/proc/drbd`. Both are safe anywhere: they take
//! neither DRBD's global netlink lock nor a device lock, so that they answer inside a handler
//! too, while the kernel holds the resource. `role`, `cstate`, `dstate` and everything that
//! changes state do take them, and are not here.

use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use two_node_ha_command::{Call, Runner};

use crate::{Generation, ParseError, State, Version, parse_events2, parse_proc_drbd};

/// How long [`now`] may take: on a busy machine starting a process alone takes a tenth of a
/// second, and a call that takes longer than this will not answer at all.
pub const DEADLINE: Duration = Duration::from_secs(10);

const SYS_VERSION: &str = "/sys/module/drbd/version";
const PROC_DRBD: &str = "/proc/drbd";

/// Why the state could not be read.
#[derive(Debug, Error)]
pub enum Error {
    /// drbdsetup could not be run, or did not end in time.
    #[error("cannot read DRBD's state")]
    Call(#[from] two_node_ha_command::Error),
    /// drbdsetup refused.
    #[error("cannot read DRBD's state: `{call}` ended with {exit}: {complaint}")]
    Refused {
        /// The command line.
        call: String,
        /// How it ended.
        exit: two_node_ha_command::Exit,
        /// Its complaint.
        complaint: String,
    },
    /// What it printed makes no sense.
    #[error("cannot read DRBD's state")]
    Parse(#[from] ParseError),
}

/// DRBD's state now. A module that is not loaded and a resource that is not up are no errors:
/// they are absent from the state.
///
/// # Errors
/// When drbdsetup is not there, fails, prints nonsense, or has not ended after [`DEADLINE`].
pub fn now(runner: &dyn Runner) -> Result<State, Error> {
    now_within(runner, DEADLINE)
}

/// [`now`], with a deadline of one's own.
///
/// # Errors
/// As [`now`].
pub fn now_within(runner: &dyn Runner, deadline: Duration) -> Result<State, Error> {
    // drbdsetup would load the module to ask it. Reading must not: a node whose DRBD is not
    // there yet stays so, and modprobe has no deadline.
    let Some(version) = version(runner) else {
        return Ok(State::default());
    };
    let call = Call::new("drbdsetup", deadline).args(["events2", "--now", "--statistics"]);
    let output = runner.run(&call)?;
    if !output.success() {
        return Err(Error::Refused {
            call: call.to_string(),
            exit: output.exit,
            complaint: output.complaint(),
        });
    }
    let mut state = parse_events2(&String::from_utf8_lossy(&output.stdout))?;
    state.version = Some(version);
    let resyncing = state.resources.iter().any(crate::Resource::resyncing);
    if version.generation() == Generation::V84 && resyncing {
        // Progress only. Without it the state is still whole.
        if let Ok(proc) = runner.read(Path::new(PROC_DRBD)) {
            state.merge_proc(&parse_proc_drbd(&String::from_utf8_lossy(&proc)));
        }
    }
    Ok(state)
}

/// Version of the loaded module; `None` when none is loaded.
#[must_use]
pub fn version(runner: &dyn Runner) -> Option<Version> {
    let of_sys = runner.read(Path::new(SYS_VERSION)).ok();
    let of_sys = of_sys.and_then(|text| Version::parse(&String::from_utf8_lossy(&text)));
    // A built-in DRBD may have no version in /sys.
    of_sys.or_else(|| {
        let proc = runner.read(Path::new(PROC_DRBD)).ok()?;
        parse_proc_drbd(&String::from_utf8_lossy(&proc)).version
    })
}

/// Generation of the loaded module; `None` when none is loaded.
#[must_use]
pub fn generation(runner: &dyn Runner) -> Option<Generation> {
    version(runner).map(|version| version.generation())
}
