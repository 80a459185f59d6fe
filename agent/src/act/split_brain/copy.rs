//! The copy of the loser's data.

use std::path::PathBuf;
use std::sync::Arc;

use two_node_ha_command::Interrupt;
use two_node_ha_config::Config;
use two_node_ha_copies as copies;

use crate::act::Progress;
use crate::act::split_brain::Copier;

/// The copies of this node.
#[derive(Debug)]
pub struct Copies {
    /// The configuration.
    pub config: Arc<Config>,
    /// Below which everything is; `/`, but for tests.
    pub root: PathBuf,
}

/// Says how far it is, and asks whether to go on.
struct Way<'a, 'p> {
    interrupt: &'a Interrupt,
    progress: &'a mut Progress<'p>,
    said: Option<u64>,
}

impl copies::Progress for Way<'_, '_> {
    fn step(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100).checked_div(total);
        if self.said != percent {
            self.said = percent;
            (self.progress)(&format!(
                "copying the data of this node: {} %",
                percent.unwrap_or(100)
            ));
        }
    }

    fn is_over(&self) -> bool {
        self.interrupt.is_set()
    }
}

impl Copier for Copies {
    fn copy(&self, interrupt: &Interrupt, progress: &mut Progress<'_>) -> Result<String, String> {
        let mut way = Way {
            interrupt,
            progress,
            said: None,
        };
        copies::Copies::open(&self.config, &self.root)
            .make(copies::Why::SplitBrain, copies::Limits::default(), &mut way)
            .map(|copy| copy.name)
            .map_err(|refused| refused.to_string())
    }
}
