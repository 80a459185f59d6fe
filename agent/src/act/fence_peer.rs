//! Having DRBD ask its fence-peer handler again.
//!
//! It asks whenever a connection ends, and so also when a lost one that it still waits for is given
//! up: disconnecting changes nothing where nothing is connected, and connecting puts it back.
//!
//! Should the agent end between the two, DRBD would stay alone, and the copies would part. So a file
//! says, for as long as that can be, that it was the agent who disconnected. It is no part of the
//! journal, which says what the last step was: others come in between, and the file outlives them. It
//! is below `/run`: with a boot DRBD's connection begins anew, and what disconnects it from then on is
//! somebody else. The same is so once DRBD looks for its peer again.

use std::time::Duration;

use two_node_ha_command::{Call, Runner, succeed};
use two_node_ha_config::Config;
use two_node_ha_disk as disk;
use two_node_ha_node::Paths;
use two_node_ha_pacemaker::lock;
use two_node_ha_planner::observation::{Drbd, Known, Role, Suspended};

use super::{Actor, Error, Outcome};
use crate::observe::live;

/// A handler that has just begun is not waited for: the plan comes again.
const LOCK: Duration = Duration::from_millis(500);

/// What drbdadm may take. It waits for the kernel's threads of the connection.
const CHANGE: Duration = Duration::from_secs(20);

impl Actor {
    pub(super) fn ask_fence_peer(&self) -> Result<Outcome, Error> {
        ask(&*self.runner, &self.paths, &self.config).map(|()| Outcome::FencePeerAsked)
    }

    /// DRBD looked for its peer a moment ago: nothing that the agent had disconnected before was still so.
    /// What it disconnects later it notes first, and it does one thing after the other.
    pub fn forget_own_disconnect(&self) {
        forget(&self.paths);
    }
}

/// What fails here may have left DRBD disconnected, and stays on record until it is connected.
fn ask(runner: &dyn Runner, paths: &Paths, config: &Config) -> Result<(), Error> {
    // Not held on: the handler that is about to be called needs it.
    drop(lock::take(&paths.run(), &config.volume.resource, LOCK).map_err(Error::Guard)?);
    let drbd = live::drbd(runner, config);
    if drbd.alone {
        may_connect(paths, &drbd)?;
    } else {
        may_disconnect(&drbd)?;
        note(paths);
        drbdadm(runner, config, "disconnect")?;
    }
    drbdadm(runner, config, "connect")?;
    forget(paths);
    Ok(())
}

fn may_disconnect(drbd: &Drbd) -> Result<(), Error> {
    if drbd.role != Role::Primary || drbd.connected {
        return Err(Error::Guard(format!(
            "DRBD has no lost peer to ask about ({})",
            drbd.summary
        )));
    }
    if drbd.suspended != Some(Suspended::Fencing) {
        return Err(Error::Guard(format!(
            "no write waits for it any more ({})",
            drbd.summary
        )));
    }
    Ok(())
}

/// Where the last try ended half-way, and in no other case. DRBD is alone: a split brain that it has
/// reported is not over yet.
fn may_connect(paths: &Paths, drbd: &Drbd) -> Result<(), Error> {
    if !paths.own_disconnect().exists() {
        return Err(Error::Guard(format!(
            "it was not the agent that disconnected DRBD ({})",
            drbd.summary
        )));
    }
    let resolving = matches!(live::resolution(paths), Known::Present(_));
    if resolving || live::split_brain_reported(paths) {
        return Err(Error::Guard(
            "both nodes have written to their copies".into(),
        ));
    }
    Ok(())
}

/// Says that it is the agent who disconnects. Where `/run` takes no change it goes on all the same: that
/// every write stands still is certain, and that the agent ends within the next moment is not.
fn note(paths: &Paths) {
    let path = paths.own_disconnect();
    if let Err(error) = disk::atomic::replace(&path, b"") {
        tracing::warn!(
            "{}: {error}; should this agent end before DRBD is connected again, it stays disconnected \
             until `drbdadm connect`",
            path.display()
        );
    }
}

