//! The systemd generator: from one TOML file to the units of this boot.
//!
//! systemd runs it at boot and at every daemon-reload, before it loads units, and waits for it:
//! no other process, no D-Bus. Pacemaker reloads at each start and stop of a `systemd:` resource, so
//! its time is part of every failover; and what it leaves out then, a voter that runs is without. So
//! while the file cannot be used, the units are those of the configuration that was accepted last.

mod env;
mod escape;
mod generate;
mod kernlog;
mod salvage;
mod source;
mod tree;
mod unit;
mod write;

use std::process::ExitCode;

use env::Env;
use generate::{Origin, Output, Problem};
use kernlog::KernLog;
use salvage::Salvage;
use source::Source;
use two_node_ha_config::PATH;
use write::WriteError;

fn main() -> ExitCode {
    let env = match Env::read(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(env) => env,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    if env.skip(|name| std::env::var_os(name)).is_some() {
        return ExitCode::SUCCESS;
    }
    let log = KernLog::new(&env.rooted("/dev/kmsg"));
    let output = output(&env, source::find(&env), &log);
    match write(&env, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.error(&format!(
                "{error}; the units of two-node-ha are not complete on this boot"
            ));
            ExitCode::FAILURE
        }
    }
}

/// The tree of what was found, or that of an invalid configuration if a value fits no unit.
fn output(env: &Env, source: Source, log: &KernLog) -> Output {
    match source {
        Source::None => Output::default(),
        Source::Valid(config) => generate::valid(&config, origin(env)).unwrap_or_else(|refused| {
            let problem = Problem::other(refused.to_string());
            invalid(env, &problem, &Salvage::of(&config), log)
        }),
        Source::Accepted { config, fallback } => {
            let problem = Problem::new(fallback.broken.clone());
            match generate::accepted(&config, &fallback, origin(env)) {
                Ok(output) => {
                    log.error(&problem.lines(PATH));
                    log.error(&format!(
                        "{PATH}: the units are of {}",
                        fallback.accepted_in_words()
                    ));
                    output
                }
                Err(_) => invalid(env, &problem, &Salvage::of(&config), log),
            }
        }
        Source::Invalid { problem, text } => invalid(env, &problem, &Salvage::read(&text), log),
    }
}

/// The tree of an invalid configuration, and its errors in the kernel's log.
fn invalid(env: &Env, problem: &Problem, salvage: &Salvage, log: &KernLog) -> Output {
    log.error(&problem.lines(PATH));
    generate::invalid(problem, salvage, origin(env))
}

fn origin(env: &Env) -> Origin<'_> {
    Origin {
        source: PATH,
        node: env.node.as_deref(),
    }
}

/// The gates first: should there be room for no more, at least they are there.
fn write(env: &Env, output: &Output) -> Result<(), WriteError> {
    let Output { gates, units } = output;
    write::sweep(&env.normal, &[gates, units])?;
    if gates.len() + units.len() == 0 {
        return Ok(());
    }
    write::write(&env.normal, gates)?;
    write::write(&env.normal, units)
}
