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
    use two_node_ha_planner::world::config;

    use super::*;
    use crate::systemd_as_told::AsTold;

    const FAILOVER: &str = "failover.service";

    fn seen(systemd: &AsTold) -> (Services, bool) {
        look(systemd, &config(), (Vec::new(), FAILOVER))
    }

    #[test]
    fn services_of_which_systemd_says_nothing_are_not_taken_for_stopped_nor_the_role_for_free() {
        let systemd = AsTold {
            silent: true,
            ..AsTold::default()
        };
        assert_eq!(seen(&systemd), (Services::Partly, true));
    }

    #[test]
    fn the_failover_unit_holds_the_role_from_its_start_to_its_end() {
        for (state, holds) in [
            (UnitState::NotThere, false),
            (UnitState::Stopped, false),
            (UnitState::Active, true),
            (UnitState::Changing, true),
        ] {
            let systemd = AsTold::default();
            let units = &systemd.states;
            units.borrow_mut().insert(FAILOVER.to_owned(), state);
            assert_eq!(seen(&systemd), (Services::Stopped, holds), "{state:?}");
        }
    }
}
