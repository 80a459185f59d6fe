//! Command line: what a person can ask of the lab.

use crate::client::Lab;
use crate::cluster::Node;
use crate::places::Places;
use crate::supervisor::protocol::Event;
use crate::{control, host, interrupt, launch, supervisor, up};
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Two real nodes of a two-node-ha cluster in User Mode Linux.
///
/// Real systemd, udev, DRBD, Corosync, Pacemaker, OpenSSH and dqlite, with the project's package
/// installed. Needs root (it asks sudo) and x86-64, but neither KVM nor any network but the one to
/// Debian's packages at the first run. Images are cached in $TWO_NODE_HA_LAB_CACHE, by default
/// .lab/cache in the repository.
#[derive(Parser)]
#[command(name = "two-node-ha-lab", version, disable_help_subcommand = true)]
struct Cli {
    /// Name of the instance; several may run side by side
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    instance: String,
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
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        argv: Vec<String>,
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
    /// Pull the cables of a node, or cut the two from each other
    Partition {
        /// haone or hatwo; without it both stay reachable from outside, but not from each other
        node: Option<String>,
    },
    /// Plug all cables in again
    Heal,
    /// What is running
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
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

/// Does what the command line says; returns the exit code.
///
/// # Errors
/// When it cannot be done.
pub fn main() -> Result<i32> {
    let mut args = std::env::args();
    let own_name = args.next().unwrap_or_default();
    if Path::new(&own_name).file_name().is_some_and(|n| n == "fence_lab") {
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
    let places = Places::new(&cli.instance)?;
    match cli.command {
        Command::Up(args) => command_up(&places, &args),
        Command::Down => Lab::end(&places).map(|()| 0),
        Command::Run { node, limit, argv } => command_run(&places, &node, limit, &argv),
        Command::Cut { node } => Lab::connect(&places)?.cut(Node::parse(&node)?).map(|()| 0),
        Command::Boot { node } => up::boot(&Lab::connect(&places)?, &[Node::parse(&node)?]).map(|()| 0),
        Command::Partition { node } => {
            let node = node.as_deref().map(Node::parse).transpose()?;
            Lab::connect(&places)?.partition(node).map(|()| 0)
        }
        Command::Heal => Lab::connect(&places)?.heal().map(|()| 0),
        Command::Status { json } => command_status(&places, json),
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
    host::check_requirements()?;
    let plan = up::Plan { memory: args.memory, package: args.package.clone() };
    let (kernel, system) = up::images(places, &plan)?;
    let lab = up::lay_out(places, &plan, &kernel, [&system, &system])?;
    up::boot(&lab, &crate::cluster::NODES)?;
    lab.detach()?;
    Ok(0)
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
    lab.stream(Node::parse(node)?, &argv, Duration::from_secs(limit), feed, |event| match event {
        Event::Out(data) => {
            let _ = std::io::stdout().write_all(&data).and_then(|()| std::io::stdout().flush());
        }
        Event::Err(data) => {
            let _ = std::io::stderr().write_all(&data);
        }
        Event::Exit(_) | Event::Lost(_) => {}
    })
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
    println!("network  {}", status.partition.as_deref().unwrap_or("whole"));
    for fencing in &status.fencings {
        println!("fenced   {} by {} ({}), dead after {:.3} s", fencing.target, fencing.by, fencing.action, fencing.took);
    }
    Ok(0)
}
