//! The snap's services and the failover unit, as systemd has them.

use two_node_ha_config::Config;
use two_node_ha_planner::observation::Services;

use super::live;
use crate::systemd::{UnitState, Units};

/// How the services stand, of which these are the units, and whether the failover unit is up or on its way.
/// Of a systemd that does not answer the worst is assumed: something may run, and somebody holds the role.
#[must_use]
pub fn look(
    systemd: &dyn Units,
    config: &Config,
    (mut units, failover): (Vec<String>, &str),
) -> (Services, bool) {
    units.push(failover.to_owned());
    match systemd.states(&units) {
        Ok(states) => {
            let unit = states.get(failover).copied();
            let up = matches!(unit, Some(UnitState::Active | UnitState::Changing));
            (live::services(config, &states), up)
        }
        Err(error) => {
            tracing::error!(%error, "the services' states are unknown");
            (Services::Partly, true)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use two_node_ha_command::Interrupt;
    use two_node_ha_planner::world::config;

    use super::*;
    use crate::systemd::Error;

    /// A systemd that answers this, or not at all.
    #[derive(Debug)]
    struct Systemd(Option<HashMap<String, UnitState>>);

    impl Units for Systemd {
        fn states(&self, units: &[String]) -> Result<HashMap<String, UnitState>, Error> {
            let Some(states) = &self.0 else {
                return Err(Error::Slow {
                    action: "list",
                    unit: units[0].clone(),
                    waited: Duration::from_secs(25),
                });
            };
            let state = |unit: &String| states.get(unit).copied().unwrap_or(UnitState::Stopped);
            Ok(units.iter().map(|u| (u.clone(), state(u))).collect())
        }

        fn start(
            &self,
            _: &[String],
            _: Duration,
            _: &Interrupt,
            _: &mut dyn FnMut(),
        ) -> Result<(), Error> {
            panic!("nobody asked for it")
        }

        fn stop(&self, _: &[String], _: Duration, _: &mut dyn FnMut()) -> Result<(), Error> {
            panic!("nobody asked for it")
        }

        fn kill(&self, _: &str) {
            panic!("nobody asked for it")
        }

        fn shutting_down(&self) -> bool {
            panic!("nobody asked for it")
        }
    }

    const FAILOVER: &str = "failover.service";

    fn seen(systemd: &Systemd) -> (Services, bool) {
        look(systemd, &config(), (Vec::new(), FAILOVER))
    }

    #[test]
    fn services_of_which_systemd_says_nothing_are_not_taken_for_stopped_nor_the_role_for_free() {
        assert_eq!(seen(&Systemd(None)), (Services::Partly, true));
    }

    #[test]
    fn the_failover_unit_holds_the_role_from_its_start_to_its_end() {
        for (state, holds) in [
            (UnitState::NotThere, false),
            (UnitState::Stopped, false),
            (UnitState::Active, true),
            (UnitState::Changing, true),
        ] {
            let states = HashMap::from([(FAILOVER.to_owned(), state)]);
            let seen = seen(&Systemd(Some(states)));
            assert_eq!(seen, (Services::Stopped, holds), "{state:?}");
        }
    }
}
