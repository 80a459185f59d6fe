//! What this node is, as one side of a split brain. Reads only.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use two_node_ha_command::{Call, Error, Exit, Output, Runner, succeed};
use two_node_ha_config::Config;
use two_node_ha_dqlite as dqlite;
use two_node_ha_drbd as drbd;
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Mount, Role};
use two_node_ha_planner::record::{Epoch, Owned};
use two_node_ha_planner::split_brain::ban_id;
use two_node_ha_planner::split_brain::generation::Generation;
use two_node_ha_planner::split_brain::side::{Cluster, Disk, Link, Log, Side};

use crate::observe::live;
use crate::paths::Paths;
use crate::store::{Record, journal_or_new};

/// How long a program may take.
const PROGRAM: Duration = Duration::from_secs(15);
/// How many entries of a log travel as checksums: both databases' must fit into one line of the
/// peer's protocol. dqlite keeps at least 8192 behind a snapshot.
const ENTRIES: usize = 16_384;
/// `cibadmin` while Pacemaker does not run (`CRM_EX_DISCONNECT`).
const NOT_CONNECTED: i32 = 102;

/// Where everything is, and the door to programs.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The paths.
    pub paths: &'a Paths,
    /// This node's name.
    pub node: &'a str,
}

/// Looks. `held` is whether the failover unit holds the role; `logs` whether the databases' logs are
/// read, which takes as long as reading the files.
#[must_use]
pub fn side(here: Here<'_>, runner: &dyn Runner, held: bool, logs: bool) -> Side {
    let Here {
        config,
        paths,
        node,
    } = here;
    let mount = live::mount(paths, config)
        .unwrap_or_else(|error| Mount::Foreign(format!("unknown: {error}")));
    let (role, disk, link, summary) = resource(runner, config);
    let journal = journal_or_new(&paths.journal(), node).ok();
    let on_volume = match (&mount, role) {
        (Mount::ReadWrite, Role::Primary) => Epoch::read(&paths.epoch(config)).ok().flatten(),
        _ => None,
    };
    let volume = on_volume
        .map(|epoch| Owned {
            epoch: epoch.epoch,
            owner: epoch.owner,
        })
        .or_else(|| journal.as_ref()?.volume.clone());
    Side {
        node: node.to_owned(),
        role,
        disk,
        link,
        summary,
        generation: generation(runner, &config.volume.resource),
        writes: writes(here, runner),
        held,
        cluster: cluster(runner, &config.volume.resource),
        volume,
        highest_epoch: journal.map_or(0, |journal| journal.highest_epoch),
        logs: if logs {
            databases(here, &mount, role)
        } else {
            BTreeMap::new()
        },
        mount,
        evidence: evidence(paths),
        resolution: live::resolution(paths),
    }
}

/// DRBD's state of the resource.
fn resource(runner: &dyn Runner, config: &Config) -> (Role, Disk, Link, String) {
    let words = live::drbd(runner, config);
    let state = drbd::query::now(runner).ok();
    let found = state
        .as_ref()
        .and_then(|state| state.resource(&config.volume.resource));
    let Some(found) = found else {
        return (words.role, Disk::None, Link::Down, words.summary);
    };
    let disk = found
        .volumes
        .first()
        .map_or(Disk::None, |volume| match volume.disk {
            drbd::DiskState::UpToDate => Disk::UpToDate,
            drbd::DiskState::Outdated | drbd::DiskState::Consistent => Disk::Consistent,
            drbd::DiskState::Inconsistent | drbd::DiskState::Negotiating => Disk::Inconsistent,
            drbd::DiskState::Diskless
            | drbd::DiskState::Attaching
            | drbd::DiskState::Detaching
            | drbd::DiskState::Failed
            | drbd::DiskState::DUnknown
            | drbd::DiskState::Unrecognised(_) => Disk::None,
        });
    let link = match found.peers.first().map(|peer| &peer.connection) {
        // 8.4 forgets a connection that was cut on purpose.
        None | Some(drbd::ConnectionState::StandAlone) => Link::StandAlone,
        Some(drbd::ConnectionState::Connected) if found.resyncing() => Link::Resyncing,
        Some(drbd::ConnectionState::Connected) => Link::Connected,
        Some(_) => Link::Connecting,
    };
    (words.role, disk, link, words.summary)
}

