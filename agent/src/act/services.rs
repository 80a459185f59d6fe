//! The snap's services: named one by one, and never started without the token.

use std::path::Path;
use std::time::Duration;

use two_node_ha_config::Config;

use super::{Actor, Error, Outcome, Progress};
use crate::database::Database;
use crate::files;
use crate::observe::{Holds, Known, Leads, live};
use crate::systemd::UnitState;

/// How long a service may take to stop; the snap's own limit is 30 s, then systemd kills it.
const STOP: Duration = Duration::from_secs(60);
/// How long a service's start job may take.
const START: Duration = Duration::from_secs(60);

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

impl Actor {
    /// Takes the token away, kills k8s-dqlite and stops every service.
    pub(super) fn stop_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        let token = self.paths.token();
        match files::effects::remove_file(&token) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("taking away the token", &token)(error));
            }
            _ => {}
        }
        // I4: on SIGTERM k8s-dqlite would hand the voter role to the spare, off the volume. A
        // kill is as safe as a power cut, for which dqlite is made. Without the token its
        // Restart= does not bring it back.
        self.systemd.kill(&self.config.k8s.unit("k8s-dqlite"));
        let mut units = self.there(|state| state != UnitState::Stopped)?;
        units.reverse();
        progress("stopping the k8s services");
        self.systemd
            .stop(&units, STOP, &mut || progress("stopping the k8s services"))?;
        self.services_stopped()?;
        tracing::info!(services = units.join(" "), "the k8s services are stopped");
        Ok(Outcome::Done)
    }

    /// Gives the token and starts every service of the snap that is there.
    pub(super) fn start_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        for database in Database::ALL {
            self.may_start(database)?;
        }
        let token = self.paths.token();
        files::atomic::replace_with_mode(&token, b"", 0o644)
            .map_err(Error::io("giving the token", &token))?;
        let units = self.there(|state| state != UnitState::Active)?;
        progress("starting the k8s services");
        self.systemd
            .start(&units, START, &mut || progress("starting the k8s services"))?;
        tracing::info!(services = units.join(" "), "the k8s services are started");
        Ok(Outcome::Done)
    }

    /// I2 and I6: the database that would be opened is the one that was meant.
    fn may_start(&self, database: Database) -> Result<(), Error> {
        let found = live::directories(&self.paths, &self.config, database, true);
        let holds = match &found.leads {
            Leads::ToVolume => {
                self.volume_mounted()?;
                self.taken_over()?;
                &found.volume
            }
            Leads::ToSpare => {
                let volume = self.volume_mounted().is_ok();
                if volume {
                    return Err(Error::Guard(format!(
                        "{database} leads to the spare directory while the volume is mounted here"
                    )));
                }
                &found.spare
            }
            Leads::Nowhere | Leads::Directory | Leads::Elsewhere(_) => {
                return Err(Error::Guard(format!(
                    "the state directory of {database} is not a link of ours ({:?})",
                    found.leads
                )));
            }
        };
        match holds {
            Holds::Database => Ok(()),
            Holds::Waiting if found.leads == Leads::ToSpare => Ok(()),
            Holds::Missing | Holds::IdentityOnly | Holds::Waiting => Err(Error::Guard(format!(
                "there is no database of {database} where its link leads; a start could make an \
                 empty one"
            ))),
            Holds::Trap(why) => Err(Error::Guard(format!(
                "{database} must not be started: {why}"
            ))),
        }
    }

    /// I7: a database that runs has left the copy behind that an interrupted takeover would be put
    /// back to.
    fn taken_over(&self) -> Result<(), Error> {
        match self.read_epoch() {
            Known::Present(epoch) if epoch.complete() && epoch.owner == self.node.name => Ok(()),
            found => Err(Error::Guard(format!(
                "the databases on the volume are not all this node's yet ({found:?})"
            ))),
        }
    }

    /// The units that exist here and whose state is asked for.
    fn there(&self, wanted: impl Fn(UnitState) -> bool) -> Result<Vec<String>, Error> {
        let units = gated_units(&self.config);
        let states = self.systemd.states(&units)?;
        Ok(units
            .into_iter()
            .filter(|unit| {
                states
                    .get(unit)
                    .is_some_and(|state| *state != UnitState::NotThere && wanted(*state))
            })
            .collect())
    }
}

/// Whether a name is one of raft's files, which a change of hands does not carry over.
#[must_use]
pub fn is_raft_file(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name == "metadata1"
        || name == "metadata2"
        || name.strip_prefix("open-").is_some_and(digits)
        || name.starts_with("snapshot-")
        || name.starts_with("corrupt-")
        || name.starts_with("tmp-")
        || name == "dqlite-lock"
        || name
            .split_once('-')
            .is_some_and(|(first, last)| digits(first) && digits(last))
}

/// Whether a file beside raft's belongs to the node rather than to a moment of its past:
/// everything but raft's files, tarballs, sockets and what is half written.
pub(super) fn is_kept(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !is_raft_file(&name)
        && !name.ends_with(".tar.gz")
        && !name.ends_with(".part")
        && name != "recovery_db"
        && std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir())
}

#[cfg(test)]
mod tests {
    use super::is_raft_file;

    #[test]
    fn rafts_files_are_known_by_name_and_nothing_else_is() {
        for name in [
            "metadata1",
            "metadata2",
            "open-12",
            "0000000000002369-0000000000002655",
            "snapshot-2-2048-642428",
            "snapshot-2-2048-642428.meta",
            "corrupt-1-0000000000000001-0000000000000002",
            "dqlite-lock",
        ] {
            assert!(is_raft_file(name), "{name}");
        }
        for name in [
            "info.yaml",
            "cluster.yaml",
            "cluster.key",
            "open-",
            "failure-domain",
            "-",
        ] {
            assert!(!is_raft_file(name), "{name}");
        }
    }
}
