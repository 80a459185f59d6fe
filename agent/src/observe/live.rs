//! Observing this node for real. Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;

use two_node_ha_command::Runner;
use two_node_ha_config::Config;
use two_node_ha_disk::{immutable, link};
use two_node_ha_dqlite as dqlite;
use two_node_ha_drbd as drbd;
use two_node_ha_node::Paths;
use two_node_ha_node::database::{is_raft_file, raft_directory};
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{
    Contents, Directories, Drbd, Known, LinkTarget, Log, Mount, MountPoint, PeerNode, Promotion,
    Role, Services, Standing, Suspended,
};
use two_node_ha_planner::record::{Epoch, Phase, Resolution};

use super::logs::Looks;
use super::mounts;
use super::volume::View;
use crate::k8s::{datastore_units, gated_units};
use crate::store::{Record, damage, recovered, takeover_copy};
use crate::systemd::UnitState;

/// The DRBD resource. One that is not up is an observation, and so is a DRBD that does not answer.
#[must_use]
pub fn drbd(runner: &dyn Runner, config: &Config) -> Drbd {
    let unknown = |summary: String| Drbd {
        role: Role::Unknown,
        up_to_date: false,
        connected: false,
        equal: false,
        peer_role: Role::Unknown,
        suspended: None,
        alone: false,
        seeking: false,
        summary,
    };
    let state = match drbd::query::now(runner) {
        Ok(state) => state,
        Err(error) => return unknown(format!("DRBD does not answer: {error}")),
    };
    match state.resource(&config.volume.resource) {
        None => unknown(format!("the resource {} is not up", config.volume.resource)),
        Some(resource) => summarise(resource),
    }
}

fn role(role: &drbd::Role) -> Role {
    match role {
        drbd::Role::Primary => Role::Primary,
        drbd::Role::Secondary => Role::Secondary,
        drbd::Role::Unknown | drbd::Role::Unrecognised(_) => Role::Unknown,
    }
}

fn summarise(resource: &drbd::Resource) -> Drbd {
    let disk = resource
        .volumes
        .first()
        .map_or("no disk".into(), |v| v.disk.to_string());
    let peer = resource.peers.first();
    let connected = resource.peer_connected();
    let summary = match peer {
        Some(peer) if connected => {
            let volume = peer.volumes.first();
            let replication = volume.map_or(String::new(), |v| format!(", {}", v.replication));
            let done = resource
                .resync_done()
                .map_or(String::new(), |d| format!(" {d:.0} %"));
            format!(
                "{} {disk}, connected to {}{replication}{done}",
                resource.role, peer.role
            )
        }
        Some(peer) => format!("{} {disk}, peer {}", resource.role, peer.connection),
        None => format!("{} {disk}, no peer", resource.role),
    };
    let suspended = suspended(resource);
    let summary = match &suspended {
        None => summary,
        Some(Suspended::Fencing) => format!("{summary}, ALL I/O SUSPENDED by fencing"),
        Some(Suspended::Other(why)) => format!("{summary}, ALL I/O SUSPENDED: {why}"),
    };
    Drbd {
        role: role(&resource.role),
        up_to_date: resource.is_uptodate(),
        connected,
        equal: resource.all_uptodate() && !resource.resyncing(),
        peer_role: peer.map_or(Role::Unknown, |peer| role(&peer.role)),
        suspended,
        // 8.4 may leave a connection out that nobody looks for.
        alone: peer.is_none_or(|peer| peer.connection == drbd::ConnectionState::StandAlone),
        seeking: peer.is_some_and(|peer| seeks(&peer.connection)),
        summary,
    }
}

/// Not on the way to StandAlone, nor there.
fn seeks(connection: &drbd::ConnectionState) -> bool {
    use drbd::ConnectionState as Is;
    match connection {
        Is::Connecting | Is::WfReportParams | Is::Connected => true,
        Is::StandAlone
        | Is::Disconnecting
        | Is::Unconnected
        | Is::Timeout
        | Is::BrokenPipe
        | Is::NetworkFailure
        | Is::ProtocolError
        | Is::TearDown
        | Is::Unrecognised(_) => false,
    }
}

fn suspended(resource: &drbd::Resource) -> Option<Suspended> {
    let by = resource.suspended_by;
    let others = [
        (by.user, "suspended by `drbdadm suspend-io`"),
        (by.no_data, "no usable copy of the data is within reach"),
        (by.quorum, "quorum is lost"),
    ];
    let others: Vec<&str> = others
        .into_iter()
        .filter_map(|(is, why)| is.then_some(why))
        .collect();
    match (by.fencing, others.is_empty()) {
        // Fencing first: what else there is shows when that is over.
        (true, _) => Some(Suspended::Fencing),
        (false, false) => Some(Suspended::Other(others.join(", "))),
        (false, true) => resource
            .suspended
            .then(|| Suspended::Other("for a reason that DRBD does not name".into())),
    }
}

