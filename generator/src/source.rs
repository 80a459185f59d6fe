//! Reading the configuration of this host.

use std::fs;
use std::io;

use two_node_ha_config::{Config, Diagnostics, Host, PATH, decode, parse};

use crate::env::Env;
use crate::generate::Problem;

/// What stands at the configuration's place.
pub enum Source {
    /// Nothing: the package is installed and not configured.
    None,
    /// A configuration for this host.
    Valid(Box<Config>),
    /// A file that cannot be used.
    Invalid {
        /// Why.
        problem: Problem,
        /// What could be read of it.
        text: String,
    },
}

/// Reads the configuration and finds out which of its nodes this host is.
#[must_use]
pub fn read(env: &Env) -> Source {
    let path = env.rooted(PATH);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        // A link to a place that is not mounted yet is not "no configuration".
        Err(e) if e.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            return Source::None;
        }
        Err(e) => {
            let mut why = format!("cannot read {PATH}: {e}");
            if e.kind() == io::ErrorKind::NotFound {
                why.push_str("; it is a link, and this early only the root file system is there");
            }
            return invalid(Problem::Other(why), "");
        }
    };
    match text(env, &bytes) {
        Ok(config) => Source::Valid(Box::new(config)),
        Err(problem) => invalid(problem, &String::from_utf8_lossy(&bytes)),
    }
}

fn text(env: &Env, bytes: &[u8]) -> Result<Config, Problem> {
    let diagnostics = |d: Diagnostics| Problem::Diagnostics(d);
    let text = decode(bytes, PATH).map_err(diagnostics)?;
    if let Some(node) = &env.node {
        return parse(text, PATH, Host::Node(node)).map_err(diagnostics);
    }
    let hostname = nix::unistd::gethostname()
        .map_err(|e| Problem::Other(format!("cannot read this host's name: {e}")))?;
    let hostname = hostname.to_string_lossy();
    parse(text, PATH, Host::Hostname(&hostname)).map_err(diagnostics)
}

fn invalid(problem: Problem, text: &str) -> Source {
    Source::Invalid {
        problem,
        text: text.to_owned(),
    }
}
