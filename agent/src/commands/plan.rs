//! `two-node-ha plan`: the decision and why, from the live system or a saved observation.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use two_node_ha_planner::observation::{Observation, VERSION};
use two_node_ha_planner::{Decision, State, plan};
use two_node_ha_protocol::control::{Request, Response};

use super::agent_socket::Connection;
use super::config_file::warn_beside;
use super::{Selection, load};
use crate::exit;
use crate::paths::Paths;

/// Arguments of `plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Decide from a saved observation (`plan --json` prints one) instead of asking the agent
    #[arg(long, value_name = "FILE")]
    observation: Option<PathBuf>,
    /// Print the observation and the decision as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    selection: Selection,
}

/// Prints a decision. Exit 0 when settled, 3 when blocked, 4 on the way.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match decide(args) {
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
        Ok((observation, decision)) => {
            if args.json {
                let both = serde_json::json!({
                    "format": VERSION,
                    "observation": observation,
                    "decision": decision,
                });
                println!("{both:#}");
            } else {
                print!("{}", describe(&decision));
            }
            code(decision.state, decision.settled)
        }
    }
}

/// 0 when settled, 3 when blocked, 4 on the way.
#[must_use]
pub fn code(state: State, settled: bool) -> ExitCode {
    match (state, settled) {
        (State::Blocked, _) => exit::BLOCKED.into(),
        (_, true) => ExitCode::SUCCESS,
        (_, false) => exit::UNSETTLED.into(),
    }
}

fn decide(args: &Args) -> Result<(Observation, Decision), String> {
    let paths = Paths::from_env();
    let Some(file) = &args.observation else {
        return match Connection::open(&paths, &Request::Plan)?.answer()? {
            Response::Plan {
                observation,
                decision,
            } => {
                warn_beside(&paths, &decision.warnings);
                Ok((*observation, *decision))
            }
            other => Err(format!("the agent answered with {other:?}")),
        };
    };
    let config = load(&args.selection, &paths)?;
    let text =
        std::fs::read(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
    let observation = saved(file, &text)?;
    let decision = plan(&observation, &config);
    Ok((observation, decision))
}

/// What `plan --json` printed, or an observation alone, of this version or one before.
fn saved(file: &Path, text: &[u8]) -> Result<Observation, String> {
    let mut value: serde_json::Value = serde_json::from_slice(text)
        .map_err(|error| format!("{} is no observation: {error}", file.display()))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if let Some(format) = format.filter(|format| *format > u64::from(VERSION)) {
        return Err(format!(
            "{} has format {format}, and this version knows {VERSION}: decide from it with the \
             two-node-ha that printed it",
            file.display()
        ));
    }
    // What `plan --json` printed, or the observation alone.
    let observation = match value.get_mut("observation") {
        Some(inner) => inner.take(),
        None => value,
    };
    serde_json::from_value(observation)
        .map_err(|error| format!("{} is no observation: {error}", file.display()))
}

fn describe(decision: &Decision) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |label: &str, words: &str| {
        let _ = writeln!(text, "{label:<9}{words}");
    };
    line("state", decision.state.name());
    for reason in &decision.reasons {
        line("because", reason);
    }
    for warning in &decision.warnings {
        line("warning", warning);
    }
    if let Some(remedy) = &decision.remedy {
        line("do", remedy);
    }
    for (index, step) in decision.steps.iter().enumerate() {
        line(if index == 0 { "next" } else { "then" }, &step.describe());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_planner::world;

    #[test]
    fn a_saved_observation_is_read_alone_and_beside_its_decision_and_a_newer_one_is_named() {
        let file = Path::new("seen.json");
        let seen = world::booted();
        let alone = serde_json::to_value(&seen).unwrap();
        let printed = |format| serde_json::json!({"format": format, "observation": alone});
        for value in [&alone, &printed(1), &printed(VERSION)] {
            let text = serde_json::to_vec(value).unwrap();
            assert_eq!(saved(file, &text).as_ref(), Ok(&seen));
        }
        let newer = serde_json::to_vec(&printed(VERSION + 1)).unwrap();
        assert_eq!(
            saved(file, &newer).unwrap_err(),
            format!(
                "seen.json has format {}, and this version knows {VERSION}: decide from it with the \
                 two-node-ha that printed it",
                VERSION + 1
            )
        );
    }
}