/// What is mounted at the mount point.
///
/// # Errors
/// When the kernel's list cannot be read.
pub fn mount(paths: &Paths, config: &Config) -> io::Result<Mount> {
    let text = std::fs::read_to_string(paths.at(Path::new("/proc/self/mountinfo")))?;
    let point = config.volume.mount_point.to_string_lossy();
    Ok(mounts::read(&text, &point, config.volume.minor))
}

/// The mount point, given what is mounted on it.
#[must_use]
pub fn mount_point(paths: &Paths, config: &Config, mount: &Mount) -> MountPoint {
    if *mount != Mount::None {
        return MountPoint::Covered;
    }
    let path = paths.mount_point(config);
    let empty = std::fs::read_dir(&path).map(|mut entries| entries.next().is_none());
    match empty {
        Err(_) => MountPoint::Missing,
        Ok(false) => MountPoint::HoldsFiles,
        // A file system without such flags cannot be protected; asking for it again and again
        // would change nothing.
        Ok(true) => match immutable::get(&path) {
            Ok(Some(false)) => MountPoint::Open,
            Ok(Some(true) | None) | Err(_) => MountPoint::Protected,
        },
    }
}

/// What is on the mounted volume.
#[must_use]
pub fn volume(paths: &Paths, config: &Config, looks: &mut Looks) -> View {
    let epoch = match Epoch::read(&paths.epoch(config)) {
        Ok(Some(epoch)) => Known::Present(epoch),
        Ok(None) => Known::Absent,
        Err(error) => Known::Unreadable(error.to_string()),
    };
    let mut databases = BTreeMap::new();
    let mut logs = BTreeMap::new();
    for database in Database::ALL {
        // An interrupted takeover may have left anything; the next one begins with the copy. Not where
        // this node's own had come to the end of its recovery: that one goes on.
        let mine = |known: &Epoch| {
            config
                .this_node()
                .is_some_and(|node| node.name == known.owner)
        };
        let copy = match &epoch {
            Known::Present(known) if known.phase(database) == Phase::Pending => {
                let whole = recovered::is_whole(paths, config, known.epoch, database);
                let made = mine(known) && whole;
                takeover_copy::interrupted(paths, config, database, known.epoch).filter(|_| !made)
            }
            Known::Present(_) | Known::Absent | Known::Unreadable(_) => None,
        };
        let directory = copy.unwrap_or_else(|| paths.on_volume(config, database));
        databases.insert(database, to_take_over(&directory, database));
        let peer = config.peer_node();
        let fetched = peer.map(|peer| paths.peer_log(config, &peer.name, database));
        let fetched = fetched.filter(|path| path.is_dir());
        let raft = raft_directory(database, &directory);
        // While the databases are this node's own, so is the identity beside them.
        let mine = matches!(&epoch, Known::Present(known)
            if known.phase(database) == Phase::Done && mine(known));
        let me = own_id(paths, config, database).or_else(|| {
            let info = dqlite::read_info(&raft).ok().flatten().filter(|_| mine);
            info.map(|info| info.id)
        });
        let spare = raft_directory(database, &paths.spare(database));
        let others = (spare.as_path(), fetched.as_deref());
        let mut beside = looks.beside(&raft, others, me);
        // More than the end of the log shows: a takeover has read all of it.
        if let Some(found) = damage::found(&paths.found_damaged(database), &raft) {
            beside.log = Log::Unreadable(found);
        }
        if let (Known::Present(known), Some(node)) = (&epoch, config.this_node()) {
            let taken = known.taken.get(&database);
            beside.own = beside.own.given(taken, &node.name);
            if let (Some(peer), Some(fetched)) = (peer, &mut beside.fetched) {
                *fetched = std::mem::take(fetched).given(taken, &peer.name);
            }
        }
        logs.insert(database, beside);
    }
    View {
        epoch,
        databases,
        logs,
    }
}

/// This node's id in a database: what its spare directory says, or the note beside it, or on the first
/// day the directory that has not become a link yet.
#[must_use]
pub fn own_id(paths: &Paths, config: &Config, database: Database) -> Option<u64> {
    let mut directories = vec![
        raft_directory(database, &paths.spare(database)),
        paths.identity(database),
    ];
    if leads(paths, config, database) == LinkTarget::Directory {
        directories.push(raft_directory(
            database,
            &paths.state_directory(config, database),
        ));
    }
    let info = directories
        .iter()
        .find_map(|raft| dqlite::read_info(raft).ok()?);
    info.map(|info| info.id)
}

