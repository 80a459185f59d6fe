//! `two-node-ha agent`: what `two-node-ha-k8s.service` runs.

use std::process::ExitCode;

use two_node_ha_node::Paths;

use super::{Selection, choose};
use crate::exit;
use crate::{daemon, logging};

/// Runs the agent until SIGTERM.
#[must_use]
pub fn run(selection: &Selection) -> ExitCode {
    let paths = Paths::from_env();
    let chosen = match choose(selection, &paths) {
        Ok(chosen) => chosen,
        Err(diagnostic) => {
            eprintln!("{diagnostic}");
            return exit::CONFIG.into();
        }
    };
    logging::start("two-node-ha", chosen.config.agent.log_level);
    match daemon::run(chosen, paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            exit::FAILURE.into()
        }
    }
}
