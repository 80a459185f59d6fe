//! `two-node-ha move NODE`: a planned move of the voter, through Pacemaker.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use two_node_ha_command::{Call, Runner, System};
use two_node_ha_config::{Config, Difference};
use two_node_ha_planner::State;
use two_node_ha_planner::observation::{Asked, Drbd, Promotion};
use two_node_ha_planner::plan::configuration;
use two_node_ha_protocol::control::{Request, Response, Status};

use super::agent_socket::Connection;
use super::{Selection, load};
use crate::exit;
use crate::observe::live;
use crate::paths::Paths;

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
    let now = there(&paths, &args.target)?;
    if now.arrived {
        println!("{} is the voter already", args.target);
        return Ok(());
    }
    if let Some(parted) = now.parted {
        return Err(parted);
    }
    let runner = System::new();
    let other = config.nodes.iter().find(|node| node.name != args.target);
    let other = other.map_or("", |node| node.name.as_str());
    promotable(
        &live::drbd(&runner, &config),
        &live::promotion(&runner, &config.volume.resource, &args.target, other)?,
        &args.target,
    )?;
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

/// A move that cannot end well is refused before Pacemaker takes the role away from anybody.
fn promotable(drbd: &Drbd, promotion: &Promotion, target: &str) -> Result<(), String> {
    if !drbd.connected {
        return Err(format!(
            "DRBD is not connected ({}), so {target} could take over old data only; nothing was \
             moved. Bring the other node up first; after a failure of the voter Pacemaker moves the \
             role by itself",
            drbd.summary
        ));
    }
    match promotion {
        Promotion::Allowed | Promotion::PeerForbidden(_) => Ok(()),
        Promotion::Forbidden(id) => Err(format!(
            "the constraint {id} keeps Pacemaker from promoting {target}, and nothing was moved. It \
             goes when the resync is over: `two-node-ha status` on {target} then says settled. See \
             two-node-ha(8), WHAT TO TYPE WHEN"
        )),
    }
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
    /// Why the other node would refuse the role, if it would.
    parted: Option<String>,
}

/// The node that the role goes to would see the same differences, and refuse it.
fn parted(differences: &[Difference], peer: &str) -> Option<String> {
    let matter: Vec<_> = differences.iter().filter(|d| d.matters).collect();
    (!matter.is_empty()).then(|| {
        format!(
            "the two nodes run with different configurations, and nothing was moved: {}. Make \
             /etc/two-node-ha.toml the same on both; see two-node-ha(8), WHAT TO TYPE WHEN",
            configuration::in_words(matter.into_iter(), peer)
        )
    })
}

fn there(paths: &Paths, target: &str) -> Result<There, String> {
    let (status, voter_there, parted) = match Connection::open(paths, &Request::Plan)?.answer()? {
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
            (
                words,
                arrived,
                parted(&observation.differences, &observation.peer),
            )
        }
        other => return Err(format!("the agent answered with {other:?}")),
    };
    Ok(There {
        arrived: voter_there,
        words: status,
        parted,
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

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_planner::observation::Role;

    fn drbd(connected: bool) -> Drbd {
        Drbd {
            role: Role::Primary,
            up_to_date: true,
            connected,
            equal: connected,
            peer_role: Role::Secondary,
            suspended: None,
            alone: false,
            seeking: true,
            summary: "Primary UpToDate, peer Connecting".into(),
        }
    }

    #[test]
    fn a_move_between_two_configurations_is_refused_where_the_difference_matters() {
        let mut difference = Difference {
            key: "volume.mount_point".into(),
            mine: "/mnt/a".into(),
            theirs: "/mnt/b".into(),
            matters: false,
        };
        assert_eq!(parted(&[], "hatwo"), None);
        assert_eq!(parted(std::slice::from_ref(&difference), "hatwo"), None);
        difference.matters = true;
        let error = parted(&[difference], "hatwo").unwrap();
        assert!(error.contains("/mnt/b on hatwo"), "{error}");
    }

    #[test]
    fn a_move_to_a_node_that_cannot_be_promoted_is_refused_with_the_reason() {
        assert_eq!(
            promotable(&drbd(true), &Promotion::Allowed, "hatwo"),
            Ok(())
        );
        let error = promotable(&drbd(false), &Promotion::Allowed, "hatwo").unwrap_err();
        assert!(error.contains("not connected (Primary UpToDate"), "{error}");
        let forbidden = Promotion::Forbidden("drbd-fence-by-handler-r0-x".into());
        let error = promotable(&drbd(true), &forbidden, "hatwo").unwrap_err();
        assert!(error.contains("drbd-fence-by-handler-r0-x"), "{error}");
    }
}
