//! Having DRBD ask its fence-peer handler again.
//!
//! It asks whenever a connection ends, and so also when a lost one that it still waits for is given
//! up: disconnecting changes nothing where nothing is connected, and connecting puts it back.

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::{Call, Runner, succeed};
use two_node_ha_config::Config;
use two_node_ha_pacemaker::lock;

use super::{Actor, Error, Outcome};
use crate::observe::{Frozen, Role, live};

/// A handler that has just begun is not waited for: the plan comes again.
const LOCK: Duration = Duration::from_millis(500);

/// What drbdadm may take. It waits for the kernel's threads of the connection.
const CHANGE: Duration = Duration::from_secs(20);

impl Actor {
    pub(super) fn ask_fence_peer(&self) -> Result<Outcome, Error> {
        ask(&*self.runner, &self.paths.run(), &self.config).map(|()| Outcome::FencePeerAsked)
    }
}

/// What fails here may have left DRBD disconnected, and stays on record until it is connected.
fn ask(runner: &dyn Runner, run: &Path, config: &Config) -> Result<(), Error> {
    // Not held on: the handler that is about to be called needs it.
    drop(lock::take(run, &config.volume.resource, LOCK).map_err(Error::Guard)?);
    let drbd = live::drbd(runner, config);
    if drbd.role != Role::Primary || drbd.connected {
        return Err(Error::Guard(format!(
            "DRBD has no lost peer to ask about ({})",
            drbd.summary
        )));
    }
    // Alone: the last try ended half-way.
    if !drbd.alone {
        if drbd.frozen != Some(Frozen::Fencing) {
            return Err(Error::Guard(format!(
                "no write waits for it any more ({})",
                drbd.summary
            )));
        }
        drbdadm(runner, config, "disconnect")?;
    }
    drbdadm(runner, config, "connect")
}

fn drbdadm(runner: &dyn Runner, config: &Config, command: &str) -> Result<(), Error> {
    let call = Call::new("drbdadm", CHANGE).args([command, config.volume.resource.as_str()]);
    tracing::info!("`{call}`");
    succeed(runner, &call).map(drop).map_err(Error::Unfit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::{config, drbd};

    /// What drbdadm is given, and what comes of it.
    fn asked(
        role: &str,
        suspended: &str,
        connection: &str,
        connect: i32,
        busy: bool,
    ) -> (Vec<String>, Result<(), Error>) {
        let peer_disk = if connection == "Connected" {
            "UpToDate"
        } else {
            "DUnknown"
        };
        let runner = drbd(role, suspended, connection, "Off", peer_disk)
            .answer("drbdadm disconnect", 0, "")
            .answer("drbdadm connect", connect, "");
        let dir = tempfile::tempdir().unwrap();
        let held = busy.then(|| lock::take(dir.path(), "r0", LOCK).unwrap());
        let result = ask(&runner, dir.path(), &config());
        drop(held);
        let calls = runner
            .calls()
            .into_iter()
            .filter(|call| call.starts_with("drbdadm"))
            .collect();
        (calls, result)
    }

    #[test]
    fn a_frozen_primary_is_disconnected_and_connected() {
        let (calls, result) = asked("Primary", "fencing", "Connecting", 0, false);
        assert!(result.is_ok());
        assert_eq!(calls, ["drbdadm disconnect r0", "drbdadm connect r0"]);
    }

    #[test]
    fn what_ended_between_the_two_is_connected_again_frozen_or_not() {
        let (_, result) = asked("Primary", "fencing", "Connecting", 1, false);
        let error = result.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`drbdadm connect r0` ended with")
        );
        assert!(
            !matches!(error, Error::Guard(_)),
            "it is still to be connected"
        );
        for suspended in ["fencing", "no"] {
            let (calls, result) = asked("Primary", suspended, "StandAlone", 0, false);
            assert!(result.is_ok());
            assert_eq!(calls, ["drbdadm connect r0"]);
        }
    }

    #[test]
    fn nothing_is_touched_where_a_handler_runs_or_no_write_waits_for_a_lost_peer() {
        for (role, suspended, connection, busy) in [
            ("Primary", "fencing", "Connecting", true),
            ("Primary", "no", "Connecting", false),
            ("Primary", "quorum", "Connecting", false),
            ("Primary", "fencing", "Connected", false),
            ("Secondary", "fencing", "Connecting", false),
        ] {
            let (calls, result) = asked(role, suspended, connection, 0, busy);
            assert!(
                matches!(result, Err(Error::Guard(_))),
                "{role} {suspended} {connection} {busy}"
            );
            assert_eq!(calls, [""; 0]);
        }
    }
}