/// The resolution of a split brain that this node has noted.
#[must_use]
pub fn resolution(paths: &Paths) -> Known<Resolution> {
    match Resolution::read(&paths.resolution()) {
        Ok(Some(resolution)) => Known::Present(resolution),
        Ok(None) => Known::Absent,
        Err(error) => Known::Unreadable(error.to_string()),
    }
}

/// Whether DRBD has reported a split brain that nobody has resolved.
#[must_use]
pub fn split_brain_reported(paths: &Paths) -> bool {
    // The newest first: one is enough, and each weighs.
    let all = two_node_ha_evidence::list(&paths.evidence()).unwrap_or_default();
    all.iter()
        .rev()
        .filter_map(|path| two_node_ha_evidence::read(path).ok())
        .any(|e| e.handler == drbd::Handler::SplitBrain && e.resolved.is_none())
}

/// Both databases' directories, given what is on the volume.
#[must_use]
pub fn databases(
    paths: &Paths,
    config: &Config,
    on_volume: &View,
    looks: &mut Looks,
) -> BTreeMap<Database, Directories> {
    let look = |database: Database| {
        let mut found = directories(paths, config, database, false);
        if let Some(holds) = on_volume.databases.get(&database) {
            found.volume = holds.clone();
        }
        let spare = raft_directory(database, &paths.spare(database));
        found.spare_log = looks.log(&spare, own_id(paths, config, database));
        if let Some(logs) = on_volume.logs.get(&database) {
            found.volume_log = logs.log.clone();
            found.own = logs.own.clone();
            found.fetched = logs.fetched.clone();
        }
        (database, found)
    };
    Database::ALL.into_iter().map(look).collect()
}

/// One database's directories.
#[must_use]
pub fn directories(
    paths: &Paths,
    config: &Config,
    database: Database,
    mounted: bool,
) -> Directories {
    let leads = leads(paths, config, database);
    let state = paths.state_directory(config, database);
    let (original, original_voter) = if leads == LinkTarget::Directory {
        (holds(&state, database), voter_by_raft(&state, database))
    } else {
        (Contents::Missing, None)
    };
    Directories {
        leads,
        original,
        spare: holds(&paths.spare(database), database),
        volume: if mounted {
            holds(&paths.on_volume(config, database), database)
        } else {
            Contents::Missing
        },
        original_voter,
        spare_log: Log::None,
        volume_log: Log::None,
        own: Standing::Within,
        fetched: None,
    }
}

/// Where a state directory leads.
#[must_use]
pub fn leads(paths: &Paths, config: &Config, database: Database) -> LinkTarget {
    match link::look(&paths.state_directory(config, database)) {
        Ok(link::Found::Missing) => LinkTarget::Nowhere,
        Ok(link::Found::Directory) => LinkTarget::Directory,
        Ok(link::Found::Foreign) => LinkTarget::Elsewhere("it is no directory".into()),
        Ok(link::Found::Link(to)) if to == paths.on_volume(config, database) => {
            LinkTarget::ToVolume
        }
        Ok(link::Found::Link(to)) if to == paths.spare(database) => LinkTarget::ToSpare,
        Ok(link::Found::Link(to)) => LinkTarget::Elsewhere(to.display().to_string()),
        Err(error) => LinkTarget::Elsewhere(error.to_string()),
    }
}

/// The same of a database that is about to be taken over. Where there is a log, what is wrong beside it is
/// for the look of the takeover, which reads all of it, mends what is lossless and says the rest; the
/// identity is replaced. What starts there is asked for anew, and strictly.
fn to_take_over(state: &Path, database: Database) -> Contents {
    match holds(state, database) {
        Contents::Trap(_) | Contents::IdentityOnly | Contents::Waiting
            if has_log(&raft_directory(database, state)) =>
        {
            Contents::Database
        }
        found => found,
    }
}

/// Whether there is a segment or a snapshot, whole or not.
fn has_log(raft: &Path) -> bool {
    let entries = std::fs::read_dir(raft).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .any(|name| {
            let other = ["metadata", "tmp-", "corrupt-", "dqlite-lock"];
            is_raft_file(&name) && !other.iter().any(|prefix| name.starts_with(prefix))
        })
}

