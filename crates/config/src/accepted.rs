//! Which configuration is gone on with: the file in `/etc`, or, while that cannot be used, the one
//! that an agent has last accepted.
//!
//! *Accepted* means: valid for this host, and taken by a running agent, which then keeps the file's
//! bytes at [`ACCEPTED`](crate::ACCEPTED). A typo must not undo what runs (a voter whose configuration vanishes is
//! torn down by Pacemaker in the middle of its writes), so everything that acts on a node chooses
//! here, and says loudly what it has chosen.

use std::fmt;
use std::time::SystemTime;

use crate::diag::Diagnostics;
use crate::difference;
use crate::file::{Content, Found};
use crate::parse::{decode, parse};
use crate::schema::{Config, Host};
use crate::units::format_time;

/// Why a file gave no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// It is not there.
    Missing {
        /// Its name.
        file: String,
    },
    /// It cannot be used, for a reason that has no place in it: in a sentence. Mostly that it cannot
    /// be read.
    Unusable(String),
    /// It is wrong, or not meant for this host.
    Invalid(Diagnostics),
}

impl Broken {
    /// In one line, with the first error.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Missing { file } => format!("{file} is not there"),
            Self::Unusable(why) => why.clone(),
            Self::Invalid(diagnostics) => {
                let errors = diagnostics.errors();
                let more = match errors {
                    0 | 1 => String::new(),
                    n => format!(" (the first of {n} errors)"),
                };
                let first = diagnostics
                    .items()
                    .iter()
                    .find(|d| d.severity == crate::Severity::Error);
                let (line, message) = first.map_or((0, ""), |d| (d.line, d.message.as_str()));
                format!(
                    "{} is invalid: line {line}: {message}{more}",
                    diagnostics.file()
                )
            }
        }
    }
}

impl fmt::Display for Broken {
    /// All of it, each line ended by a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { file } => writeln!(
                f,
                "error: there is no configuration {file}; an example is \
                 /usr/share/doc/two-node-ha/two-node-ha.toml.example"
            ),
            Self::Unusable(why) => writeln!(f, "error: {why}"),
            Self::Invalid(diagnostics) => write!(f, "{diagnostics}"),
        }
    }
}

/// The configuration that is gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The configuration.
    pub config: Config,
    /// The bytes that it was read from.
    pub bytes: Vec<u8>,
    /// Why it is the accepted one, if it is.
    pub fallback: Option<Fallback>,
}

/// The file in `/etc` cannot be used, and the accepted one is gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// What is wrong with the file in `/etc`.
    pub broken: Broken,
    /// The accepted file.
    pub accepted: String,
    /// When it was accepted, where the file system says so.
    pub since: Option<SystemTime>,
    /// The lines in which the file in `/etc` differs from the accepted one, secrets left out; empty
    /// where there is nothing to compare.
    pub difference: Vec<String>,
}

impl Fallback {
    /// For every screen: what is wrong, what is gone on with, what to type. In one line.
    #[must_use]
    pub fn warning(&self) -> String {
        let remedy = match self.broken {
            Broken::Missing { .. } => format!(
                "Put it back from {}; see two-node-ha(8), WHAT TO TYPE WHEN",
                self.accepted
            ),
            Broken::Unusable(_) | Broken::Invalid(_) => {
                "`two-node-ha check` shows what is wrong; once it is corrected, `systemctl \
                 daemon-reload` and `systemctl restart two-node-ha-k8s`"
                    .to_owned()
            }
        };
        format!(
            "THE CONFIGURATION CANNOT BE USED: {}. This node goes on with {}. {remedy}",
            self.broken.brief(),
            self.accepted_in_words()
        )
    }

    /// "the configuration that was accepted on …".
    #[must_use]
    pub fn accepted_in_words(&self) -> String {
        match self.since {
            Some(since) => format!(
                "the configuration that was accepted on {}",
                format_time(since)
            ),
            None => "the configuration that was accepted last".to_owned(),
        }
    }

    /// The difference with its heading, each line ended by a newline; empty where there is none.
    #[must_use]
    pub fn difference(&self) -> String {
        if self.difference.is_empty() {
            return String::new();
        }
        format!(
            "The lines that differ, - as accepted ({}) and + as they are now:\n{}\n",
            self.accepted,
            self.difference.join("\n")
        )
    }
}

/// Neither file can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neither {
    /// What is wrong with the file in `/etc`.
    pub broken: Broken,
    /// What is wrong with the accepted one, where there is one.
    pub accepted: Option<String>,
}

impl fmt::Display for Neither {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.broken)?;
        match &self.accepted {
            None => Ok(()),
            Some(why) => writeln!(
                f,
                "note: nor can the configuration that was accepted last be used: {why}"
            ),
        }
    }
}

/// Chooses. `accepted` is read only where it is needed, which on a node in order is never.
///
/// # Errors
/// When neither can be used. A damaged accepted file, or one of another host, is as good as none.
pub fn choose(
    present: &Found,
    accepted: impl FnOnce() -> Found,
    host: Host<'_>,
) -> Result<Chosen, Neither> {
    let broken = match usable(present, host) {
        Ok((config, bytes)) => {
            return Ok(Chosen {
                config,
                bytes: bytes.to_vec(),
                fallback: None,
            });
        }
        Err(broken) => broken,
    };
    fall_back(present, broken, &accepted(), host)
}

/// The accepted configuration in the place of a file that cannot be used.
fn fall_back(
    present: &Found,
    broken: Broken,
    accepted: &Found,
    host: Host<'_>,
) -> Result<Chosen, Neither> {
    match usable(accepted, host) {
        Ok((config, bytes)) => Ok(Chosen {
            config,
            bytes: bytes.to_vec(),
            fallback: Some(Fallback {
                broken,
                accepted: accepted.name.clone(),
                since: accepted.modified(),
                difference: match &present.content {
                    Content::Read { bytes: now, .. } => difference::lines(bytes, now),
                    Content::Missing | Content::Unreadable(_) => Vec::new(),
                },
            }),
        }),
        Err(Broken::Missing { .. }) => Err(Neither {
            broken,
            accepted: None,
        }),
        Err(why @ (Broken::Unusable(_) | Broken::Invalid(_))) => Err(Neither {
            broken,
            accepted: Some(why.brief()),
        }),
    }
}

/// The configuration in a file, for this host, and its bytes.
fn usable<'f>(found: &'f Found, host: Host<'_>) -> Result<(Config, &'f [u8]), Broken> {
    match &found.content {
        Content::Missing => Err(Broken::Missing {
            file: found.name.clone(),
        }),
        Content::Unreadable(why) => Err(Broken::Unusable(format!(
            "cannot read the configuration {}: {why}",
            found.name
        ))),
        Content::Read { bytes, .. } => decode(bytes, &found.name)
            .and_then(|text| parse(text, &found.name, host))
            .map(|config| (config, bytes.as_slice()))
            .map_err(Broken::Invalid),
    }
}

impl Found {
    /// When it was last written.
    fn modified(&self) -> Option<SystemTime> {
        match self.content {
            Content::Read { modified, .. } => modified,
            Content::Missing | Content::Unreadable(_) => None,
        }
    }
}
