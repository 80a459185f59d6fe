//! The snap's services and the failover unit, as systemd has them.

use std::collections::BTreeSet;

use two_node_ha_config::Config;
use two_node_ha_planner::observation::Services;

use super::live;
use crate::k8s::{datastore_units, gated_units};
use crate::systemd::{UnitState, Units};

/// What systemd says.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// How the services stand.
    pub services: Services,
    /// Those beside the datastore that do not run and should, where the datastore does.
    pub down: BTreeSet<String>,
    /// Whether the failover unit is up or on its way.
    pub failover: bool,
}

/// How the services stand, and the failover unit. Of a systemd that does not answer the worst is assumed:
/// something may run, and somebody holds the role.
#[must_use]
pub fn look(systemd: &dyn Units, config: &Config, failover: &str) -> Seen {
    let mut units = gated_units(config);
    units.extend(datastore_units(config));
    units.push(failover.to_owned());
    match systemd.states(&units) {
        Ok(states) => {
            let unit = states.get(failover).copied();
            Seen {
                services: live::services(config, &states),
                down: live::down(config, &states),
                failover: matches!(unit, Some(UnitState::Active | UnitState::Changing)),
            }
        }
        Err(error) => {
            tracing::error!(%error, "the services' states are unknown");
            Seen {
                services: Services::Partly,
                down: BTreeSet::new(),
                failover: true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use two_node_ha_planner::world::config;

    use super::*;
    use crate::systemd_as_told::AsTold;

    const FAILOVER: &str = "failover.service";

    fn seen(systemd: &AsTold) -> Seen {
        look(systemd, &config(), FAILOVER)
    }

    /// With every service in one state, but these.
    fn with(state: UnitState, others: &[(&str, UnitState)]) -> Seen {
        let (systemd, config) = (AsTold::default(), config());
        {
            let mut states = systemd.states.borrow_mut();
            for unit in gated_units(&config) {
                states.insert(unit, state);
            }
            for (service, state) in others {
                states.insert(config.k8s.unit(service), *state);
            }
        }
        seen(&systemd)
    }

    #[test]
    fn services_of_which_systemd_says_nothing_are_not_taken_for_stopped_nor_the_role_for_free() {
        let systemd = AsTold {
            silent: true,
            ..AsTold::default()
        };
        let seen = seen(&systemd);
        assert_eq!((seen.services, seen.failover), (Services::Partly, true));
    }

    #[test]
    fn the_failover_unit_holds_the_role_from_its_start_to_its_end() {
        for (state, holds) in [
            (UnitState::NotThere, false),
            (UnitState::Stopped, false),
            (UnitState::Failed, false),
            (UnitState::Active, true),
            (UnitState::Changing, true),
        ] {
            let systemd = AsTold::default();
            let units = &systemd.states;
            units.borrow_mut().insert(FAILOVER.to_owned(), state);
            let seen = seen(&systemd);
            assert_eq!((seen.services, seen.failover), (Services::Stopped, holds));
        }
    }

    #[test]
    fn the_datastore_runs_or_it_does_not_whatever_the_other_services_do() {
        use UnitState::{Active, Changing, Failed, NotThere, Stopped};
        for state in [NotThere, Stopped, Failed, Active, Changing] {
            for k8sd in [NotThere, Stopped, Failed, Active, Changing] {
                let of = |dqlite| with(state, &[("k8sd", k8sd), ("k8s-dqlite", dqlite)]).services;
                let up = |state| matches!(state, Active | Changing);
                assert_eq!(of(Active), Services::Running);
                assert_eq!(of(Changing), Services::Partly);
                for dqlite in [NotThere, Stopped, Failed] {
                    let expected = match (up(k8sd), up(state)) {
                        (true, _) => Services::Partly,
                        (false, true) => Services::Others,
                        (false, false) => Services::Stopped,
                    };
                    assert_eq!(of(dqlite), expected, "{state:?} {k8sd:?} {dqlite:?}");
                }
            }
        }
    }

    #[test]
    fn a_service_that_has_failed_is_down_and_k8sd_wherever_it_does_not_run() {
        use UnitState::{Active, Changing, Failed, NotThere, Stopped};
        let names = |seen: Seen| seen.down.into_iter().collect::<Vec<_>>();
        for (k8sd, down) in [
            (Active, false),
            (Changing, false),
            (Failed, true),
            (Stopped, true),
            // Masked, or no part of the snap any more.
            (NotThere, true),
        ] {
            let seen = with(Active, &[("k8sd", k8sd)]);
            assert_eq!(names(seen) == ["k8sd"], down, "{k8sd:?}");
        }
        assert_eq!(names(with(Active, &[("kubelet", Failed)])), ["kubelet"]);
        // Somebody has stopped it, or masked it.
        for state in [Stopped, NotThere] {
            assert!(with(Active, &[("kubelet", state)]).down.is_empty());
        }
        // The datastore is another matter.
        assert!(with(Active, &[("k8s-dqlite", Failed)]).down.is_empty());
    }
}
