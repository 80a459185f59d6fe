//! One condition each: the least that differs between a node that may go on and one that may not.

use two_node_ha_config::FencingMode;
use two_node_ha_dqlite::Position;

use crate::observation::*;
use crate::record::{Epoch, Phase};
use crate::report::{Report, SpareLog};
use crate::world::*;
use crate::{Database, Decision, State, Step, Target, plan};

/// haone holds the volume of `epoch`, and hatwo is down.
fn holding(epoch: Epoch) -> Observation {
    let mut o = booted();
    o.journal.highest_epoch = epoch.epoch;
    given_the_volume(&mut o, Known::Present(epoch));
    o.peer_node = Asked::Answer(PeerNode::Down);
    o
}

/// haone's voter of its own first epoch, running and confirmed.
fn voter() -> Observation {
    let mut o = holding(Epoch::first("haone"));
    (o.services, o.token, o.confirmed) = (Services::Running, true, true);
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    let decision = decide(&o);
    assert_eq!(decision.state, State::PrimaryRunning, "{decision:?}");
    o
}

/// haone's spare of hatwo's epoch, running.
fn spare() -> Observation {
    let mut o = booted();
    (o.services, o.token) = (Services::Running, true);
    o.peer_report = Asked::Answer(report(State::PrimaryRunning, 2));
    let decision = decide(&o);
    assert_eq!(decision.state, State::SecondaryRunning, "{decision:?}");
    o
}

/// haone's first day, with the empty volume, and what hatwo says.
fn first_start(peer: impl FnOnce(&mut Report)) -> Observation {
    let mut o = first_day(true);
    given_the_volume(&mut o, Known::Absent);
    let mut report = report(State::SecondaryWait, 0);
    report.original_voter = Some(false);
    peer(&mut report);
    o.peer_report = Asked::Answer(report);
    o
}

fn position(steps: &[Step], wanted: &Step) -> usize {
    let found = steps.iter().position(|step| step == wanted);
    found.unwrap_or_else(|| panic!("{wanted:?} is not among {steps:?}"))
}

fn waits(decision: &Decision, state: State, word: &str) {
    assert_eq!(decision.state, state, "{decision:?}");
    assert!(
        decision.steps.is_empty() && !decision.settled,
        "{decision:?}"
    );
    assert!(decision.reasons.join(" ").contains(word), "{decision:?}");
}

#[test]
fn a_mounted_volume_is_left_alone_until_drbd_calls_this_node_primary() {
    for role in [Role::Secondary, Role::Unknown] {
        for mut o in [holding(Epoch::first("hatwo")), voter()] {
            o.drbd.role = role;
            waits(&decide(&o), State::PrimaryPrep, "does not call");
        }
        let mut o = first_start(|_| ());
        o.drbd.role = role;
        waits(&decide(&o), State::PrimaryPrep, "does not call");
    }
}

#[test]
fn the_first_start_goes_on_only_beside_a_peer_that_says_that_it_is_the_spare() {
    let decision = decide(&first_start(|_| ()));
    assert_eq!(
        decision.steps,
        [Step::StopServices, Step::MoveOntoVolume],
        "{decision:?}"
    );
    let decision = decide(&first_start(|peer| peer.original_voter = None));
    assert_eq!(decision.state, State::Blocked, "{decision:?}");
    assert!(decision.reasons[0].contains("cannot say"), "{decision:?}");
}

#[test]
fn the_first_start_is_refused_beside_a_peer_that_has_seen_any_epoch_even_the_first() {
    for epoch in [1, 2] {
        let decision = decide(&first_start(|peer| peer.epoch = epoch));
        assert_eq!(decision.state, State::Blocked, "{decision:?}");
        let word = format!("already knows epoch {epoch}");
        assert!(decision.reasons[0].contains(&word), "{decision:?}");
    }
}

#[test]
fn a_peer_that_runs_is_stopped_before_the_first_start_and_one_that_does_not_is_not_asked_to() {
    let mut o = first_start(|peer| peer.datastore_running = true);
    assert_eq!(decide(&o).steps[0], Step::StopPeer);
    o.peer_stopped = true;
    assert!(!decide(&o).steps.contains(&Step::StopPeer));
    let o = first_start(|_| ());
    assert!(!decide(&o).steps.contains(&Step::StopPeer));
}

#[test]
fn a_voter_of_which_one_link_leads_off_the_volume_has_not_arrived() {
    for confirmed in [true, false] {
        for database in Database::ALL {
            let mut o = voter();
            o.confirmed = confirmed;
            if let Some(d) = o.databases.get_mut(&database) {
                d.leads = LinkTarget::ToSpare;
            }
            let steps = decide(&o).steps;
            assert_eq!(
                steps,
                [
                    Step::StopServices,
                    Step::Flip(database, Target::Volume),
                    Step::StartServices,
                    Step::ConfirmVoter
                ]
            );
        }
    }
}

