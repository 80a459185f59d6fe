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

#[cfg(test)]
mod tests {
    use std::fs;

    use two_node_ha_planner::world;

    use super::*;

    const DATA: &[u8] = &[b'a'; 4 << 20];

    /// haone with four mebibytes of data. Where nothing can be cloned, so that they are read; and not in
    /// /tmp, which may be fuller than a copy may leave it.
    fn node() -> (tempfile::TempDir, Copies) {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let here = Copies {
            config: Arc::new(world::config()),
            root: root.path().to_owned(),
        };
        let backing = kept(&here).backing().to_owned();
        fs::create_dir_all(backing.parent().unwrap()).unwrap();
        fs::write(backing, DATA).unwrap();
        (root, here)
    }

    fn kept(here: &Copies) -> copies::Copies {
        copies::Copies::open(&here.config, &here.root)
    }

    #[test]
    fn the_data_is_copied_and_on_the_way_it_is_said_how_far() {
        let (_root, here) = node();
        let mut said = Vec::new();
        let name = here
            .copy(&Interrupt::default(), &mut |text| {
                said.push(text.to_owned())
            })
            .unwrap();
        let copy = kept(&here).get(&name).unwrap();
        assert_eq!(copy.record.why, copies::Why::SplitBrain);
        assert_eq!(fs::read(copy.path).unwrap(), DATA);
        assert_eq!(
            said,
            [25, 50, 75, 100].map(|done| format!("copying the data of this node: {done} %"))
        );
    }

    #[test]
    fn each_percent_is_said_once() {
        let mut said = Vec::new();
        let mut progress = |text: &str| said.push(text.to_owned());
        let mut way = Way {
            interrupt: &Interrupt::default(),
            progress: &mut progress,
            said: None,
        };
        for done in [0, 1, 9, 10, 11, 20] {
            copies::Progress::step(&mut way, done, 1000);
        }
        assert_eq!(
            said,
            [0, 1, 2].map(|done| format!("copying the data of this node: {done} %"))
        );
    }

    #[test]
    fn a_copy_that_is_wanted_no_more_is_given_up_and_leaves_nothing() {
        let (_root, here) = node();
        let interrupt = Interrupt::default();
        interrupt.set(true);
        let why = here.copy(&interrupt, &mut |_| {}).unwrap_err();
        assert!(why.contains("given up"), "{why}");
        assert!(kept(&here).list().unwrap().copies.is_empty());
    }
}