/// `drbdadm get-gi`, which takes DRBD's netlink lock: not for a handler.
pub(super) fn generation(runner: &dyn Runner, resource: &str) -> Result<Generation, String> {
    let call = Call::new("drbdadm", PROGRAM).args(["get-gi", resource]);
    let output = succeed(runner, &call)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Generation::parse(&text).ok_or_else(|| format!("`{call}` printed {text:?}"))
}

/// Where the writes stand. Every change of the data counts here, be it by hand, as little as that of
/// a mount; a reboot or another attaching makes it another.
pub(super) fn writes(here: Here<'_>, runner: &dyn Runner) -> Option<String> {
    let boot = here.paths.at(Path::new("/proc/sys/kernel/random/boot_id"));
    let boot = std::fs::read_to_string(boot).ok()?;
    let call = Call::new("drbdsetup", PROGRAM).args([
        "events2",
        "--now",
        "--statistics",
        &here.config.volume.resource,
    ]);
    let output = runner.run(&call).ok().filter(Output::success)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let device = text
        .lines()
        .find(|line| line.starts_with("exists device "))?;
    let written = device
        .split(' ')
        .find_map(|field| field.strip_prefix("written:"))?;
    Some(format!("{}:{written}", boot.trim()))
}

fn cluster(runner: &dyn Runner, resource: &str) -> Cluster {
    let call = Call::new("cibadmin", PROGRAM).args(["--query", "--scope", "constraints"]);
    match runner.run(&call) {
        Err(Error::NotInstalled { .. }) => Cluster::Absent,
        Err(error) => Cluster::Silent(error.to_string()),
        Ok(output) if output.exit == Exit::Code(NOT_CONNECTED) => Cluster::Absent,
        Ok(output) if !output.success() => Cluster::Silent(output.failure(&call)),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            match two_node_ha_pacemaker::parse_ban(&text, &ban_id(resource)) {
                Ok(banned) => Cluster::Here { banned },
                Err(error) => Cluster::Silent(format!("`{call}`: {error}")),
            }
        }
    }
}

fn databases(here: Here<'_>, mount: &Mount, role: Role) -> BTreeMap<Database, Log> {
    let earlier = earlier(here);
    Database::ALL
        .into_iter()
        .map(|database| {
            let log = if *mount == Mount::ReadWrite && role == Role::Primary {
                log(here, database)
            } else {
                earlier.get(&database).cloned().unwrap_or_else(|| {
                    Log::Unknown(
                        "the volume is not mounted there, and was not when it was seen".into(),
                    )
                })
            };
            (database, log)
        })
        .collect()
}

fn log(here: Here<'_>, database: Database) -> Log {
    let state = here.paths.on_volume(here.config, database);
    match dqlite::prints(&database.raft_directory(&state), ENTRIES) {
        Ok(prints) => Log::Read(prints),
        Err(error) => Log::Unknown(error.to_string()),
    }
}

/// What this node's logs were when the split brain was seen, from the evidence.
fn earlier(here: Here<'_>) -> BTreeMap<Database, Log> {
    let unresolved = two_node_ha_evidence::unresolved(&here.paths.evidence()).unwrap_or_default();
    unresolved
        .into_iter()
        .rev()
        .filter_map(|(_, evidence)| {
            let sides: Vec<Side> = evidence.sides?.known()?;
            let mine = sides.into_iter().find(|side| side.node == here.node)?;
            mine.logs
                .values()
                .any(|log| matches!(log, Log::Read(_)))
                .then_some(mine.logs)
        })
        .next()
        .unwrap_or_default()
}

fn evidence(paths: &Paths) -> Vec<String> {
    two_node_ha_evidence::unresolved(&paths.evidence())
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(path, _)| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect()
}
