//! The snap: its services by name, and its own program that changes a database, `k8sd cluster-recover`. Whether the
//! databases answer is asked elsewhere (`datastore`).

use std::path::Path;

use two_node_ha_command::{Call, Interrupt, Runner};
use two_node_ha_config::Config;
use two_node_ha_node::Paths;
use two_node_ha_planner::Database;

/// The units of all services of the snap, in the order of their start.
#[must_use]
pub fn gated_units(config: &Config) -> Vec<String> {
    config
        .k8s
        .services
        .iter()
        .map(|service| config.k8s.unit(service))
        .collect()
}

/// The units of those that write a database, in the order of their start: the datastore first, which is
/// what everybody waits for.
#[must_use]
pub fn datastore_units(config: &Config) -> Vec<String> {
    let k8s = &config.k8s;
    let datastore = Database::K8sDqlite.name();
    let rest = k8s.datastore_services.iter().map(String::as_str);
    let all = std::iter::once(datastore).chain(rest.filter(|service| *service != datastore));
    all.map(|service| k8s.unit(service)).collect()
}

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
    interrupt: &Interrupt,
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
        only(database).into(),
    ]);
    let call = call.interrupted_by(interrupt);
    run(runner, &call).map(|_| ())
}

/// Has the other database left out.
fn only(database: Database) -> &'static str {
    match database {
        Database::K8sDqlite => "--skip-k8sd",
        Database::K8sd => "--skip-k8s-dqlite",
    }
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
