//! The door to the snap's own programs: `k8s status` and `k8sd cluster-recover`.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use two_node_ha_command::{Call, Runner};
use two_node_ha_config::{Config, Node};

use crate::database::Database;
use crate::paths::Paths;

/// How long to wait between two questions while the voter starts.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// Why the snap's program did not help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be run, or not to its end.
    #[error(transparent)]
    Command(#[from] two_node_ha_command::Error),
    /// It ran and failed.
    #[error("`{call}` failed ({exit}): {complaint}")]
    Failed {
        /// The command line.
        call: String,
        /// Its exit code or signal.
        exit: String,
        /// What it said.
        complaint: String,
    },
    /// Its output is not what is known of it.
    #[error("`{call}` printed something unknown: {detail}")]
    Unknown {
        /// The command line.
        call: String,
        /// The parser's words.
        detail: String,
    },
    /// It answers, and the voter is not there.
    #[error("the voter on {node} is not ready: {detail}")]
    NotReady {
        /// This node.
        node: String,
        /// What `k8s status` says instead.
        detail: String,
    },
}

/// The part of `k8s status --output-format json` that matters. Exit 0 does not mean ready, and
/// `ready` means that some node is (k8s-snap, `k8s status`): hence the members.
#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    #[serde(rename = "datastore-role", default)]
    datastore_role: String,
}

/// Waits until the cluster is ready with the voter on `node`.
///
/// # Errors
/// See [`Error`].
pub fn confirm_voter(
    runner: &dyn Runner,
    config: &Config,
    paths: &Paths,
    node: &Node,
    within: Duration,
    alive: &mut dyn FnMut(),
) -> Result<(), Error> {
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ask_voter(runner, config, paths, node, left) {
            Ok(()) => return Ok(()),
            // `--wait-ready` waits for a node to be ready, but ends at once when k8sd does not
            // answer yet; and the roles follow the start of dqlite by a moment.
            Err(error) if left > ASK_AGAIN => {
                tracing::debug!(%error, "not yet");
                alive();
                std::thread::sleep(ASK_AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
}

fn ask_voter(
    runner: &dyn Runner,
    config: &Config,
    paths: &Paths,
    node: &Node,
    within: Duration,
) -> Result<(), Error> {
    let call = Call::new(
        paths.at(&config.k8s.k8s_path),
        within + Duration::from_secs(5),
    )
    .args([
        "status".to_owned(),
        "--output-format".into(),
        "json".into(),
        "--wait-ready".into(),
        "--timeout".into(),
        format!("{}s", within.as_secs().max(1)),
    ]);
    let output = run(runner, &call)?;
    ready(&output, node)
        .map_err(|detail| Error::Unknown {
            call: call.to_string(),
            detail,
        })?
        .map_err(|detail| Error::NotReady {
            node: node.name.clone(),
            detail,
        })
}

/// What a status means for `node`: the outer error is a text that is no status.
fn ready(text: &[u8], node: &Node) -> Result<Result<(), String>, String> {
    let status: Status = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Ok(
        match status
            .members
            .iter()
            .find(|m| m.name == node.name || m.name == node.hostname)
        {
            _ if !status.ready => Err("`k8s status` says the cluster is not ready".into()),
            None => Err(format!(
                "`k8s status` does not list {} as a member",
                node.name
            )),
            Some(member) if member.datastore_role != "voter" => Err(format!(
                "`k8s status` calls it {:?} and not voter",
                member.datastore_role
            )),
            Some(_) => Ok(()),
        },
    )
}

/// Runs `k8sd cluster-recover` for one database; the other is skipped, so that each is accounted
/// for on its own.
///
/// # Errors
/// See [`Error`].
pub fn recover(
    runner: &dyn Runner,
    config: &Config,
    paths: &Paths,
    database: Database,
) -> Result<(), Error> {
    let call = Call::new(paths.at(&config.k8s.k8sd_path), config.k8s.recover_timeout).args([
        "cluster-recover".into(),
        "--state-dir".into(),
        path(&config.k8s.k8sd_dir),
        "--k8s-dqlite-state-dir".into(),
        path(&config.k8s.k8s_dqlite_dir),
        "--non-interactive".into(),
        "--log-level".into(),
        config.k8s.k8sd_log_level.to_string(),
        database.skip_flag_of_other().into(),
    ]);
    run(runner, &call).map(|_| ())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn run(runner: &dyn Runner, call: &Call) -> Result<Vec<u8>, Error> {
    let output = runner.run(call)?;
    if output.success() {
        return Ok(output.stdout);
    }
    // The last line of a Go program's log is the error; the first may be a notice.
    let said = String::from_utf8_lossy(&output.stderr);
    let complaint = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .map_or_else(|| output.complaint(), |line| line.trim().to_owned());
    Err(Error::Failed {
        call: call.to_string(),
        exit: output.exit.to_string(),
        complaint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let address = "10.0.0.1".parse().unwrap();
        Node {
            name: "haone".into(),
            hostname: "haone".into(),
            address,
            drbd_address: address,
            corosync_addresses: vec![address],
            id: 1,
        }
    }

    #[test]
    fn ready_means_that_this_node_is_the_voter() {
        let with = |ready: bool, role: &str| {
            ready_of(&format!(
                r#"{{"ready": {ready}, "members": [
                    {{"name": "hatwo", "address": "10.0.0.2:6400", "datastore-role": "spare"}},
                    {{"name": "haone", "address": "10.0.0.1:6400", "datastore-role": "{role}"}}]}}"#
            ))
        };
        assert!(with(true, "voter").is_ok());
        assert!(with(false, "voter").is_err());
        assert!(with(true, "spare").is_err());
        assert!(ready_of(r#"{"ready": true, "members": []}"#).is_err());
    }

    fn ready_of(text: &str) -> Result<(), String> {
        ready(text.as_bytes(), &node()).unwrap()
    }

    #[test]
    fn a_text_that_is_no_status_is_not_taken_for_unready() {
        assert!(ready(b"Error: cannot reach k8sd", &node()).is_err());
    }
}
