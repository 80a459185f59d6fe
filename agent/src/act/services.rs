//! The snap's services: named one by one, and never started without the token.

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::Interrupt;
use two_node_ha_disk as disk;
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Contents, Known, LinkTarget};

use super::guard::Pin;
use super::{Actor, Error, Outcome, Progress};
use crate::k8s::gated_units;
use crate::observe::live;
use crate::systemd::{self, UnitState, Units};

/// How long a service may take to stop; the snap's own limit is 30 s, then systemd kills it.
const STOP: Duration = Duration::from_secs(60);
/// How long the start job of a service that writes a database may take.
const START: Duration = Duration::from_secs(60);
/// How long the others are waited for. Their jobs go on; it only has to be known whether they were
/// refused or have failed.
const START_OTHERS: Duration = Duration::from_secs(20);

impl Actor {
    /// Takes the token away, kills k8s-dqlite and stops every service.
    pub(super) fn stop_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        let token = self.paths.token();
        // One that cannot be taken away is no reason to leave the databases running: they are killed
        // first, and that it is still there is said then.
        let taken = match disk::effects::remove_file(&token) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("taking away the token", &token)(error))
            }
            _ => Ok(()),
        };
        // I4: on SIGTERM k8s-dqlite would hand the voter role to the spare, off the volume. A
        // kill is as safe as a power cut, for which dqlite is made. Without the token its
        // Restart= does not bring it back.
        self.systemd.kill(&self.config.k8s.unit("k8s-dqlite"));
        let mut units = self.there(|state| state != UnitState::Stopped)?;
        units.reverse();
        progress("stopping the k8s services");
        self.systemd
            .stop(&units, STOP, &mut || progress("stopping the k8s services"))?;
        taken?;
        self.services_stopped()?;
        tracing::info!(services = units.join(" "), "the k8s services are stopped");
        Ok(Outcome::Done)
    }

    /// Gives the token and starts every service of the snap that is there.
    pub(super) fn start_services(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        // Until they have been started the volume stays what it was looked at as.
        let mut pins = Vec::new();
        for database in Database::ALL {
            pins.extend(self.may_start(database)?);
        }
        let token = self.paths.token();
        disk::atomic::replace_with_mode(&token, b"", 0o644)
            .map_err(Error::io("giving the token", &token))?;
        let (databases, others) = self.by_kind(self.there(|state| state != UnitState::Active)?);
        let units = (&*databases, &*others);
        start_all(&*self.systemd, units, &self.interrupt, progress)?;
        Ok(Outcome::Done)
    }

    /// The services that write a database, and the others, each in the order of their start.
    fn by_kind(&self, units: Vec<String>) -> (Vec<String>, Vec<String>) {
        let k8s = &self.config.k8s;
        units.into_iter().partition(|unit| {
            k8s.datastore_services
                .iter()
                .any(|service| k8s.unit(service) == *unit)
        })
    }

    /// I2 and I6: the database that would be opened is the one that was meant.
    ///
    /// A pause between this and the start, or the token, is harmless by the gate of each database, which
    /// asks systemd's own start the same of the kernel (`crate::gate`); until then the volume is pinned.
    fn may_start(&self, database: Database) -> Result<Option<Pin>, Error> {
        let found = live::directories(&self.paths, &self.config, database, true);
        let (holds, pin) = match &found.leads {
            LinkTarget::ToVolume => {
                let pin = self.volume_mounted()?;
                self.taken_over()?;
                (&found.volume, Some(pin))
            }
            LinkTarget::ToSpare => {
                if self.volume_mounted().is_ok() {
                    return Err(Error::Guard(format!(
                        "{database} leads to the spare directory while the volume is mounted here"
                    )));
                }
                (&found.spare, None)
            }
            LinkTarget::Nowhere | LinkTarget::Directory | LinkTarget::Elsewhere(_) => {
                return Err(Error::Guard(format!(
                    "the state directory of {database} is not a link of ours ({:?})",
                    found.leads
                )));
            }
        };
        match holds {
            Contents::Database => Ok(pin),
            Contents::Waiting if found.leads == LinkTarget::ToSpare => Ok(pin),
            Contents::Missing | Contents::IdentityOnly | Contents::Waiting => {
                Err(Error::Guard(format!(
                    "there is no database of {database} where its link leads; a start could make an \
                 empty one"
                )))
            }
            Contents::Trap(why) => Err(Error::Guard(format!(
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

/// Starts both kinds. The role is the databases' alone: what else the snap runs may fail here as it
/// may on the other node, and a voter is not given up for a kubelet.
fn start_all(
    systemd: &dyn Units,
    (databases, others): (&[String], &[String]),
    interrupt: &Interrupt,
    progress: &mut Progress<'_>,
) -> Result<(), Error> {
    let text = "starting the services that hold the databases";
    progress(text);
    systemd.start(databases, START, interrupt, &mut || progress(text))?;
    tracing::info!(
        services = databases.join(" "),
        "the services that hold the databases are started"
    );
    let text = "starting the other k8s services";
    progress(text);
    match systemd.start(others, START_OTHERS, interrupt, &mut || progress(text)) {
        Err(error @ systemd::Error::Interrupted { .. }) => return Err(error.into()),
        Ok(()) => tracing::info!(
            services = others.join(" "),
            "the other k8s services are started"
        ),
        Err(error) => tracing::warn!(
            "not every k8s service has started, and none that holds a database is among those: \
             {error}"
        ),
    }
    Ok(())
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
    use super::{is_raft_file, start_all};
    use crate::systemd_as_told::AsTold;
    use two_node_ha_command::Interrupt;

    #[test]
    fn a_service_that_writes_no_database_and_does_not_start_fails_no_voter() {
        let (databases, others) = (["k8sd", "k8s-dqlite"], ["containerd", "kubelet"]);
        let owned = |units: &[&str]| {
            units
                .iter()
                .map(|&unit| unit.to_owned())
                .collect::<Vec<_>>()
        };
        for (fails, matters) in [
            ("nothing", false),
            ("k8s-dqlite", true),
            ("k8sd", true),
            ("containerd", false),
            ("kubelet", false),
        ] {
            let systemd = AsTold {
                slow: Some(fails),
                ..AsTold::default()
            };
            let (databases, others) = (owned(&databases), owned(&others));
            let units = (&*databases, &*others);
            let started = start_all(&systemd, units, &Interrupt::default(), &mut |_| {});
            assert_eq!(started.is_err(), matters, "{fails}");
            if !matters {
                let all = ["k8sd", "k8s-dqlite", "containerd", "kubelet"];
                assert_eq!(*systemd.started.borrow(), all);
            }
        }
    }

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
