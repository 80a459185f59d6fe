//! Reading the configuration for a command that needs a valid one.

use std::path::PathBuf;

use two_node_ha_config::{Config, Host, parse};

use crate::paths::Paths;

/// Which configuration, and which of its nodes this host is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take this host for that node instead of asking `uname -n`
    #[arg(long, value_name = "NAME", env = "TWO_NODE_HA_NODE")]
    pub node: Option<String>,
}

/// Reads and validates; the error is the whole diagnostic, ready to be printed.
///
/// # Errors
/// When the file cannot be read or is not valid.
pub fn load(selection: &Selection, paths: &Paths) -> Result<Config, String> {
    let path = selection.config.clone().unwrap_or_else(|| paths.config());
    let text = std::fs::read_to_string(&path).map_err(|error| {
        format!(
            "reading {}: {error}\nhelp: the example is \
             /usr/share/doc/two-node-ha/two-node-ha.toml.example; see two-node-ha.toml(5)",
            path.display()
        )
    })?;
    let hostname = nix::unistd::gethostname()
        .map_err(|error| format!("asking for the host's name: {error}"))?
        .to_string_lossy()
        .into_owned();
    let host = match &selection.node {
        Some(name) => Host::Node(name),
        None => Host::Hostname(&hostname),
    };
    parse(&text, &path.display().to_string(), host).map_err(|diagnostics| diagnostics.to_string())
}
