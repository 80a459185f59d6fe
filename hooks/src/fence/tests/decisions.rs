//! Single decisions, from situations that a whole call hardly comes into.

use std::time::Duration;

use two_node_ha_command::scripted::Scripted;
use two_node_ha_config::FencingMode;
use two_node_ha_drbd::{Decision, DiskState};
use two_node_ha_pacemaker::{FencingConstraint, PeerNode, parse_cib};

use super::super::disks;
use two_node_ha_fence::answer::{Answer, Level};
use two_node_ha_fence::decide::{Next, decide};
use two_node_ha_fence::situation::{Cluster, Done, Situation};
use two_node_ha_fence::{Data, Disks, Known, Standing, Subject, View};

/// What a decision is about; a link that was cut, and a cluster that is whole, until a test says else.
pub(super) struct Case {
    pub(super) subject: Subject,
    pub(super) disks: Disks,
    pub(super) cluster: Cluster,
    pub(super) done: Done,
    pub(super) elapsed: u64,
    pub(super) last: bool,
    pub(super) over: bool,
}

pub(super) fn constraint() -> FencingConstraint {
    FencingConstraint::new("r0", "drbd_master_slave", "alpha").marked()
}

pub(super) fn view() -> View {
    View {
        peer: PeerNode::Online,
        dc: true,
        quorum: true,
        fencing_enabled: true,
        maintenance: false,
        knows: Known::Both,
        ours: Some(constraint()),
        role: "Promoted",
        standing: Standing::Absent,
    }
}

pub(super) fn case(view: View) -> Case {
    Case {
        subject: Subject {
            resource: "r0".into(),
            me: "alpha".into(),
            peer: "beta".into(),
            mode: FencingMode::Stonith,
        },
        disks: Disks {
            local: vec![DiskState::UpToDate],
            peer: vec![DiskState::DUnknown],
            primary: true,
            peer_primary: true,
        },
        cluster: Cluster::Seen(view),
        done: Done::default(),
        elapsed: 1,
        last: false,
        over: false,
    }
}

impl Case {
    pub(super) fn decide(self) -> Next {
        decide(&Situation {
            subject: &self.subject,
            disks: &Ok(self.disks),
            cluster: &self.cluster,
            done: &self.done,
            elapsed: Duration::from_secs(self.elapsed),
            last: self.last,
            over: self.over,
        })
    }

