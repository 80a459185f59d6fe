//! `two-node-ha raft give-up NODE`: the operator's word that what a node's own log holds, and the
//! volume lacks, is not to be waited for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use two_node_ha_config::Config;
use two_node_ha_disk as disk;
use two_node_ha_node::Paths;
use two_node_ha_node::database::{is_raft_file, raft_directory};
use two_node_ha_planner::Database;
use two_node_ha_planner::State;
use two_node_ha_planner::observation::Mount;
use two_node_ha_planner::observation::Standing;
use two_node_ha_protocol::control::{Request, Response};

use crate::commands::agent_socket::Connection;
use crate::commands::{Selection, load};
use crate::exit;
use crate::observe::live;
use crate::observe::logs;

/// Arguments of `raft give-up`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The node whose own log is given up
    #[arg(value_name = "NODE")]
    whose: String,
    /// Do it; without this it only says what would be given up
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    selection: Selection,
}

/// Runs it.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match go(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => exit::FAILURE.into(),
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
    }
}

/// Whether it was done.
fn go(args: &Args) -> Result<bool, String> {
    let paths = Paths::from_env();
    let config = load(&args.selection, &paths)?;
    let (Some(here), Some(peer)) = (config.this_node(), config.peer_node()) else {
        return Err("this host is none of the two nodes".into());
    };
    let own = if args.whose == here.name {
        true
    } else if args.whose == peer.name {
        false
    } else {
        return Err(format!(
            "{} is none of the two nodes, {} and {}",
            args.whose, here.name, peer.name
        ));
    };
    match live::mount(&paths, &config) {
        Ok(Mount::ReadWrite) => {}
        Ok(_) => {
            return Err(format!(
                "the volume is not mounted on {}: run this on the node where it is, which is the one \
                 that is blocked",
                config.volume.mount_point.display()
            ));
        }
        Err(error) => return Err(format!("reading the mounts: {error}")),
    }
    if paths.token().exists() {
        return Err(
            "the databases of this node run, or may start: nothing is given up beside them".into(),
        );
    }
    if let Some(doing) = at_work(&paths) {
        return Err(format!(
            "the agent of this node is at work on the databases ({doing}): wait until `two-node-ha \
             status` says `blocked`, which is when there is something to give up"
        ));
    }
    for database in Database::ALL {
        let place = place(&paths, &config, database, own, &args.whose);
        println!(
            "{database}: {}",
            said(&paths, &config, database, &place, &args.whose)
        );
    }
    if !args.yes {
        println!(
            "Nothing was changed. With --yes this is given up; what is here of it is kept aside."
        );
        return Ok(false);
    }
    for database in Database::ALL {
        let place = place(&paths, &config, database, own, &args.whose);
        let done = if own {
            put_aside(&paths, database, &place)
        } else {
            call_complete(&place)
        };
        done.map_err(|error| format!("giving up {}: {error}", place.display()))?;
    }
    println!(
        "What {} has beyond the volume is given up. `crm_resource --cleanup` lets Pacemaker try again",
        args.whose
    );
    Ok(true)
}

/// What the agent is doing, where it is in the middle of it: it may be about to take the very log that
/// is to be given up. One that is blocked, or waits for Pacemaker to ask once more, does nothing; one
/// that does not run does nothing either.
fn at_work(paths: &Paths) -> Option<String> {
    let mut connection = Connection::open(paths, &Request::Status).ok()?;
    let Ok(Response::Status(status)) = connection.answer() else {
        return None;
    };
    let working = match status.state {
        State::Recovering | State::PrimaryRunning | State::Draining | State::Syncing => true,
        State::Probing
        | State::PrimaryPrep
        | State::SecondaryWait
        | State::SecondaryRunning
        | State::Blocked => status.doing.is_some(),
    };
    working.then(|| match &status.doing {
        Some(doing) => format!("{}: {doing}", status.state),
        None => status.state.to_string(),
    })
}

fn place(paths: &Paths, config: &Config, database: Database, own: bool, node: &str) -> PathBuf {
    if own {
        raft_directory(database, &paths.spare(database))
    } else {
        paths.peer_log(config, node, database)
    }
}

/// What is given up, in numbers where there are any.
fn said(paths: &Paths, config: &Config, database: Database, place: &Path, node: &str) -> String {
    let volume = raft_directory(database, &paths.on_volume(config, database));
    if !place.is_dir() {
        return format!(
            "whatever was written on {node} after the end of the volume's log; nobody here knows how much"
        );
    }
    match logs::compare(&volume, place) {
        Standing::Within => "nothing: the volume has all of it".into(),
        Standing::Ahead { first, last } => format!(
            "the entries {first} to {last} in {}, which go on from the volume's and would be TAKEN if \
             they were not given up",
            place.display()
        ),
        Standing::Parted { volume, other, at } => format!(
            "the log in {}, up to index {} (the volume's ends at {}{})",
            place.display(),
            other.index,
            volume.index,
            at.map_or(String::new(), |at| format!("; they differ from {at} on"))
        ),
        Standing::Unknown(why) => format!("the log in {} ({why})", place.display()),
    }
}

/// This node's own log goes into the quarantine.
fn put_aside(paths: &Paths, database: Database, raft: &Path) -> io::Result<()> {
    if !raft.is_dir() {
        return Ok(());
    }
    let quarantine = paths.quarantine();
    let part = quarantine.join(format!(".{database}-given-up.part"));
    disk::private_directory(&part)?;
    for entry in std::fs::read_dir(raft)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_raft_file(&name.to_string_lossy()) && entry.path().is_file() {
            disk::rename(&entry.path(), &part.join(&name))?;
        }
    }
    let since = std::time::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_secs();
    disk::rename_new(
        &part,
        &quarantine.join(format!("{database}-given-up-{since}")),
    )
}

/// What was fetched of the peer's log is put aside, and an empty one says that there is no more.
fn call_complete(fetched: &Path) -> io::Result<()> {
    if fetched.is_dir() {
        let since = std::time::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .as_secs();
        let name = fetched.file_name().unwrap_or_default().to_string_lossy();
        disk::rename_new(
            fetched,
            &fetched.with_file_name(format!("{name}-given-up-{since}")),
        )?;
    }
    if let Some(parent) = fetched.parent() {
        disk::private_directory(parent)?;
    }
    disk::private_directory(fetched)
}