fn holds(state: &Path, database: Database) -> Contents {
    if !state.is_dir() {
        return Contents::Missing;
    }
    // k8sd replaces its whole database by the bundle before dqlite looks at it.
    let bundle = database == Database::K8sd && state.join("recovery_db.tar.gz").exists();
    let raft = raft_directory(database, state);
    if !raft.is_dir() {
        return Contents::Trap(format!(
            "{} is missing: k8sd was interrupted while it unpacked a bundle",
            raft.display()
        ));
    }
    let directory = match dqlite::inspect(&raft) {
        Ok(directory) => directory,
        Err(error) => return Contents::Trap(error.to_string()),
    };
    if directory.info.is_none() {
        return Contents::Trap(format!("{} has no info.yaml", raft.display()));
    }
    if bundle {
        return Contents::Database;
    }
    let empty = !directory.has_raft_state();
    match dqlite::identity_trap(&directory) {
        // Without raft's files it is never started, only made anew from a bundle.
        Some(_) if empty => Contents::IdentityOnly,
        Some(trap) => Contents::Trap(trap.to_string()),
        None if empty => Contents::Waiting,
        None => Contents::Database,
    }
}

/// Whether raft's last configuration makes the node the voter, and no other; `None` where that cannot
/// be told, as between the two halves of a handover. (cluster.yaml is a cache: after a handover it
/// goes on naming the node that has handed over.)
fn voter_by_raft(state: &Path, database: Database) -> Option<bool> {
    let raft = raft_directory(database, state);
    let me = dqlite::read_info(&raft).ok()??;
    match Looks::default().log(&raft, Some(me.id)) {
        // A member that has always been a spare has no log.
        Log::None => Some(false),
        Log::Unreadable(_) => None,
        Log::Ends(end) => match (end.voters.here, end.voters.elsewhere) {
            (true, false) => Some(true),
            (false, _) => Some(false),
            (true, true) => None,
        },
    }
}

/// The services, reduced to what decides.
#[must_use]
pub fn services(config: &Config, states: &HashMap<String, UnitState>) -> Services {
    let state = |unit: &String| states.get(unit).copied().unwrap_or(UnitState::NotThere);
    let runs = |unit: &String| match state(unit) {
        UnitState::NotThere | UnitState::Stopped | UnitState::Failed => false,
        UnitState::Active | UnitState::Changing => true,
    };
    let writers = datastore_units(config);
    if state(&config.k8s.unit(Database::K8sDqlite.name())) == UnitState::Active {
        Services::Running
    } else if writers.iter().any(runs) {
        Services::Partly
    } else if gated_units(config).iter().any(runs) {
        Services::Others
    } else {
        Services::Stopped
    }
}

/// The services beside the datastore that do not run and should, where the datastore does: by name. One
/// that writes no database and was stopped without an error was stopped by somebody, and stays so.
#[must_use]
pub fn down(config: &Config, states: &HashMap<String, UnitState>) -> BTreeSet<String> {
    let k8s = &config.k8s;
    let all = k8s.services.iter().chain(&k8s.datastore_services);
    all.filter(|service| *service != Database::K8sDqlite.name())
        .filter(|service| {
            let state = states.get(&k8s.unit(service)).copied();
            match state.unwrap_or(UnitState::NotThere) {
                UnitState::Active | UnitState::Changing => false,
                UnitState::Failed => true,
                UnitState::Stopped | UnitState::NotThere => {
                    k8s.datastore_services.contains(service)
                }
            }
        })
        .cloned()
        .collect()
}

/// What Pacemaker knows of the peer.
///
/// # Errors
/// Why it does not say, in words.
pub fn peer_node(runner: &dyn Runner, peer: &str) -> Result<PeerNode, String> {
    use two_node_ha_pacemaker as pacemaker;
    let status = pacemaker::query::status(runner).map_err(|error| error.to_string())?;
    if status.node(peer).is_none() {
        return Err(format!("Pacemaker does not know a node named {peer}"));
    }
    Ok(match status.peer_state(peer) {
        pacemaker::PeerNode::Online => PeerNode::Online,
        pacemaker::PeerNode::CleanOffline => PeerNode::Down,
        pacemaker::PeerNode::UncleanOffline => PeerNode::Lost,
        pacemaker::PeerNode::Pending | pacemaker::PeerNode::Unknown => PeerNode::Unknown,
    })
}

/// Asks Pacemaker whether a fence-peer handler forbids the promotion of `node`, or of `peer`.
///
/// # Errors
/// Why it does not say, in words.
pub fn promotion(
    runner: &dyn Runner,
    resource: &str,
    node: &str,
    peer: &str,
) -> Result<Promotion, String> {
    let constraints = two_node_ha_pacemaker::query::fencing_constraints(runner, resource)
        .map_err(|error| error.to_string())?;
    let forbidding = |name: &str| {
        let found = constraints
            .iter()
            .find(|constraint| constraint.forbids(name));
        found.map(|constraint| constraint.id.clone())
    };
    Ok(match (forbidding(node), forbidding(peer)) {
        (Some(id), _) => Promotion::Forbidden(id),
        (None, Some(id)) => Promotion::PeerForbidden(id),
        (None, None) => Promotion::Allowed,
    })
}
