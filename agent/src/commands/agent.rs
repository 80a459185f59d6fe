//! `two-node-ha agent`: what `two-node-ha-k8s.service` runs.

use std::process::ExitCode;

use super::{Selection, load};
use crate::exit;
use crate::paths::Paths;
use crate::{daemon, logging};

/// Runs the agent until SIGTERM.
#[must_use]
pub fn run(selection: &Selection) -> ExitCode {
    let paths = Paths::from_env();
    let config = match load(selection, &paths) {
        Ok(config) => config,
        Err(diagnostic) => {
            eprintln!("{diagnostic}");
            return exit::CONFIG.into();
        }
    };
    logging::start("two-node-ha", config.agent.log_level);
    match daemon::run(config, paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            exit::FAILURE.into()
        }
    }
}
