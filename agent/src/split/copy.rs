//! The copy of the loser's data.

use std::path::PathBuf;
use std::sync::Arc;

use two_node_ha_config::Config;

use super::act::Copier;

/// The copies of this node.
#[derive(Debug)]
pub struct Copies {
    /// The configuration.
    pub config: Arc<Config>,
    /// Below which everything is; `/`, but for tests.
    pub root: PathBuf,
}

impl Copier for Copies {
    fn copy(&self) -> Result<String, String> {
        Err(format!(
            "this version makes no copies of {} itself",
            self.config.volume.resource
        ))
    }
}