fn forget(paths: &Paths) {
    let path = paths.own_disconnect();
    if let Err(error) = disk::remove_file_if_there(&path) {
        tracing::warn!("removing {}: {error}", path.display());
    }
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
    use crate::store::Record;
    use two_node_ha_drbd::Handler;
    use two_node_ha_evidence::Evidence;
    use two_node_ha_planner::record::Resolution;

    /// A node, with the file that says who has disconnected.
    struct Node {
        paths: Paths,
        _dir: tempfile::TempDir,
    }

    impl Node {
        fn new(own: bool) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let paths = Paths::rooted(dir.path().to_path_buf());
            for path in [paths.run(), paths.state()] {
                std::fs::create_dir_all(path).unwrap();
            }
            if own {
                std::fs::write(paths.own_disconnect(), "").unwrap();
            }
            Self { paths, _dir: dir }
        }

        /// What drbdadm is given, and what comes of it.
        fn ask(
            &self,
            role: &str,
            suspended: &str,
            connection: &str,
            connect: i32,
        ) -> (Vec<String>, Result<(), Error>) {
            let peer_disk = if connection == "Connected" {
                "UpToDate"
            } else {
                "DUnknown"
            };
            let mark = self.paths.own_disconnect();
            let runner = drbd(role, suspended, connection, "Off", peer_disk)
                .answer_with("drbdadm disconnect", move |_| {
                    assert!(mark.exists(), "nothing says who disconnects");
                    Ok(two_node_ha_command::Output {
                        exit: two_node_ha_command::Exit::Code(0),
                        stdout: Vec::new(),
                        stderr: Vec::new(),
                    })
                })
                .answer("drbdadm connect", connect, "");
            let result = ask(&runner, &self.paths, &config());
            let calls = runner
                .calls()
                .into_iter()
                .filter(|call| call.starts_with("drbdadm"))
                .collect();
            (calls, result)
        }

        fn is_noted(&self) -> bool {
            self.paths.own_disconnect().exists()
        }
    }

    #[test]
    fn a_suspended_primary_is_disconnected_and_connected_and_nothing_of_it_is_left() {
        let node = Node::new(false);
        let (calls, result) = node.ask("Primary", "fencing", "Connecting", 0);
        assert!(result.is_ok());
        assert_eq!(calls, ["drbdadm disconnect r0", "drbdadm connect r0"]);
        assert!(!node.is_noted());
    }

    #[test]
    fn what_ended_between_the_two_is_connected_again_suspended_or_not_primary_or_not() {
        let node = Node::new(false);
        let (_, result) = node.ask("Primary", "fencing", "Connecting", 1);
        let error = result.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`drbdadm connect r0` ended with")
        );
        assert!(node.is_noted(), "it is still to be connected");
        for (role, suspended) in [
            ("Primary", "fencing"),
            ("Primary", "no"),
            ("Secondary", "no"),
        ] {
            let node = Node::new(true);
            let (calls, result) = node.ask(role, suspended, "StandAlone", 0);
            assert!(result.is_ok());
            assert_eq!(calls, ["drbdadm connect r0"]);
            assert!(!node.is_noted());
        }
    }

    #[test]
    fn what_somebody_else_has_disconnected_stays_so_and_so_does_a_split_brain() {
        let refused = |node: &Node, why: &str| {
            let (calls, result) = node.ask("Primary", "fencing", "StandAlone", 0);
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Guard(_)), "{error}");
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(calls, [""; 0]);
        };
        refused(&Node::new(false), "not the agent");
        let node = Node::new(true);
        let resolution = Resolution::new("haone", "hatwo", false);
        resolution.write(&node.paths.resolution()).unwrap();
        refused(&node, "both nodes have written");
        let node = Node::new(true);
        let reported = Evidence::new(Handler::SplitBrain, 1);
        two_node_ha_evidence::write(&node.paths.evidence(), &reported).unwrap();
        refused(&node, "both nodes have written");
    }

    #[test]
    fn nothing_is_touched_where_a_handler_runs_or_no_write_waits_for_a_lost_peer() {
        for (role, suspended, connection, busy) in [
            ("Primary", "fencing", "Connecting", true),
            ("Primary", "fencing", "StandAlone", true),
            ("Primary", "no", "Connecting", false),
            ("Primary", "quorum", "Connecting", false),
            ("Primary", "fencing", "Connected", false),
            ("Secondary", "fencing", "Connecting", false),
        ] {
            let node = Node::new(connection == "StandAlone");
            let held = busy.then(|| lock::take(&node.paths.run(), "r0", LOCK).unwrap());
            let (calls, result) = node.ask(role, suspended, connection, 0);
            drop(held);
            assert!(
                matches!(result, Err(Error::Guard(_))),
                "{role} {suspended} {connection} {busy}"
            );
            assert_eq!(calls, [""; 0]);
        }
    }

    #[test]
    fn while_drbd_still_disconnects_or_does_not_say_it_does_not_look_for_its_peer() {
        for (connection, seeking) in [
            ("Disconnecting", false),
            ("StandAlone", false),
            ("Unconnected", false),
            ("Connecting", true),
            ("Connected", true),
        ] {
            let runner = drbd("Primary", "fencing", connection, "Off", "DUnknown");
            let seen = live::drbd(&runner, &config());
            assert_eq!(seen.seeking, seeking, "{connection}");
        }
        let silent = two_node_ha_command::scripted::Scripted::new();
        assert!(!live::drbd(&silent, &config()).seeking);
    }

    #[test]
    fn a_run_directory_that_takes_no_change_does_not_keep_the_writes_standing_still() {
        let node = Node::new(false);
        // Nothing can be renamed over it.
        std::fs::create_dir_all(node.paths.own_disconnect().join("x")).unwrap();
        let (calls, result) = node.ask("Primary", "fencing", "Connecting", 0);
        assert!(result.is_ok());
        assert_eq!(calls, ["drbdadm disconnect r0", "drbdadm connect r0"]);
    }
}
