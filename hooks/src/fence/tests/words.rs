//! What is said: of what fence-peer waits for, why it gave up, and how loudly.

use two_node_ha_config::LossAction;
use two_node_ha_drbd::{Decision, DiskState};
use two_node_ha_pacemaker::PeerNode;

use super::decisions::{Case, case, constraint, view};
use super::world::{World, cut};
use two_node_ha_fence::answer::{Answer, Level};
use two_node_ha_fence::decide::Next;
use two_node_ha_fence::situation::Removal;
use two_node_ha_fence::{Disks, Standing, View};

/// What it waits for.
fn waits(case: Case) -> String {
    match case.decide() {
        Next::Wait(why) => why,
        other => panic!("does not wait: {other:?}"),
    }
}

#[test]
fn an_answer_that_drbd_ignores_is_recorded_at_the_level_that_it_was_given() {
    for level in [Level::Notice, Level::Warning, Level::Error] {
        assert_eq!(Answer::noted(level, "x").level, level);
        let lost = Answer::lost(level, LossAction::Demote, "its disk is lost");
        assert_eq!(lost.level, level);
        assert!(lost.reason.starts_with("its disk is lost. The agent asks"));
    }
}

#[test]
fn a_constraint_that_cannot_be_placed_is_tried_to_the_end_which_says_why() {
    let tries = |trouble: Option<&str>, last| {
        let mut case = case(view());
        case.done.trouble = trouble.map(str::to_owned);
        case.last = last;
        case
    };
    assert_eq!(tries(None, false).decide(), Next::Place);
    assert_eq!(tries(Some("exit code 78"), false).decide(), Next::Place);
    let (decision, why) = tries(Some("exit code 78"), true).answers();
    assert_eq!(decision, Decision::Undecided);
    assert!(why.contains("cannot be placed: exit code 78"), "{why}");
    let (_, why) = tries(None, true).answers();
    assert!(why.contains("could not be placed in time"), "{why}");
}

#[test]
fn what_may_still_be_there_is_taken_back_until_there_is_no_time_for_that_any_more() {
    let ends = |removal, over| {
        let mut case = case(View {
            peer: PeerNode::UncleanOffline,
            standing: Standing::Mine(constraint()),
            ..view()
        });
        case.done.placed = true;
        case.done.tried.push(constraint());
        case.done.removal = removal;
        (case.last, case.over) = (true, over);
        case.decide()
    };
    for (removal, over, again) in [
        (Removal::NotTried, false, true),
        (Removal::Failed, false, true),
        (Removal::Failed, true, false),
        (Removal::Settled, false, false),
    ] {
        let next = ends(removal, over);
        assert_eq!(
            next == Next::TakeBack,
            again,
            "{removal:?} {over}: {next:?}"
        );
    }
}

#[test]
fn disks_are_named_once_for_each_state() {
    use DiskState::{Inconsistent, UpToDate};
    for (disks, words) in [
        (vec![], "not up"),
        (vec![UpToDate], "UpToDate"),
        (vec![UpToDate, UpToDate], "UpToDate"),
        (vec![UpToDate, Inconsistent], "UpToDate and Inconsistent"),
    ] {
        assert_eq!(Disks::words(&disks), words);
    }
}

#[test]
fn without_a_clone_the_resource_is_named_with_what_to_compare() {
    let (_, why) = case(View {
        ours: None,
        ..view()
    })
    .answers();
    assert!(why.contains("drbd_resource is r0"), "{why}");
    assert!(why.contains("`two-node-ha render pacemaker`"), "{why}");
}

#[test]
fn what_is_waited_for_is_said_of_each_state_of_the_peer() {
    for (peer, fencing_enabled, words) in [
        (
            PeerNode::UncleanOffline,
            true,
            "beta is lost and has not been fenced yet",
        ),
        (
            PeerNode::UncleanOffline,
            false,
            "so nobody will power it off",
        ),
        (
            PeerNode::Pending,
            true,
            "beta is joining or leaving the cluster",
        ),
        (PeerNode::Unknown, true, "there is no DC yet"),
    ] {
        let mut case = case(View {
            peer,
            fencing_enabled,
            standing: Standing::Mine(constraint()),
            ..view()
        });
        case.done.placed = true;
        case.done.marks.extend(constraint().mark);
        let why = waits(case);
        assert!(why.contains(words), "{peer:?} {fencing_enabled}: {why}");
    }
}

#[test]
fn a_cluster_in_maintenance_mode_is_said_to_promote_nobody() {
    for maintenance in [true, false] {
        let world = World {
            maintenance,
            ..cut()
        };
        let why = world.play(9, 0).answer.reason;
        assert_eq!(why.contains("in maintenance mode"), maintenance, "{why}");
    }
}

#[test]
fn the_constraint_that_stands_is_found_and_named_by_its_id() {
    let id = "drbd-fence-by-handler-r0-drbd_master_slave";
    assert_eq!(view().id(), id);
    assert_eq!(Standing::Absent.constraint(), None);
    let stands = constraint();
    for standing in [Standing::Mine, Standing::AgainstMe, Standing::Loose] {
        assert_eq!(standing(stands.clone()).constraint(), Some(&stands));
    }
}
