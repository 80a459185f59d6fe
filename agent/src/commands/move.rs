//! `two-node-ha move NODE`: a planned move of the voter, through Pacemaker.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use two_node_ha_command::{Call, Runner, System};
use two_node_ha_config::Config;

use super::connect::Connection;
use super::{Selection, load};
use crate::daemon::control::{Request, Response, Status};
use crate::exit;
use crate::observe::Asked;
use crate::paths::Paths;
use crate::plan::State;

/// Arguments of `move`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The node that is to be the voter
    #[arg(value_name = "NODE")]
    target: String,
    /// Give up waiting after this long; the move itself goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    #[command(flatten)]
    selection: Selection,
}

/// The constraint ends by itself, should this command be interrupted.
const LIFETIME: &str = "PT15M";
/// How long a command of Pacemaker's may take.
const COMMAND: Duration = Duration::from_secs(60);

/// Moves, waits, and takes the constraint away again.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match go(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
    }
}

fn go(args: &Args) -> Result<(), String> {
    let paths = Paths::from_env();
    let config = load(&args.selection, &paths)?;
    if config.node(&args.target).is_none() {
        return Err(format!(
            "{} is none of the two nodes, {} and {}",
            args.target, config.nodes[0].name, config.nodes[1].name
        ));
    }
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    if there(&paths, &args.target)?.arrived {
        println!("{} is the voter already", args.target);
        return Ok(());
    }
    let resource = &config.pacemaker.fs_resource;
    println!("telling Pacemaker to move {resource} to {}", args.target);
    crm(&[
        "--move",
        "--resource",
        resource,
        "--node",
        &args.target,
        "--lifetime",
        LIFETIME,
    ])?;
    let waited = wait(&paths, &args.target, deadline);
    // Whatever came of it, the constraint must not decide the next failover.
    let cleared = clear(&config);
    waited?;
    cleared?;
    println!("{} is the voter", args.target);
    Ok(())
}

fn clear(config: &Config) -> Result<(), String> {
    crm(&["--clear", "--resource", &config.pacemaker.fs_resource])
}

fn crm(arguments: &[&str]) -> Result<(), String> {
    let call = Call::new("crm_resource", COMMAND).args(arguments.iter().copied());
    let output = System::new()
        .run(&call)
        .map_err(|error| error.to_string())?;
    if output.success() {
        Ok(())
    } else {
        Err(format!(
            "`{call}` failed ({}): {}",
            output.exit,
            output.complaint()
        ))
    }
}

/// How far the move is, as this node's agent sees it.
struct There {
    arrived: bool,
    words: String,
}

fn there(paths: &Paths, target: &str) -> Result<There, String> {
    let (status, voter_there) = match Connection::open(paths, &Request::Plan)?.answer()? {
        Response::Plan {
            observation,
            decision,
        } => {
            let peer_voter = matches!(
                &observation.peer_report,
                Asked::Answer(report) if report.voter && report.node == target
            );
            let arrived = if observation.node == target {
                decision.state == State::PrimaryRunning
            } else {
                peer_voter && decision.state == State::SecondaryRunning && decision.settled
            };
            let words = format!(
                "{}: {} ({})",
                observation.node,
                decision.state,
                decision.reasons.join("; ")
            );
            (words, arrived)
        }
        other => return Err(format!("the agent answered with {other:?}")),
    };
    Ok(There {
        arrived: voter_there,
        words: status,
    })
}

/// Prints each change, until the role has arrived and this node has settled.
fn wait(paths: &Paths, target: &str, deadline: Instant) -> Result<(), String> {
    let mut said = String::new();
    let mut watch = Connection::open(paths, &Request::Watch)?;
    let (send, changes) = std::sync::mpsc::channel::<Box<Status>>();
    std::thread::spawn(move || {
        while let Ok(Response::Status(status)) = watch.answer() {
            if send.send(status).is_err() {
                return;
            }
        }
    });
    loop {
        let now = there(paths, target)?;
        if now.words != said {
            println!("  {}", now.words);
            said = now.words;
        }
        if now.arrived {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!(
                "{target} is not the voter yet; look at `crm_mon -1rf` and at `two-node-ha status` \
                 on both nodes"
            ));
        }
        // A change, or now and then a look: the agent may have been restarted.
        let _ = changes.recv_timeout(left.min(Duration::from_secs(5)));
    }
}
