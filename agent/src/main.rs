//! `two-node-ha`: the agent and the operator's commands.

mod act;
mod commands;
mod daemon;
mod datastore;
mod exit;
mod gate;
mod holder;
mod k8s;
mod lock;
mod logging;
mod observe;
mod peer;
mod peer_ports;
mod raft_repair;
mod release;
mod room;
mod store;
mod systemd;
#[cfg(test)]
mod systemd_as_told;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use commands::Selection;

/// High availability for Canonical Kubernetes on two nodes.
#[derive(Debug, Parser)]
#[command(name = "two-node-ha", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(commands::check::Args),
    Render(commands::render::Args),
    /// How this node stands, and why
    Status(commands::status::Args),
    /// What the agent is about to do, and why
    Plan(commands::plan::Args),
    /// Move the voter to a node, as planned and without losing a write
    Move(commands::r#move::Args),
    /// The channel between the two agents
    #[command(subcommand)]
    Peer(commands::peer::Command),
    /// What a dqlite state directory holds, what it is worth, and its repair
    #[command(subcommand)]
    Raft(commands::raft::Command),
    /// A split brain: what it is, and how it ends
    #[command(subcommand)]
    SplitBrain(commands::split_brain::Command),
    /// Copies of this node's data from before it was overwritten
    #[command(subcommand)]
    Copies(commands::copies::Command),
    Loop(commands::loopdev::Args),
    /// Run the agent (two-node-ha-k8s.service)
    Agent(Selection),
    /// Hold the voter role for Pacemaker (two-node-ha-k8s-failover.service)
    Failover(commands::failover::Args),
    /// Whether a service that writes a database may start now (its gate's ExecCondition=)
    #[command(hide = true)]
    Gate(commands::gate::Args),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions(commands::completions::Args),
}

/// Runs the command that was named.
fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Check(args) => commands::check::run(args),
        Command::Render(args) => commands::render::run(args),
        Command::Status(args) => commands::status::run(args),
        Command::Plan(args) => commands::plan::run(args),
        Command::Move(args) => commands::r#move::run(args),
        Command::Peer(command) => commands::peer::run(command),
        Command::Raft(command) => commands::raft::run(command),
        Command::SplitBrain(command) => commands::split_brain::run(command),
        Command::Copies(command) => commands::copies::run(command),
        Command::Loop(args) => commands::loopdev::run(args),
        Command::Agent(selection) => commands::agent::run(selection),
        Command::Failover(args) => commands::failover::run(args),
        Command::Gate(args) => commands::gate::run(args),
        Command::Completions(args) => commands::completions::run(args, &mut Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense_to_clap() {
        Cli::command().debug_assert();
    }
}