#[test]
fn a_voter_of_which_one_database_was_not_taken_over_has_not_arrived() {
    for confirmed in [true, false] {
        for pending in Database::ALL {
            let mut o = voter();
            o.confirmed = confirmed;
            let mut epoch = Epoch::first("haone");
            epoch.databases.insert(pending, Phase::Pending);
            o.epoch = Known::Present(epoch);
            let steps = decide(&o).steps;
            assert_eq!(
                steps,
                [
                    Step::StopServices,
                    Step::Recover(pending),
                    Step::StartServices,
                    Step::ConfirmVoter
                ]
            );
        }
    }
}

#[test]
fn a_peer_that_is_leaving_the_volume_still_runs_its_databases_until_it_says_that_it_does_not() {
    let mut o = holding(Epoch::first("hatwo"));
    let mut leaving = report(State::Draining, 1);
    leaving.datastore_running = true;
    o.peer_report = Asked::Answer(leaving.clone());
    assert_eq!(decide(&o).steps, [Step::StopPeer]);
    leaving.datastore_running = false;
    o.peer_report = Asked::Answer(leaving);
    assert_eq!(decide(&o).steps[0], Step::BeginEpoch);
}

#[test]
fn a_peer_that_was_not_asked_is_asked_before_anything_else() {
    let mut o = holding(Epoch::first("hatwo"));
    (o.peer_node, o.peer_report) = (Asked::NotYet, Asked::NotYet);
    assert_eq!(decide(&o).steps, [Step::AskPacemaker, Step::AskPeer]);
    for node in [PeerNode::Online, PeerNode::Lost, PeerNode::Unknown] {
        o.peer_node = Asked::Answer(node);
        assert_eq!(decide(&o).steps, [Step::AskPeer]);
    }
    o.peer_node = Asked::Silent("no cluster".into());
    assert_eq!(decide(&o).steps, [Step::AskPeer]);
}

#[test]
fn services_that_run_without_the_token_are_started_with_it() {
    let mut o = spare();
    o.token = false;
    assert_eq!(decide(&o).steps, [Step::StartServices]);
    for confirmed in [true, false] {
        let mut o = voter();
        (o.token, o.confirmed) = (false, confirmed);
        assert_eq!(decide(&o).steps, [Step::StartServices, Step::ConfirmVoter]);
    }
}

#[test]
fn services_of_which_only_some_run_are_started() {
    let mut o = spare();
    o.services = Services::Partly;
    assert_eq!(decide(&o).steps, [Step::StartServices]);
    let mut o = voter();
    o.services = Services::Partly;
    assert_eq!(decide(&o).steps, [Step::StartServices, Step::ConfirmVoter]);
}

#[test]
fn pacemaker_hears_that_the_volume_is_free_only_when_it_has_asked() {
    let mut o = voter();
    o.request = Request::None;
    let unasked = decide(&o).steps;
    assert!(!unasked.contains(&Step::ReportReleased), "{unasked:?}");
    o.request = Request::Release;
    let asked = decide(&o).steps;
    assert_eq!(asked.last(), Some(&Step::ReportReleased), "{asked:?}");
    assert_eq!(asked[..asked.len() - 1], unasked);
}

#[test]
fn what_was_renewed_on_the_volume_is_kept_only_while_it_is_mounted_for_writing() {
    let mut o = voter();
    o.request = Request::Release;
    let leaves = Database::ALL.map(Step::Leave);
    let flips = Database::ALL.map(|database| Step::Flip(database, Target::Spare));
    for (mount, expected) in [
        (Mount::ReadWrite, &leaves),
        (Mount::ReadOnly, &flips),
        (Mount::None, &flips),
        (Mount::Foreign("tmpfs".into()), &flips),
    ] {
        o.mount = mount;
        let steps = decide(&o).steps;
        for step in expected {
            assert!(position(&steps, step) > position(&steps, &Step::StopServices));
        }
        assert_eq!(steps.len(), 4, "{steps:?}");
    }
}

#[test]
fn a_volume_that_stands_still_holds_the_way_down_up_only_while_it_is_mounted_here() {
    let mut o = voter();
    o.request = Request::Release;
    (o.services, o.token, o.confirmed) = (Services::Stopped, false, false);
    o.drbd.suspended = Some(Suspended::Fencing);
    waits(&decide(&o), State::Draining, "stands still");
    o.mount = Mount::None;
    let steps = decide(&o).steps;
    assert_eq!(steps.last(), Some(&Step::ReportReleased), "{steps:?}");
    assert!(matches!(steps[0], Step::Flip(_, Target::Spare)));
}

/// haone holds the volume of `epoch`, whose logs end at index 50, and hatwo, which is stopped, reports a
/// log of the datastore that was made for the epoch `of` and ends at index 60.
fn beside_a_longer_log(epoch: Epoch, of: u64) -> Observation {
    let end = |index, here| End {
        last: Position { term: 1, index },
        voters: Voters {
            here,
            elsewhere: false,
        },
    };
    let mut o = holding(epoch);
    each(&mut o, |d| d.volume_log = Log::Ends(end(50, true)));
    let mut peer = report(State::SecondaryWait, 1);
    let log = SpareLog {
        epoch: of,
        end: end(60, false),
    };
    peer.logs.insert(Database::K8sDqlite, log);
    o.peer_report = Asked::Answer(peer);
    o
}

