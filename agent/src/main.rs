//! The agent and the operator's commands.

mod commands;
mod render;

use std::process::ExitCode;

use clap::Parser;

/// Highly available Canonical Kubernetes on two nodes.
#[derive(Parser)]
#[command(version)]
enum Cli {
    Check(commands::check::Args),
    Render(commands::render::Args),
}

fn main() -> ExitCode {
    match Cli::parse() {
        Cli::Check(args) => commands::check::run(&args),
        Cli::Render(args) => commands::render::run(&args),
    }
}
