//! `two-node-ha completions SHELL`: for the package.

use std::io;
use std::process::ExitCode;

/// Arguments of `completions`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the completions of `command`.
#[must_use]
pub fn run(args: &Args, command: &mut clap::Command) -> ExitCode {
    clap_complete::generate(args.shell, command, "two-node-ha", &mut io::stdout());
    ExitCode::SUCCESS
}
