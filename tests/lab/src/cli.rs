//! Command line: what a person can ask of the lab.

use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::places::Places;
use crate::scenario::Length;
use crate::supervisor::protocol::Event;
use crate::{
    agent, artefacts, bench, control, demo, ending, form, host, image, interrupt, lanes, launch,
    logs, progress, scenario, shell, supervisor, trouble, up,
};
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Two real nodes of a two-node-ha cluster in User Mode Linux.
///
/// Real systemd, udev, DRBD, Corosync, Pacemaker, OpenSSH and dqlite, with the project's package
/// installed. Needs root (it asks sudo) and x86-64, but neither KVM nor any network but the one to
/// Debian's packages and Go's modules at the first run. Images are cached in $TWO_NODE_HA_LAB_CACHE,
/// by default .lab/cache in the repository. `smoke` and `campaign` run their scenarios on two labs
/// side by side.
#[derive(Parser)]
#[command(name = "two-node-ha-lab", version, disable_help_subcommand = true)]
struct Cli {
    /// Name of the instance; several may run side by side [default: default, demo, smoke, campaign or bench]
    #[arg(long, global = true, value_name = "NAME")]
    instance: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is not cached, boot both nodes, wait until they are usable
    Up(UpArgs),
    /// End the lab: power off both nodes and remove everything of it but the cache
    Down,
    /// Run a program in a node: its output and exit code become ours
    Run {
        /// haone or hatwo
        node: String,
        /// Seconds until the program is killed
        #[arg(long, default_value_t = 600)]
        limit: u64,
        /// Program and arguments
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "CMD"
        )]
        argv: Vec<String>,
    },
    /// A shell in a node
    Shell {
        /// haone or hatwo
        node: String,
    },
    /// The journals of this boot, merged by time; of a node that is off, from its disk
    Logs {
        /// haone or hatwo; both without it
        node: Option<String>,
        /// Go on printing what comes; of one node
        #[arg(long, short, requires = "node")]
        follow: bool,
    },
    /// Bring up a lab, cut the power of the primary under a stream of writes, show what survived
    Demo(UpArgs),
    /// Run the scenarios that CI runs, or those that are named
    Smoke(ScenarioArgs),
    /// Run all scenarios, or some of them, in their full length: what CI has no time for
    Campaign(ScenarioArgs),
    /// Measure what takes time on a running cluster: our fence handlers against drbd-utils', and
    /// takeovers by `recovery = "native"` against those by "k8sd"
    Bench {
        #[command(flatten)]
        up: UpArgs,
        #[command(flatten)]
        order: bench::Order,
    },
    /// Cut the power of a node: SIGKILL to its kernel
    Cut {
        /// haone or hatwo
        node: String,
    },
    /// Switch a node on that is off
    Boot {
        /// haone or hatwo
        node: String,
    },
    /// Whether a node that was fenced or reboots is started again: on or off (the default)
    AutoBoot {
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        state: String,
    },
    /// Pull the cables of a node, or cut the two from each other
    Partition {
        /// haone or hatwo; without it both stay reachable from outside, but not from each other
        node: Option<String>,
    },
    /// Plug all cables in again
    Heal,
    /// Delay or throttle what a node sends; without options it is as fast as ever again
    Slow {
        /// haone or hatwo
        node: String,
        /// Such as 50ms
        #[arg(long, value_name = "TIME")]
        delay: Option<String>,
        /// Such as 1mbit
        #[arg(long, value_name = "RATE")]
        rate: Option<String>,
    },
    /// Fill a file system of a node to the last block
    Fill {
        /// haone or hatwo
        node: String,
        /// A directory on the file system
        path: String,
    },
    /// Remove what `fill` wrote
    Unfill {
        /// haone or hatwo
        node: String,
        /// The directory given to `fill`
        path: String,
    },
    /// What is running
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Build what is not cached of the program that starts real dqlite for the tests of
    /// crates/dqlite, and print its directory: `make` is the program, `generation` its dqlite
    Dqlite {
        /// Debian suite that the dqlite is of
        #[arg(value_parser = ["trixie", "bookworm"])]
        suite: String,
    },
    #[command(hide = true)]
    InternalLane {
        #[command(flatten)]
        up: UpArgs,
        #[arg(long)]
        campaign: bool,
        #[arg(long)]
        keep: bool,
    },
    #[command(hide = true)]
    InternalSupervisor { dir: PathBuf },
    #[command(hide = true)]
    InternalKeeper {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    #[command(hide = true)]
    InternalInit {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    #[command(hide = true)]
    InternalGuest { tty: PathBuf },
}

#[derive(Args)]
struct UpArgs {
    /// The project's package to install; by default the newest in target/deb
    #[arg(long, value_name = "FILE", conflicts_with = "bare")]
    package: Option<PathBuf>,
    /// Install no package: nodes as they are before two-node-ha
    #[arg(long)]
    bare: bool,
    /// Memory of each node in MiB
    #[arg(long, default_value_t = 768, value_name = "MIB")]
    memory: u32,
}

#[derive(Args)]
struct ScenarioArgs {
    #[command(flatten)]
    up: UpArgs,
    /// Only these scenarios, in the order of the list
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the scenarios and what each proves
    #[arg(long)]
    list: bool,
    /// Leave the lab as it is after the first failure
    #[arg(long)]
    keep: bool,
    /// Labs side by side, called INSTANCE-1 and so on; each takes the next scenario that waits
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    lanes: u8,
}

/// Does what the command line says; returns the exit code.
///
/// # Errors
/// When it cannot be done.
pub fn main() -> Result<i32> {
    let mut args = std::env::args();
    let own_name = args.next().unwrap_or_default();
    if Path::new(&own_name)
        .file_name()
        .is_some_and(|n| n == "fence_lab")
    {
        return control::fence::main(&args.collect::<Vec<_>>());
    }
    let cli = Cli::parse();
    match &cli.command {
        Command::InternalSupervisor { dir } => return supervisor::main(dir).map(|()| 0),
        Command::InternalKeeper { args } => return launch::keeper(args),
        Command::InternalInit { args } => return launch::init(args),
        Command::InternalGuest { tty } => return control::guest::serve(tty).map(|()| 0),
        _ => {}
    }
    if !nix::unistd::geteuid().is_root() {
        return as_root();
    }
    interrupt::listen()?;
    let usual = match cli.command {
        Command::Demo(_) => "demo",
        Command::Smoke(_) => "smoke",
        Command::Bench { .. } => "bench",
        Command::Campaign(_) => "campaign",
        _ => "default",
    };
    let places = Places::new(cli.instance.as_deref().unwrap_or(usual))?;
    let connect = || Lab::connect(&places);
    match cli.command {
        Command::Up(args) => command_up(&places, &args),
        Command::Down => ending::end(&places).map(|()| 0),
        Command::Run { node, limit, argv } => command_run(&places, &node, limit, &argv),
        Command::Shell { node } => shell::open(&connect()?, Node::parse(&node)?),
        Command::Logs { node, follow } => {
            command_logs(&connect()?, node.as_deref(), follow).map(|()| 0)
        }
        Command::Demo(args) => command_demo(&places, &args),
        Command::Smoke(args) => command_scenarios(&places, &args, Length::Smoke),
        Command::Campaign(args) => command_scenarios(&places, &args, Length::Campaign),
        Command::InternalLane {
            up: args,
            campaign,
            keep,
        } => {
            let length = if campaign {
                Length::Campaign
            } else {
                Length::Smoke
            };
            lanes::main(&places, &plan(&places, &args)?, length, keep)
        }
        Command::Bench { up: args, order } => {
            bench::run(&places, plan(&places, &args)?, &order).map(|()| 0)
        }
        Command::Slow { node, delay, rate } => trouble::slow(
            &connect()?,
            Node::parse(&node)?,
            delay.as_deref(),
            rate.as_deref(),
        )
        .map(|()| 0),
        Command::Fill { node, path } => {
            trouble::fill(&connect()?, Node::parse(&node)?, &path).map(|()| 0)
        }
        Command::Unfill { node, path } => {
            trouble::unfill(&connect()?, Node::parse(&node)?, &path).map(|()| 0)
        }
        Command::Cut { node } => connect()?.cut(Node::parse(&node)?).map(|_| 0),
        Command::Boot { node } => up::boot(&connect()?, &[Node::parse(&node)?]).map(|()| 0),
        Command::AutoBoot { state } => connect()?.auto_boot(state == "on").map(|()| 0),
        Command::Partition { node } => {
            let node = node.as_deref().map(Node::parse).transpose()?;
            connect()?.partition(node).map(|()| 0)
        }
        Command::Heal => connect()?.heal().map(|()| 0),
        Command::Status { json } => command_status(&places, json),
        Command::Dqlite { suite } => {
            println!("{}", image::real_dqlite(&places, &suite)?.display());
            Ok(0)
        }
        Command::InternalSupervisor { .. }
        | Command::InternalKeeper { .. }
        | Command::InternalInit { .. }
        | Command::InternalGuest { .. } => Ok(0),
    }
}

/// Namespaces, taps and mounts need root: the same command again, through sudo.
fn as_root() -> Result<i32> {
    use std::os::unix::process::CommandExt as _;
    let error = std::process::Command::new("sudo")
        .arg("--preserve-env=TWO_NODE_HA_LAB_CACHE,PATH")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(error).context("the lab needs root, and sudo cannot be started")
}

fn command_up(places: &Places, args: &UpArgs) -> Result<i32> {
    if Lab::is_up(places) {
        eprintln!("the lab is up already");
        return Ok(0);
    }
    let lab = up::bring(places, &plan(places, args)?)?;
    if !args.bare {
        serving(&lab)?;
    }
    lab.detach()?;
    Ok(0)
}

/// Loads the resources, and waits until voter and spare are what they are to be.
fn serving(lab: &Lab) -> Result<()> {
    let start = || {
        form::first_start(lab)?;
        let voter = agent::voter(lab, scenario::SETTLE)?;
        agent::wait_for(
            lab,
            voter.peer(),
            "the spare",
            scenario::SETTLE,
            agent::Status::is_spare,
        )
    };
    progress::step("first start", start)
        .map(drop)
        .inspect_err(|_| artefacts::collect(lab, "first-start"))
}

fn command_demo(places: &Places, args: &UpArgs) -> Result<i32> {
    let lab = up::bring(places, &plan(places, args)?)?;
    serving(&lab)?;
    let outcome = demo::fail_over(&lab).inspect_err(|_| artefacts::collect(&lab, "demo"))?;
    let code = demo::report(&lab, &outcome)?;
    if code != 0 {
        artefacts::collect(&lab, "demo");
    }
    Ok(code)
}

fn command_scenarios(places: &Places, args: &ScenarioArgs, length: Length) -> Result<i32> {
    let scenarios = scenario::choose(&args.only, length)?;
    if args.list {
        for scenario in scenarios {
            println!("{:<16} {}", scenario.name, scenario.proves);
        }
        return Ok(0);
    }
    let order = lanes::Order {
        scenarios,
        length,
        lanes: usize::from(args.lanes),
        keep: args.keep,
    };
    lanes::run(places, &plan(places, &args.up)?, &order)
}

fn command_logs(lab: &Lab, node: Option<&str>, follow: bool) -> Result<()> {
    let nodes = node.map_or_else(
        || Ok(NODES.to_vec()),
        |name| Node::parse(name).map(|n| vec![n]),
    )?;
    if follow {
        logs::follow(lab, nodes[0])
    } else {
        logs::print(lab, &nodes)
    }
}

fn plan(places: &Places, args: &UpArgs) -> Result<up::Plan> {
    host::check_requirements()?;
    let package = if args.bare {
        None
    } else {
        Some(package(places, args)?)
    };
    Ok(up::Plan {
        memory: args.memory,
        package,
        room: form::Room::default(),
    })
}

/// The package asked for, or the newest one built.
fn package(places: &Places, args: &UpArgs) -> Result<PathBuf> {
    if let Some(package) = &args.package {
        return Ok(package.clone());
    }
    let dir = places.repo.join("target/deb");
    let newest = std::fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "deb"))
        .max_by_key(|p| p.metadata().and_then(|m| m.modified()).ok());
    newest.with_context(|| {
        format!(
            "no package in {}: build it with `make deb`, or name one with --package",
            dir.display()
        )
    })
}