#[test]
fn a_log_of_before_an_epoch_that_had_only_begun_still_counts_in_the_next_one() {
    // hatwo began epoch 2 and recovered nothing: what was written in epoch 1 is taken in neither.
    let begun = Epoch::first("haone").taken_over_by("hatwo");
    let o = beside_a_longer_log(begun.taken_over_by("haone"), 1);
    assert_eq!(decide(&o).steps, [Step::FetchLogs]);
}

#[test]
fn a_log_of_before_an_epoch_that_had_recovered_its_databases_counts_no_more() {
    let mut whole = Epoch::first("hatwo").taken_over_by("haone");
    for database in Database::ALL {
        whole.done(database);
    }
    let next = whole.taken_over_by("haone");
    let o = beside_a_longer_log(next.clone(), 1);
    let steps = decide(&o).steps;
    assert!(!steps.contains(&Step::FetchLogs), "{steps:?}");
    assert_eq!(
        decide(&beside_a_longer_log(next, 2)).steps,
        [Step::FetchLogs]
    );
}

#[test]
fn a_node_that_is_not_where_it_should_be_says_once_what_has_kept_it_from_there() {
    let why = "could not lead k8sd onto the volume: no space";
    let mut o = holding(Epoch::first("hatwo"));
    o.stumbled = Some(why.into());
    let told = |o: &Observation| {
        let decision = decide(o);
        let all = decision.reasons.iter().chain(&decision.warnings);
        all.filter(|said| said.contains(why)).count()
    };
    assert_eq!(told(&o), 1);
    o.failure = Some(why.into());
    assert_eq!(told(&o), 1, "as its reason");
    let mut settled = spare();
    settled.stumbled = Some(why.into());
    assert_eq!(told(&settled), 0, "it has got there");
}

#[test]
fn a_constraint_that_is_taken_away_is_named_with_whom_it_kept_from_being_promoted() {
    let mut o = spare();
    o.promotion = Asked::Answer(Promotion::PeerForbidden("fence-r0".into()));
    let why = decide(&o).reasons.join(" ");
    assert!(why.contains("fence-r0") && why.contains("hatwo"), "{why}");
}

#[test]
fn while_nothing_is_known_of_a_voter_a_spare_that_runs_goes_on_and_one_that_does_not_waits() {
    for (services, state) in [
        (Services::Running, State::SecondaryRunning),
        (Services::Partly, State::SecondaryWait),
        (Services::Stopped, State::SecondaryWait),
    ] {
        let mut o = spare();
        o.services = services;
        o.peer_report = Asked::NotYet;
        let decision = decide(&o);
        assert_eq!(
            (decision.state, decision.steps),
            (state, vec![Step::AskPeer])
        );
        o.peer_report = Asked::Silent("no route to host".into());
        waits(&decide(&o), state, "no route to host");
        o.peer_report = Asked::Answer(report(State::PrimaryPrep, 2));
        waits(&decide(&o), state, "runs no voter yet");
    }
}

#[test]
fn an_epoch_is_remembered_before_anything_is_done_on_a_volume_that_has_it_and_only_once() {
    let mut o = holding(Epoch::first("hatwo"));
    o.journal.highest_epoch = 0;
    assert_eq!(decide(&o).steps, [Step::RememberEpoch(1)]);
    o.journal.highest_epoch = 1;
    assert_eq!(decide(&o).steps[0], Step::BeginEpoch);
}

#[test]
fn a_takeover_needs_no_more_than_the_identity_of_a_spare_but_a_first_days_directory_in_order() {
    let trap = Contents::Trap("half a log".into());
    let mut o = holding(Epoch::first("hatwo"));
    each(&mut o, |d| d.spare = trap.clone());
    assert_eq!(decide(&o).steps[0], Step::BeginEpoch);
    each(&mut o, |d| {
        (d.leads, d.spare) = (LinkTarget::Directory, Contents::Missing);
        d.original = Contents::Database;
    });
    assert_eq!(decide(&o).steps[0], Step::BeginEpoch);
    each(&mut o, |d| d.original = trap.clone());
    let decision = decide(&o);
    assert_eq!(decision.state, State::Blocked, "{decision:?}");
    assert!(decision.reasons[0].contains("half a log"), "{decision:?}");
}

#[test]
fn the_policy_to_go_on_without_fencing_is_warned_of_only_where_it_is_in_force() {
    for (mode, without_fencing, told) in [
        (FencingMode::Stonith, false, false),
        (FencingMode::Stonith, true, false),
        (FencingMode::Constraint, false, false),
        (FencingMode::Constraint, true, true),
        (FencingMode::None, false, false),
        (FencingMode::None, true, true),
    ] {
        let mut config = config();
        config.fencing.mode = mode;
        config.fencing.promote_without_fencing = without_fencing;
        let warnings = plan(&spare(), &config).warnings.join(" ");
        let about = warnings.contains("fencing.promote_without_fencing is on");
        assert_eq!(about, told, "{mode:?} {without_fencing}: {warnings}");
    }
}
