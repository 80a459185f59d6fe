//! `two-node-ha copies`: the protected copies of this node's data.

mod drop;
mod list;
mod mount;
mod progress;
mod restore;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use progress::Bar;
use two_node_ha_config::Config;
use two_node_ha_copies::{Copies, Copy, Limits, Why};
use two_node_ha_loopdev::Host;
use two_node_ha_node::Paths;

use super::{Selection, load};
use crate::exit;

/// What to do with copies.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// List the copies, the oldest first
    List {
        /// Print one JSON object for a program
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        selection: Selection,
    },
    /// Make a copy now, which stays until it is dropped by hand
    ///
    /// The resource must be secondary, or down, on this node: a copy of data that is being written
    /// is worth little.
    Make {
        #[command(flatten)]
        selection: Selection,
    },
    /// Mount a copy read-only, to look into it or to take something out
    Mount {
        /// Name of the copy
        #[arg(value_name = "COPY")]
        copy: String,
        /// Where to mount it, instead of below /run/two-node-ha/copies
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
        #[command(flatten)]
        selection: Selection,
    },
    /// Put a copy back as this node's data, and say how the other node is made to follow
    ///
    /// Only while the resource is down on this node, or without its disk. What is there now is
    /// copied first.
    Restore {
        /// Name of the copy
        #[arg(value_name = "COPY")]
        copy: String,
        /// Do it
        #[arg(long)]
        yes: bool,
        /// Do not keep what is there now
        #[arg(long)]
        no_copy: bool,
        #[command(flatten)]
        selection: Selection,
    },
    /// Drop a copy, or all of them
    Drop {
        /// Name of the copy
        #[arg(
            value_name = "COPY",
            required_unless_present = "all",
            conflicts_with = "all"
        )]
        copy: Option<String>,
        /// All copies, and what a crash left of others
        #[arg(long)]
        all: bool,
        /// Do it
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        selection: Selection,
    },
}

/// What every one of them needs.
struct Place {
    paths: Paths,
    config: Config,
    copies: Copies,
}

impl Place {
    fn of(selection: &Selection) -> Result<Self, String> {
        let paths = Paths::from_env();
        let config = load(selection, &paths)?;
        let copies = Copies::open(&config, &paths.at(Path::new("/")));
        Ok(Self {
            paths,
            config,
            copies,
        })
    }

    fn copy(&self, name: &str) -> Result<Copy, String> {
        self.copies.get(name).map_err(|error| error.to_string())
    }

    /// The loop devices that a file is attached to.
    fn loops(&self, file: &Path) -> Result<Vec<PathBuf>, String> {
        let host = Host::rooted(&self.paths.at(Path::new("/")));
        let devices = two_node_ha_loopdev::status(&host).map_err(|error| error.to_string())?;
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        Ok(devices
            .into_iter()
            .filter(|device| device.backing_file == file && !device.deleted)
            .map(|device| device.device)
            .collect())
    }
}

/// Runs it: 0, or 1 with the reason on standard error.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    let done = match command {
        Command::List { json, selection } => {
            Place::of(selection).and_then(|place| list::run(&place, *json))
        }
        Command::Make { selection } => Place::of(selection).and_then(|place| make(&place)),
        Command::Mount {
            copy,
            dir,
            selection,
        } => Place::of(selection).and_then(|place| mount::run(&place, copy, dir.as_deref())),
        Command::Restore {
            copy,
            yes,
            no_copy,
            selection,
        } => Place::of(selection).and_then(|place| restore::run(&place, copy, *yes, !*no_copy)),
        Command::Drop {
            copy,
            all: _,
            yes,
            selection,
        } => Place::of(selection).and_then(|place| drop::run(&place, copy.as_deref(), *yes)),
    };
    match done {
        Ok(text) => {
            // Whoever closed the pipe has seen enough.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        // The diagnostics of a configuration are whole already.
        Err(error) if error.starts_with("error: ") => {
            eprint!("{error}");
            exit::FAILURE.into()
        }
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
    }
}

fn make(place: &Place) -> Result<String, String> {
    let drbd = restore::state(place)?;
    if drbd.is_some_and(|drbd| drbd.primary) {
        return Err(format!(
            "{} is primary on this node, and its data is being written; make it secondary first, \
             or move the voter with `two-node-ha move`",
            place.copies.resource()
        ));
    }
    let mut bar = Bar::new("copying");
    let copy = place.copies.make(Why::Asked, Limits::default(), &mut bar);
    drop(bar);
    let copy = copy.map_err(|refused| refused.to_string())?;
    Ok(format!(
        "{} ({}), in {}\n",
        copy.name,
        copy.record.method.words(),
        place.copies.dir().display()
    ))
}
