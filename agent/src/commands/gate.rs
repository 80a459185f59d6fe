//! `two-node-ha gate`: what systemd asks before it starts a service that writes a database
//! (`ExecCondition=` of the generator's gate). Not for people: `status` says more.

use std::path::PathBuf;
use std::process::ExitCode;

use two_node_ha_node::Paths;

use crate::exit;
use crate::gate;

/// Arguments of `gate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service's state directory
    #[arg(long, value_name = "DIRECTORY")]
    database: Option<PathBuf>,
    /// The minor number of the volume's DRBD device
    #[arg(long, value_name = "N")]
    minor: Option<u32>,
}

/// 0: it may start. 1: systemd skips it (systemd.service(5), `ExecCondition=`), which is what an
/// answer that could not be found means, too.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let view = gate::look(&Paths::from_env(), args.database.as_deref(), args.minor);
    let judged = view
        .map_err(|error| format!("it cannot be seen whether it may: {error}"))
        .and_then(|view| view.judge());
    match judged {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("not started: {why}");
            exit::FAILURE.into()
        }
    }
}
