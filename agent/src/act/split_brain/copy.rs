//! The copy of the loser's data.

use std::path::PathBuf;
use std::sync::Arc;

use two_node_ha_config::Config;
use two_node_ha_copies as copies;

use crate::act::split_brain::Copier;

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
        copies::Copies::open(&self.config, &self.root)
            .make(copies::Why::SplitBrain, copies::Limits::default(), &mut ())
            .map(|copy| copy.name)
            .map_err(|refused| refused.to_string())
    }
}