fn command_run(places: &Places, node: &str, limit: u64, argv: &[String]) -> Result<i32> {
    let lab = Lab::connect(places)?;
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let feed = |mut input: crate::client::Feeder| {
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = std::io::stdin().read(&mut buffer) {
                if n == 0 || !input.write(&buffer[..n]) {
                    break;
                }
            }
            input.close();
        });
    };
    lab.stream(
        Node::parse(node)?,
        &argv,
        Duration::from_secs(limit),
        feed,
        |event| match event {
            // Whoever closed the pipe has seen enough.
            Event::Out(data) => std::io::stdout()
                .write_all(&data)
                .and_then(|()| std::io::stdout().flush())
                .is_ok(),
            Event::Err(data) => std::io::stderr().write_all(&data).is_ok(),
            Event::Exit(_) | Event::Lost(_) => true,
        },
    )
}

fn command_status(places: &Places, json: bool) -> Result<i32> {
    let status = Lab::connect(places)?.status()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(0);
    }
    for node in &status.nodes {
        let state = match (&node.off_because, &node.boot_id) {
            (Some(why), _) => format!("off: {why}"),
            (None, None) => "starting".to_owned(),
            (None, Some(_)) => "up".to_owned(),
        };
        println!("{:8} {state}, started {} times", node.name, node.boots);
    }
    println!(
        "network  {}",
        status.partition.as_deref().unwrap_or("whole")
    );
    for fencing in &status.fencings {
        println!(
            "fenced   {} by {} ({}), dead after {:.3} s",
            fencing.target, fencing.by, fencing.action, fencing.took
        );
    }
    Ok(0)
}
