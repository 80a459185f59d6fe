//! The configuration that the agent runs with: accepted once it runs, and compared with the peer's.

use std::path::Path;

use two_node_ha_config::Chosen;
use two_node_ha_node::Paths;

use crate::store::accepted;

/// How the agent's own configuration stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// It is the file in `/etc`: its bytes, to be kept.
    Present(Vec<u8>),
    /// It is the one accepted last, and kept already: the warning.
    Accepted(String),
    /// It is a file that was named on the command line, which nobody else reads.
    Named,
}

impl Standing {
    /// Says in the journal in what the file in `/etc` differs, where it cannot be used.
    pub(super) fn of(chosen: &Chosen) -> Self {
        match &chosen.fallback {
            Some(fallback) => {
                let difference = fallback.difference();
                if !difference.is_empty() {
                    tracing::warn!("{}", difference.trim_end());
                }
                Self::Accepted(fallback.warning())
            }
            // An empty file is no valid one; of one that was named the bytes are not handed on.
            None if chosen.bytes.is_empty() => Self::Named,
            None => Self::Present(chosen.bytes.clone()),
        }
    }

    /// Accepts it; what is to be said of it from now on. A disk on which nothing can be kept keeps no
    /// agent from running.
    pub(super) fn accept(self, paths: &Paths) -> Option<String> {
        match self {
            Self::Named => None,
            Self::Accepted(warning) => Some(warning),
            Self::Present(bytes) => keep(&paths.accepted(), &bytes),
        }
    }
}

fn keep(path: &Path, bytes: &[u8]) -> Option<String> {
    match accepted::keep(path, bytes) {
        Ok(false) => None,
        Ok(true) => {
            tracing::info!(
                "the configuration is accepted, and kept as {}",
                path.display()
            );
            None
        }
        Err(error) => Some(format!(
            "the configuration cannot be kept as {} ({error}): a typo in /etc/two-node-ha.toml would \
             keep the agent from starting. Make room, or the file system writable, then `systemctl \
             restart two-node-ha-k8s`",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use two_node_ha_planner::world::{TOML, config};

    fn chosen(bytes: &[u8]) -> Chosen {
        Chosen {
            config: config(),
            bytes: bytes.to_vec(),
            fallback: None,
        }
    }

    #[test]
    fn a_valid_file_is_accepted_by_the_agent_that_runs_with_it() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::rooted(root.path().into());
        let standing = Standing::of(&chosen(TOML.as_bytes()));
        assert!(!paths.accepted().exists(), "before it runs");
        assert_eq!(standing.accept(&paths), None);
        assert_eq!(std::fs::read_to_string(paths.accepted()).unwrap(), TOML);
        let mode = std::fs::metadata(paths.accepted()).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_named_on_the_command_line_is_not_what_the_others_would_go_on_with() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::rooted(root.path().into());
        assert_eq!(Standing::of(&chosen(b"")).accept(&paths), None);
        assert!(!paths.accepted().exists());
    }

    #[test]
    fn an_agent_that_cannot_keep_its_configuration_runs_and_says_so() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::rooted(root.path().into());
        std::fs::create_dir_all(paths.accepted()).unwrap();
        let said = Standing::of(&chosen(b"x")).accept(&paths).unwrap();
        assert!(said.contains("cannot be kept"), "{said}");
    }
}