    pub(super) fn answer(self) -> Answer {
        match self.decide() {
            Next::Answer(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The decision of the answer, and its reason.
    pub(super) fn answers(self) -> (Decision, String) {
        let answer = self.answer();
        (answer.decision, answer.reason)
    }
}

#[test]
fn a_pacemaker_that_does_not_run_is_given_the_time_of_a_restart_and_one_that_runs_more() {
    let silent = |running, elapsed| Case {
        cluster: Cluster::Silent {
            why: "no socket".into(),
            running,
        },
        elapsed,
        ..case(view())
    };
    assert!(matches!(silent(false, 4).decide(), Next::Wait(_)));
    assert_eq!(silent(false, 5).answers().0, Decision::NoCluster);
    assert!(matches!(silent(true, 60).decide(), Next::Wait(_)));
}

#[test]
fn where_pacemaker_has_no_clone_or_no_node_of_a_name_nothing_is_placed_and_the_name_is_told() {
    let no_clone = View {
        ours: None,
        ..view()
    };
    assert_eq!(case(no_clone).answers().0, Decision::NoClone);
    for (knows, name) in [(Known::NotMe, "alpha"), (Known::NotPeer, "beta")] {
        let (decision, reason) = case(View { knows, ..view() }).answers();
        assert_eq!(decision, Decision::NoNode);
        assert!(reason.contains(name), "{reason}");
    }
}

#[test]
fn data_that_may_be_old_needs_a_constraint_that_stood_before_and_stands_now() {
    let down = |standing, found| {
        let mut case = case(View {
            peer: PeerNode::CleanOffline,
            standing,
            ..view()
        });
        case.disks.local = vec![DiskState::Consistent];
        case.done.found = found;
        case
    };
    let mine = || Standing::Mine(constraint());
    // Placed by this very call, it says nothing about whose data is newer; nor does one that is gone.
    assert_eq!(down(mine(), false).answers().0, Decision::Stale);
    assert_eq!(down(Standing::Absent, true).answers().0, Decision::Stale);
    assert_eq!(down(Standing::Absent, false).answers().0, Decision::Stale);
    assert_eq!(down(mine(), true).decide(), Next::Renew);
}

#[test]
fn under_constraint_a_peer_that_is_on_its_way_is_waited_for_although_nobody_will_fence_it() {
    for (peer, waits) in [
        (PeerNode::Pending, true),
        (PeerNode::Unknown, true),
        (PeerNode::UncleanOffline, false),
    ] {
        let standing = constraint();
        let mut case = case(View {
            peer,
            fencing_enabled: false,
            standing: Standing::Mine(standing.clone()),
            ..view()
        });
        case.subject.mode = FencingMode::Constraint;
        case.done.placed = true;
        case.done.marks.extend(standing.mark);
        assert_eq!(matches!(case.decide(), Next::Wait(_)), waits, "{peer:?}");
    }
}

#[test]
fn at_the_end_nothing_is_renewed_or_assumed_where_no_constraint_stands() {
    let mut case = case(view());
    case.subject.mode = FencingMode::Constraint;
    case.last = true;
    assert_eq!(case.answers().0, Decision::Undecided);
}

#[test]
fn it_is_critical_and_alerted_where_the_writes_of_a_primary_stand_still_and_nowhere_else() {
    let no_clone = View {
        ours: None,
        ..view()
    };
    let time_is_up = View {
        quorum: false,
        ..view()
    };
    for (mode, primary, critical) in [
        (FencingMode::Stonith, true, true),
        (FencingMode::Stonith, false, false),
        (FencingMode::Constraint, true, false),
        (FencingMode::Constraint, false, false),
    ] {
        for (seen, decision) in [
            (no_clone.clone(), Decision::NoClone),
            (time_is_up.clone(), Decision::Undecided),
        ] {
            let mut case = case(seen);
            case.subject.mode = mode;
            case.disks.primary = primary;
            case.last = decision == Decision::Undecided;
            let answer = case.answer();
            assert_eq!(answer.decision, decision);
            let said = (answer.level == Level::Critical, answer.alert);
            assert_eq!(
                said,
                (critical, critical),
                "{mode:?} {primary} {decision:?}"
            );
            assert!(critical || answer.level == Level::Error);
        }
    }
}

#[test]
fn a_peer_that_is_back_keeps_no_constraint_but_one_that_is_worth_more_than_this_nodes_data() {
    let back = |local: DiskState, placed| {
        let mut case = case(View {
            standing: Standing::Mine(constraint()),
            ..view()
        });
        case.disks.local = vec![local];
        case.disks.peer = vec![DiskState::UpToDate];
        case.done.placed = placed;
        case
    };
    assert_eq!(back(DiskState::UpToDate, false).decide(), Next::Remove);
    assert_eq!(back(DiskState::Consistent, true).decide(), Next::Remove);
    assert_eq!(
        back(DiskState::Consistent, false).answers().0,
        Decision::NotNeeded
    );
}

#[test]
fn a_resource_that_is_not_up_has_no_usable_data() {
    assert_eq!(Disks::default().data(), Data::Unusable);
    assert!(!Disks::default().peer_up_to_date());
}

#[test]
fn a_cluster_that_does_not_say_whether_it_has_quorum_has_none() {
    const CIB: &str = include_str!("../../../../crates/pacemaker/tests/fixtures/cib.2.1.5.xml");
    let subject = case(view()).subject;
    let seen = |text: &str| View::of(&parse_cib(text).unwrap(), &subject).quorum;
    assert!(seen(CIB));
    assert!(!seen(&CIB.replace("have-quorum=\"1\"", "")));
}

#[test]
fn a_peer_whose_role_is_not_known_may_be_primary() {
    for (role, may_be) in [("Secondary", false), ("Unknown", true), ("Primary", true)] {
        let line = format!("0: cs:WFConnection ro:Primary/{role} ds:UpToDate/DUnknown C s-----");
        let runner = Scripted::new()
            .file("/sys/module/drbd/version", "8.4.11\n")
            .file("/proc/drbd", format!("version: 8.4.11\n {line}\n"));
        let disks = disks::read(&runner, "r0", &[0], Duration::from_secs(1)).unwrap();
        assert!(disks.primary, "{role}");
        assert_eq!(disks.peer_primary, may_be, "{role}");
    }
}
