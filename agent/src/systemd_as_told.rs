//! A systemd for tests: its units are as it was told, and it notes what it is asked to start.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use two_node_ha_command::Interrupt;

use crate::systemd::{Error, UnitState, Units};

/// Stopped is what it was told nothing of. Whatever else is asked is asked by mistake.
#[derive(Debug, Clone, Default)]
pub struct AsTold {
    /// The units' states.
    pub states: Rc<RefCell<HashMap<String, UnitState>>>,
    /// What was to be started, in that order.
    pub started: Rc<RefCell<Vec<String>>>,
    /// How long each call would have waited for its units.
    pub waited: Rc<RefCell<Vec<Duration>>>,
    /// It does not answer when it is asked how the units stand.
    pub silent: bool,
    /// The unit whose start does not end.
    pub slow: Option<&'static str>,
}

impl Units for AsTold {
    fn states(&self, units: &[String]) -> Result<HashMap<String, UnitState>, Error> {
        if self.silent {
            return Err(slow("list", &units[0], Duration::from_secs(25)));
        }
        let states = self.states.borrow();
        let state = |unit: &String| states.get(unit).copied().unwrap_or(UnitState::Stopped);
        Ok(units.iter().map(|u| (u.clone(), state(u))).collect())
    }

    fn start(
        &self,
        units: &[String],
        within: Duration,
        _: &Interrupt,
        _: &mut dyn FnMut(),
    ) -> Result<(), Error> {
        self.started.borrow_mut().extend_from_slice(units);
        self.waited.borrow_mut().push(within);
        match units.iter().find(|unit| Some(unit.as_str()) == self.slow) {
            None => Ok(()),
            Some(unit) => Err(slow("start", unit, within)),
        }
    }

    fn stop(&self, _: &[String], _: Duration, _: &mut dyn FnMut()) -> Result<(), Error> {
        panic!("nobody asked for it")
    }

    fn kill(&self, _: &str) {
        panic!("nobody asked for it")
    }

    fn shutting_down(&self) -> bool {
        false
    }
}

fn slow(action: &'static str, unit: &str, waited: Duration) -> Error {
    Error::Slow {
        action,
        unit: unit.to_owned(),
        waited,
    }
}
