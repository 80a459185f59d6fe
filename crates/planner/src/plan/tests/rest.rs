//! The snap's services beside the datastore.

use super::exhaustive::invariants;
use super::observations::every_observation;
use crate::observation::*;
use crate::record::Epoch;
use crate::world::*;
use crate::{Database, State, Step, plan};

fn down(services: &[&str], due: bool) -> Rest {
    Rest {
        down: services.iter().map(|&name| name.to_owned()).collect(),
        due,
    }
}

/// haone, whose datastore runs on the volume.
fn voter() -> Observation {
    let mut o = booted();
    o.journal.highest_epoch = 1;
    given_the_volume(&mut o, Known::Present(Epoch::first("haone")));
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    (o.services, o.token, o.confirmed) = (Services::Running, true, true);
    o
}

/// haone, the spare of hatwo's voter.
fn spare() -> Observation {
    let mut o = booted();
    (o.services, o.token) = (Services::Running, true);
    o.peer_report = Asked::Answer(report(State::PrimaryRunning, o.journal.highest_epoch));
    o
}

#[test]
fn a_service_that_does_not_run_is_said_and_started_when_it_is_due_and_the_role_stays_what_it_is() {
    for whole in [voter(), spare()] {
        let before = decide(&whole);
        assert!(before.settled, "{before:#?}");
        for (due, steps) in [(false, vec![]), (true, vec![Step::StartRest])] {
            let mut o = whole.clone();
            o.rest = down(&["k8sd"], due);
            let decision = decide(&o);
            assert_eq!((decision.state, decision.settled), (before.state, !due));
            assert_eq!(decision.steps, steps);
            let said = decision.warnings.join("; ");
            for words in [
                "the service k8sd of the snap does not run",
                "journalctl -b -u 'snap.*.k8sd.service'",
            ] {
                assert!(said.contains(words), "{said}");
            }
        }
    }
}

#[test]
fn several_are_said_in_one_sentence_with_one_command_for_all_of_them() {
    let mut o = voter();
    o.rest = down(&["kubelet", "containerd"], false);
    let said = decide(&o).warnings.join("; ");
    assert!(said.contains("services containerd, kubelet of the snap do not run"));
    let command = "`journalctl -b -u 'snap.*.containerd.service' -u 'snap.*.kubelet.service'`";
    assert!(said.contains(command), "{said}");
}

#[test]
fn k8sd_is_not_started_beside_a_voter_of_another_epoch_nor_where_its_own_has_gone_astray() {
    let mut o = spare();
    o.rest = down(&["k8sd"], true);
    o.peer_report = Asked::Answer(report(State::SecondaryWait, o.journal.highest_epoch));
    assert!(!decide(&o).steps.contains(&Step::StartRest));
    o.peer_report = Asked::Silent("no route to host".into());
    assert!(!decide(&o).steps.contains(&Step::StartRest));
}

#[test]
fn whatever_is_down_no_decision_breaks_an_invariant_and_none_waits_for_it() {
    let config = config();
    let mut started = 0_u64;
    every_observation(|o| {
        if o.services != Services::Running {
            return;
        }
        let without = plan(o, &config);
        let mut o = o.clone();
        o.rest = down(&["k8sd", "kubelet"], true);
        let mut with = plan(&o, &config);
        if let Err(broken) = invariants(&o, &config, &with) {
            panic!("{broken}\n{o:#?}\n{with:#?}");
        }
        if with.steps == [Step::StartRest] {
            started += 1;
            with.steps.clear();
            with.settled = without.settled;
        }
        with.warnings.clone_from(&without.warnings);
        assert_eq!(with, without, "it changes what is none of its business");
    });
    assert!(started > 0);
}

#[test]
fn what_writes_no_database_may_run_while_links_and_databases_change() {
    let mut o = taking_over();
    let decision = decide(&o);
    assert_eq!(
        decision.steps.first(),
        Some(&Step::BeginEpoch),
        "{decision:#?}"
    );
    assert!(!decision.steps.contains(&Step::StopServices));
    assert!(decision.steps.contains(&Step::StartServices));
    // Half-way, with the links on the volume.
    o.epoch = Known::Present(Epoch::first("hatwo").taken_over_by("haone"));
    o.journal.highest_epoch = 2;
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    let decision = decide(&o);
    assert_eq!(
        decision.steps.first(),
        Some(&Step::Recover(Database::ALL[0])),
        "{decision:#?}"
    );
}

/// haone, whose peer was fenced, with the volume of hatwo, its databases stopped and its API server up.
fn taking_over() -> Observation {
    let mut o = booted();
    o.journal.highest_epoch = 1;
    given_the_volume(&mut o, Known::Present(Epoch::first("hatwo")));
    o.services = Services::Others;
    o.peer_report = Asked::Silent("it was fenced".into());
    o.peer_node = Asked::Answer(PeerNode::Down);
    o
}

#[test]
fn what_has_served_from_a_volume_that_is_another_nodes_by_now_is_stopped_before_anything_changes() {
    let mut o = booted();
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    o.services = Services::Others;
    assert_eq!(decide(&o).steps[0], Step::StopServices);
    let mut o = taking_over();
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    assert_eq!(decide(&o).steps[0], Step::StopServices);
    // But nothing waits for it on the way down.
    o.request = Request::Release;
    assert!(!decide(&o).steps.contains(&Step::StopServices));
}
