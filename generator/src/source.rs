//! Finding the configuration of this host.

use std::path::Path;

use two_node_ha_config::{
    ACCEPTED, Broken, Chosen, Config, Content, Fallback, Found, Host, Neither, PATH, choose, read,
};

use crate::env::Env;
use crate::generate::Problem;

/// What stands at the configuration's place.
pub enum Source {
    /// Nothing, and no agent has ever accepted one: the package is installed and not configured.
    None,
    /// A configuration for this host.
    Valid(Box<Config>),
    /// A file that cannot be used, or none, on a node where an agent has accepted one.
    Accepted {
        /// The accepted one.
        config: Box<Config>,
        /// Why it is gone on with.
        fallback: Box<Fallback>,
    },
    /// A file that cannot be used, and nothing in its place.
    Invalid {
        /// Why.
        problem: Problem,
        /// What could be read of it.
        text: String,
    },
}

/// Reads the configuration and finds out which of its nodes this host is.
#[must_use]
pub fn find(env: &Env) -> Source {
    let present = read(&env.rooted(PATH), PATH);
    let hostname;
    let host = match &env.node {
        Some(node) => Host::Node(node),
        None => match nix::unistd::gethostname() {
            Ok(name) => {
                hostname = name.to_string_lossy().into_owned();
                Host::Hostname(&hostname)
            }
            Err(error) => {
                let why = format!("cannot read this host's name: {error}");
                return invalid(Problem::new(Broken::Unusable(why)), &present);
            }
        },
    };
    match choose(&present, || accepted(env), host) {
        Ok(Chosen {
            config, fallback, ..
        }) => {
            let config = Box::new(config);
            match fallback {
                None => Source::Valid(config),
                Some(fallback) => Source::Accepted {
                    config,
                    fallback: Box::new(fallback),
                },
            }
        }
        Err(Neither {
            broken: Broken::Missing { .. },
            ..
        }) => Source::None,
        Err(neither) => invalid(Problem::from(neither), &present),
    }
}

/// The accepted one. Early in a boot `/var` may not be mounted; then there is none, until the next
/// daemon-reload.
fn accepted(env: &Env) -> Found {
    read(Path::new(&env.rooted(ACCEPTED)), ACCEPTED)
}

fn invalid(problem: Problem, present: &Found) -> Source {
    let text = match &present.content {
        Content::Read { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
        Content::Missing | Content::Unreadable(_) => String::new(),
    };
    Source::Invalid { problem, text }
}
