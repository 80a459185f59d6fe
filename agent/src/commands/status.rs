//! `two-node-ha status`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use two_node_ha_node::Paths;
use two_node_ha_planner::observation::{Mount, Request as Wanted, Services};
use two_node_ha_protocol::control::{Request, Response, Status};

use super::agent_socket::Connection;
use super::config_file::warn_beside;
use super::plan::code;
use crate::exit;

/// Arguments of `status`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// Go on, and print the status again at each change
    #[arg(long)]
    watch: bool,
}

/// Prints how the agent stands. Exit 0 when settled, 3 when blocked, 4 on the way, 1 when there
/// is no agent.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match show(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
    }
}

fn show(args: &Args) -> Result<ExitCode, String> {
    let request = if args.watch {
        Request::Watch
    } else {
        Request::Status
    };
    let paths = Paths::from_env();
    let mut connection = Connection::open(&paths, &request)?;
    let mut looked = false;
    loop {
        let status = match connection.answer()? {
            Response::Status(status) => status,
            other => return Err(format!("the agent answered with {other:?}")),
        };
        if !std::mem::replace(&mut looked, true) {
            warn_beside(&paths, &status.warnings);
        }
        let text = if args.json {
            serde_json::to_string(&status).map_err(|error| error.to_string())? + "\n"
        } else {
            describe(&status)
        };
        let mut out = std::io::stdout();
        // Whoever closed the pipe has seen enough.
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
            || !args.watch
        {
            return Ok(code(status.state, status.settled));
        }
        if !args.json {
            println!();
        }
    }
}

fn describe(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |label: &str, words: &str| {
        let _ = writeln!(text, "{label:<10}{words}");
    };
    line("node", &status.node);
    let epoch = match (&status.owner, status.epoch) {
        (_, 0) => "none yet".to_owned(),
        (Some(owner), epoch) => format!("{epoch}, of {owner}"),
        (None, epoch) => epoch.to_string(),
    };
    line(
        "state",
        &format!(
            "{}{}",
            status.state,
            if status.settled { "" } else { " (not settled)" }
        ),
    );
    for reason in &status.reasons {
        line("", reason);
    }
    if let Some(doing) = &status.doing {
        line("doing", doing);
    }
    for warning in &status.warnings {
        line("warning", warning);
    }
    if let Some(remedy) = &status.remedy {
        line("do", remedy);
    }
    line("epoch", &epoch);
    line("drbd", &status.drbd.summary);
    line(
        "volume",
        match &status.mount {
            Mount::None => "not mounted here",
            Mount::ReadWrite => "mounted here",
            Mount::ReadOnly => "mounted here READ-ONLY",
            Mount::Foreign(_) => "SOMETHING ELSE is mounted in its place",
        },
    );
    line(
        "pacemaker",
        match status.request {
            Wanted::None => "asks nothing of this node",
            Wanted::Hold => "has given this node the voter role",
            Wanted::Release => "takes the voter role away",
        },
    );
    line(
        "services",
        match status.services {
            Services::Stopped => "stopped",
            Services::Others => "running, without the databases",
            Services::Partly => "the datastore does not run, others do",
            Services::Running => "running",
        },
    );
    line("peer", &format!("{}: {}", status.peer, status.peer_state));
    text
}
