//! `two-node-ha split-brain show` and `resolve`.

mod resolve;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use two_node_ha_config::Config;
use two_node_ha_node::Paths;
use two_node_ha_planner::record::Resolution;
use two_node_ha_planner::split_brain::Side;
use two_node_ha_planner::split_brain::plan::Step;
use two_node_ha_protocol::control;
use two_node_ha_protocol::peer;
use two_node_ha_protocol::peer::VERSION;

use super::agent_socket::Connection;
use super::{Selection, load};
use crate::exit;
use crate::peer::client::{Client, Peer};

/// What to do about it.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Put both sides next to each other, and say which node to keep, and why
    Show(show::Args),
    /// Keep one node's data and give up the other's, of which a copy is made first
    Resolve(resolve::Args),
}

/// Runs it.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    let result = match command {
        Command::Show(args) => show::run(args),
        Command::Resolve(args) => resolve::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        exit::FAILURE.into()
    })
}

/// How long a side may take to be described, its databases' logs included.
const SIDE: Duration = Duration::from_secs(60);

/// The two nodes, from here.
struct Nodes {
    config: Config,
    paths: Paths,
    client: Client,
    here: String,
    there: String,
}

impl Nodes {
    fn open(selection: &Selection) -> Result<Self, String> {
        let paths = Paths::from_env();
        let config = load(selection, &paths)?;
        let (Some(node), Some(peer)) = (config.this_node(), config.peer_node()) else {
            return Err("this host is none of the two nodes".into());
        };
        Ok(Self {
            client: Client::new(&config, peer, &paths),
            here: node.name.clone(),
            there: peer.name.clone(),
            config,
            paths,
        })
    }

    fn side_here(&self, logs: bool) -> Result<Side, String> {
        let request = control::Request::Side { logs };
        match Connection::open(&self.paths, &request)?.answer()? {
            control::Response::Side(side) => Ok(*side),
            other => Err(format!("the agent answered with {other:?}")),
        }
    }

    fn side_there(&self, logs: bool) -> Result<Side, String> {
        let request = peer::Request::Side {
            version: VERSION,
            logs,
        };
        let within = self.config.peer.connect_timeout + SIDE;
        match self.client.ask(&request, within) {
            Ok(peer::Response::Side(side)) if side.node == self.there => Ok(*side),
            Ok(peer::Response::Side(side)) => Err(format!(
                "a node named {} answers in the place of {}",
                side.node, self.there
            )),
            Ok(peer::Response::Refused { reason }) => Err(format!("{}: {reason}", self.there)),
            Ok(other) => Err(format!("{} answered with {other:?}", self.there)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Has a node take a step on itself.
    fn take(
        &self,
        node: &str,
        step: &Step,
        resolution: &Resolution,
        within: Duration,
    ) -> Result<(), String> {
        if node == self.here {
            let request = control::Request::Resolve {
                step: step.clone(),
                resolution: resolution.clone(),
            };
            return match Connection::open(&self.paths, &request)?.answer()? {
                control::Response::Taken => Ok(()),
                other => Err(format!("the agent answered with {other:?}")),
            };
        }
        let request = peer::Request::Resolve {
            version: VERSION,
            step: step.clone(),
            resolution: resolution.clone(),
        };
        match self.client.ask(&request, within) {
            Ok(peer::Response::Taken) => Ok(()),
            Ok(peer::Response::Refused { reason }) => Err(reason),
            Ok(other) => Err(format!("it answered with {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}
