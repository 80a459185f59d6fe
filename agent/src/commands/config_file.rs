//! Reading the configuration, once for all commands.

use std::io;
use std::path::{Path, PathBuf};

use two_node_ha_config::{
    ACCEPTED, Chosen, Config, Diagnostics, Host, Parsed, decode, parse_with_warnings,
};
use two_node_ha_node::Paths;

/// Which configuration, and which of its nodes this host is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take this host for that node instead of asking `uname -n`
    #[arg(long, value_name = "NAME", env = NODE_VARIABLE)]
    pub node: Option<String>,
}

/// Environment variable that says which of the two nodes this is.
const NODE_VARIABLE: &str = "TWO_NODE_HA_NODE";

/// Why a file gave no configuration.
#[derive(Debug)]
pub enum Refused {
    /// It could not be read.
    Unreadable(String),
    /// It is wrong.
    Invalid(Diagnostics),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(why) => writeln!(f, "error: {why}"),
            Self::Invalid(d) => write!(f, "{d}"),
        }
    }
}

/// Reads and parses a configuration file.
///
/// # Errors
/// If it cannot be read or is not valid; all its errors.
pub fn read(file: &Path, host: Host<'_>) -> Result<Parsed, Refused> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|e| {
        let mut why = format!("cannot read the configuration {name}: {e}");
        if e.kind() == io::ErrorKind::NotFound {
            why += "; an example is /usr/share/doc/two-node-ha/two-node-ha.toml.example";
        }
        Refused::Unreadable(why)
    })?;
    let text = decode(&bytes, &name).map_err(Refused::Invalid)?;
    parse_with_warnings(text, &name, host).map_err(Refused::Invalid)
}

/// Reads the configuration of this node for a command that needs a valid one; the error is the
/// whole diagnostic, ready to be printed. While the file in `/etc` cannot be used, it is the one that
/// was accepted last, and standard error says so.
///
/// # Errors
/// When neither can be used.
pub fn load(selection: &Selection, paths: &Paths) -> Result<Config, String> {
    let Chosen {
        config, fallback, ..
    } = choose(selection, paths)?;
    if let Some(fallback) = fallback {
        eprint!("warning: {}\n{}", fallback.warning(), fallback.difference());
    }
    Ok(config)
}

/// Which configuration this node goes on with. A file that was named on the command line is judged
/// by itself.
///
/// # Errors
/// When there is none that can be used: the whole diagnostic, ready to be printed.
pub fn choose(selection: &Selection, paths: &Paths) -> Result<Chosen, String> {
    let hostname;
    let host = match &selection.node {
        Some(name) => Host::Node(name),
        None => {
            hostname = self::hostname(paths)
                .map_err(|error| format!("error: cannot ask for the host's name: {error}"))?;
            Host::Hostname(&hostname)
        }
    };
    if let Some(file) = &selection.config {
        return match read(file, host) {
            Ok(parsed) => Ok(Chosen {
                config: parsed.config,
                bytes: Vec::new(),
                fallback: None,
            }),
            Err(refused) => Err(refused.to_string()),
        };
    }
    let at = |path: &str| {
        let path = paths.at(Path::new(path));
        two_node_ha_config::read(&path, &path.display().to_string())
    };
    let present = at(two_node_ha_config::PATH);
    two_node_ha_config::choose(&present, || at(ACCEPTED), host)
        .map_err(|neither| neither.to_string())
}

/// For a command that asks only the agent: what is wrong with the configuration now, if anything,
/// which an agent that has run since before cannot know. Nothing of what is in `said` already.
pub fn warn_beside(paths: &Paths, said: &[String]) {
    let selection = Selection {
        config: None,
        node: std::env::var(NODE_VARIABLE).ok(),
    };
    match choose(&selection, paths) {
        Ok(Chosen { fallback: None, .. }) => {}
        Ok(Chosen {
            fallback: Some(fallback),
            ..
        }) => {
            let warning = fallback.warning();
            if !said.contains(&warning) {
                eprintln!("warning: {warning}");
            }
            eprint!("{}", fallback.difference());
        }
        Err(diagnostic) => eprint!("{diagnostic}"),
    }
}

/// The default file is below the root; a file that was named is where it was said to be.
#[must_use]
pub fn located(file: &Path, paths: &Paths) -> PathBuf {
    if file == Path::new(two_node_ha_config::PATH) {
        paths.config()
    } else {
        file.to_owned()
    }
}

/// `uname -n`.
///
/// # Errors
/// What the system says.
pub fn hostname(paths: &Paths) -> io::Result<String> {
    let name = std::fs::read_to_string(paths.at(Path::new("/proc/sys/kernel/hostname")))?;
    Ok(name.trim_end().to_owned())
}
