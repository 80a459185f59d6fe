//! `two-node-ha peer setup`, `peer open-ports` and `peer serve`.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use two_node_ha_command::System;
use two_node_ha_node::Paths;

use super::{Selection, load};
use crate::exit;
use crate::peer::keys;
use crate::peer_ports;

/// What to do with the channel.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Exchange keys with the peer, once
    Setup(Setup),
    /// Let this node's own connections to the peer's databases out again
    OpenPorts,
    /// Carry the peer's requests to the agent (the forced command; not for people)
    Serve,
}

/// Arguments of `peer setup`.
#[derive(Debug, Clone, clap::Args)]
pub struct Setup {
    #[command(flatten)]
    direction: Direction,
    #[command(flatten)]
    selection: Selection,
}

/// One of the two.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Direction {
    /// Print what the peer must import; makes this node's key at the first call
    #[arg(long)]
    export: bool,
    /// Import what `peer setup --export` printed on the peer; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
}

/// Runs it.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    let result = match command {
        Command::Setup(setup) => self::setup(setup),
        Command::OpenPorts => open_ports(),
        Command::Serve => serve(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
    }
}

fn setup(setup: &Setup) -> Result<(), String> {
    let paths = Paths::from_env();
    let config = load(&setup.selection, &paths)?;
    let (Some(node), Some(peer)) = (config.this_node(), config.peer_node()) else {
        return Err("this host is none of the two nodes".into());
    };
    match &setup.direction.import {
        None => {
            let bundle = keys::export(&paths, &node.name, &System::new())
                .map_err(|error| error.to_string())?;
            let text = serde_json::to_string(&bundle).map_err(|error| error.to_string())?;
            println!("{text}");
        }
        Some(file) => {
            let mut text = String::new();
            if file.as_os_str() == "-" {
                io::stdin()
                    .read_to_string(&mut text)
                    .map_err(|error| error.to_string())?;
            } else {
                text = std::fs::read_to_string(file)
                    .map_err(|error| format!("reading {}: {error}", file.display()))?;
            }
            keys::import(&paths, &peer.name, &text).map_err(|error| error.to_string())?;
            eprintln!(
                "{} may now speak to this node, and its host keys are pinned",
                peer.name
            );
        }
    }
    Ok(())
}

/// Needs neither the configuration nor the agent: systemd runs it after the agent, however that ended, and
/// the package before it goes.
fn open_ports() -> Result<(), String> {
    let changed = peer_ports::open(&System::new()).map_err(|why| {
        format!(
            "{why}. The rules are those of `ip rule show` and `ip -6 rule show` with `proto {}`",
            peer_ports::PROTOCOL
        )
    })?;
    // Silent where there was nothing, as nearly always.
    if changed.removed > 0 {
        eprintln!(
            "{} routing rules are taken away; connections to the peer's databases go out again",
            changed.removed
        );
    }
    Ok(())
}

/// Carries bytes between standard input and output and the agent, and interprets none of them:
/// this runs with the rights of an account that may do nothing else.
fn serve() -> Result<(), String> {
    let path = Paths::from_env().peer_socket();
    let mut socket = UnixStream::connect(&path)
        .map_err(|error| format!("the agent does not listen on {}: {error}", path.display()))?;
    let mut requests = socket.try_clone().map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut requests);
        let _ = requests.shutdown(Shutdown::Write);
    });
    io::copy(&mut socket, &mut io::stdout().lock()).map_err(|error| error.to_string())?;
    Ok(())
}
