//! Over every combination of what can be observed, no decision breaks an invariant.

use two_node_ha_config::{Config, FencingMode};

use super::arrivals;
use super::observations::{every_observation, mixed_observations};
use crate::observation::*;
use crate::world::*;
use crate::{Decision, State, Step, Target, plan};

/// Whether the peer can be relied on not to be a voter (I8).
fn peer_is_safe(o: &Observation, config: &Config) -> bool {
    let mine = matches!(&o.epoch, Known::Present(e) if e.owner == o.node && e.complete());
    let policy =
        config.fencing.mode != FencingMode::Stonith && config.fencing.promote_without_fencing;
    o.peer_stopped
        || match &o.peer_report {
            Asked::Answer(r) if r.voter || r.wants_voter => false,
            Asked::Answer(r) => !r.datastore_running || mine,
            Asked::NotYet | Asked::Silent(_) => {
                o.peer_node == Asked::Answer(PeerNode::Down) || policy
            }
        }
}

pub fn ensure(holds: bool, broken: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(broken) }
}

pub(super) fn invariants(
    o: &Observation,
    config: &Config,
    d: &Decision,
) -> Result<(), &'static str> {
    arrivals::check(o, d)?;
    let known = match &o.epoch {
        Known::Present(epoch) => Some(epoch.epoch),
        Known::Absent | Known::Unreadable(_) => None,
    };
    if d.settled || d.state == State::Blocked {
        ensure(
            d.steps.is_empty(),
            "an agent that has arrived or is blocked does nothing",
        )?;
    }
    ensure(
        (d.state == State::Blocked) == d.remedy.is_some(),
        "blocked, and only then, a remedy",
    )?;
    let asks = |step: &Step| {
        matches!(
            step,
            Step::AskPeer | Step::AskPacemaker | Step::AskPromotion
        )
    };
    ensure(
        !d.steps.first().is_some_and(asks) || d.steps.iter().all(asks),
        "what follows a question needs its answer",
    )?;
    let mut stopped = !o.services.may_write() && !o.token;
    let mut moved = false;
    for step in &d.steps {
        let on_volume = matches!(
            step,
            Step::BeginEpoch
                | Step::Recover(_)
                | Step::RenewEpoch(_)
                | Step::MoveOntoVolume
                | Step::Flip(_, Target::Volume)
        );
        if on_volume {
            let dead = o.peer_node == Asked::Answer(PeerNode::Down);
            let ahead = o.request == Request::None
                && o.just_mounted
                && dead
                && !matches!(step, Step::RenewEpoch(_) | Step::MoveOntoVolume);
            ensure(
                o.mount == Mount::ReadWrite
                    && o.drbd.role == Role::Primary
                    && (o.request == Request::Hold || ahead),
                "I3: the volume is touched only while it is ours and Pacemaker asks, or is about to, \
                 with nobody else whose it could be",
            )?;
            ensure(
                moved || known.is_none_or(|epoch| epoch >= o.journal.highest_epoch),
                "I5: an older volume is not recovered",
            )?;
            let damaged = |d: &Directories| matches!(d.volume_log, Log::Unreadable(_));
            ensure(
                !o.databases.values().any(damaged),
                "I9: a damaged database is not taken over",
            )?;
        }
        match step {
            Step::StopServices => stopped = true,
            Step::MoveOntoVolume => {
                ensure(stopped, "I1: a copy of a running database")?;
                ensure(
                    o.epoch == Known::Absent && o.journal.highest_epoch == 0,
                    "only an empty volume, and only once, is moved onto",
                )?;
                ensure(
                    matches!(&o.peer_report, Asked::Answer(r) if r.original_voter == Some(false)),
                    "the peer agrees that this is the voter",
                )?;
                moved = true;
            }
            Step::Flip(..)
            | Step::Leave(_)
            | Step::Recover(_)
            | Step::Rejoin(_)
            | Step::KeepOriginal(_) => {
                ensure(
                    stopped,
                    "I1: links and files change beneath a running database",
                )?;
            }
            Step::BeginEpoch | Step::RenewEpoch(_) => {
                ensure(stopped, "I1: a takeover of a running database")?;
                ensure(
                    peer_is_safe(o, config),
                    "I8: a takeover while the peer may write",
                )?;
            }
            Step::StartServices if o.request == Request::Hold => {
                ensure(
                    peer_is_safe(o, config),
                    "I8: a voter while the peer may be one",
                )?;
                stopped = false;
            }
            Step::StartServices => {
                let voter = matches!(&o.peer_report, Asked::Answer(r) if r.voter
                    && r.epoch == o.journal.highest_epoch);
                ensure(voter, "a spare starts only for a known voter of this epoch")?;
                ensure(
                    o.mount == Mount::None,
                    "a spare does not start on a mounted volume",
                )?;
            }
            Step::RemoveConstraint(id) => {
                ensure(
                    o.drbd.equal
                        && o.promotion == Asked::Answer(Promotion::PeerForbidden(id.clone())),
                    "a constraint is taken away only by the node that it allows, while both copies \
                     are the same",
                )?;
                ensure(d.steps.len() == 1, "it is no part of anything else")?;
            }
            Step::AskFencePeer => {
                ensure(
                    !o.drbd.connected && o.split_brain.is_none(),
                    "DRBD asks again only about a peer that it has lost, and where both have not \
                     written",
                )?;
                let voter = o.request == Request::Hold && o.drbd.role == Role::Primary;
                ensure(
                    o.own_disconnect || voter && o.drbd.suspended == Some(Suspended::Fencing),
                    "and is disconnected only where fencing holds a voter's writes back",
                )?;
                ensure(
                    o.own_disconnect == o.drbd.alone,
                    "and connected again only where it was the agent that disconnected it",
                )?;
                ensure(d.steps.len() == 1, "it is no part of anything else")?;
            }
            Step::StartRest => {
                ensure(
                    o.services == Services::Running && o.token && d.steps.len() == 1,
                    "the rest is started beside a datastore that runs, and as no part of anything else",
                )?;
                let voter = matches!(&o.peer_report, Asked::Answer(r) if r.voter
                    && r.epoch == o.journal.highest_epoch);
                ensure(
                    o.is_running_voter() || voter && o.mount == Mount::None,
                    "k8sd starts only beside a confirmed voter here or for a known one of this epoch",
                )?;
            }
            Step::AskPeer
            | Step::AskPacemaker
            | Step::AskPromotion
            | Step::StopPeer
            | Step::FencePeer
            | Step::FetchLogs
            | Step::ProtectMountPoint
            | Step::RememberEpoch(_)
            | Step::KeepIdentity(_)
            | Step::ConfirmVoter
            | Step::ReportReleased => {}
        }
        if let Step::Rejoin(epoch) = step {
            ensure(
                o.request == Request::None && *epoch >= o.journal.highest_epoch,
                "a spare's directories are made anew only for the newest epoch",
            )?;
        }
    }
    if d.steps.contains(&Step::ReportReleased) {
        // A token that cannot be taken away opens no gate once nobody holds the role.
        let token_stays = o.own_disk.is_some() && !o.services.may_write();
        ensure(
            stopped || token_stays,
            "Pacemaker may unmount only when nothing runs",
        )?;
    }
    Ok(())
}

#[test]
fn no_observation_leads_to_a_decision_that_breaks_an_invariant() {
    let stonith = config();
    let mut loose = config();
    loose.fencing.mode = FencingMode::None;
    loose.fencing.promote_without_fencing = true;
    let mut seen = 0_u64;
    let mut states = std::collections::HashSet::new();
    every_observation(|o| {
        // The policy matters only to who holds.
        let configs: &[&Config] = if o.request == Request::Hold {
            &[&stonith, &loose]
        } else {
            &[&stonith]
        };
        // What the peer and Pacemaker say does not matter to who leaves.
        let alone = o.peer_report == Asked::NotYet && !o.peer_stopped;
        if o.request == Request::Release && alone {
            let full = Observation {
                own_disk: Some("the disk is full".into()),
                ..o.clone()
            };
            let decision = plan(&full, &stonith);
            if let Err(broken) = invariants(&full, &stonith, &decision) {
                panic!("{broken}\n{full:#?}\n{decision:#?}");
            }
        }
        for config in configs {
            let decision = plan(o, config);
            if let Err(broken) = invariants(o, config, &decision) {
                panic!("{broken}\n{o:#?}\n{decision:#?}");
            }
            states.insert(decision.state);
            seen += 1;
        }
    });
    // A check that never saw a state would prove nothing about it.
    assert!(seen > 100_000, "{seen}");
    assert_eq!(states.len(), 8, "{states:?}");
}

#[test]
fn databases_that_stand_differently_lead_to_no_decision_that_breaks_an_invariant() {
    let config = config();
    let mut recovered_one = false;
    mixed_observations(|o| {
        let decision = plan(o, &config);
        if let Err(broken) = invariants(o, &config, &decision) {
            panic!("{broken}\n{o:#?}\n{decision:#?}");
        }
        let recoveries = decision
            .steps
            .iter()
            .filter(|step| matches!(step, Step::Recover(_)))
            .count();
        recovered_one |= recoveries == 1;
    });
    // A check that never saw a half recovered pair would prove nothing about it.
    assert!(recovered_one);
}

#[test]
fn a_constraint_is_taken_away_where_the_copies_are_the_same_and_there_is_nothing_else_to_do() {
    let config = config();
    let mine = Promotion::PeerForbidden("drbd-fence-by-handler-r0-x".into());
    let against_me = Promotion::Forbidden("drbd-fence-by-handler-r0-x".into());
    let mut removed = std::collections::HashMap::new();
    let mut waiting = 0_u64;
    every_observation(|o| {
        let decision = plan(o, &config);
        let mut o = o.clone();
        o.promotion = Asked::Answer(mine.clone());
        let with = plan(&o, &config);
        let step = |d: &Decision| {
            d.steps
                .iter()
                .any(|s| matches!(s, Step::RemoveConstraint(_)))
        };
        let waits = decision.steps.is_empty()
            && o.drbd.equal
            && !crate::plan::suspended_io::is(&o)
            && o.request != Request::Release
            && !o.shutting_down;
        if !decision.settled {
            // The other node may be the one that can be the voter.
            assert_eq!(step(&with), waits, "{o:#?}\n{with:#?}");
            waiting += u64::from(waits);
            let mut undisturbed = with;
            if waits {
                undisturbed.steps.clear();
                undisturbed.reasons.pop();
            }
            assert_eq!(
                undisturbed, decision,
                "a constraint changes what is none of its business"
            );
            return;
        }
        assert!(step(&with), "{o:#?}\n{with:#?}");
        assert_eq!(with.state, decision.state);
        *removed.entry(with.state).or_insert(0) += 1;
        for promotion in [
            Asked::NotYet,
            Asked::Silent("x".into()),
            Asked::Answer(Promotion::Allowed),
            Asked::Answer(mine.clone()),
            Asked::Answer(against_me.clone()),
        ] {
            for equal in [false, true] {
                o.promotion = promotion.clone();
                o.drbd.equal = equal;
                let decision = plan(&o, &config);
                if let Err(broken) = invariants(&o, &config, &decision) {
                    panic!("{broken}\n{o:#?}\n{decision:#?}");
                }
                assert_eq!(
                    step(&decision),
                    equal && promotion == Asked::Answer(mine.clone())
                );
            }
        }
    });
    // A check that never saw a state would prove nothing about it.
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert!(waiting > 0);
}

/// Every way in which the volume can stand still, and what is known about it.
fn suspended(o: &Observation, mut check: impl FnMut(&Observation)) {
    let mut o = o.clone();
    for (suspended, silent) in [
        (Some(Suspended::Fencing), true),
        (Some(Suspended::Other("x".into())), true),
        (None, true),
    ] {
        (o.drbd.suspended, o.volume_silent) = (suspended, silent);
        for (connected, alone, own) in [
            (true, false, false),
            (false, false, false),
            (false, true, false),
            (false, true, true),
        ] {
            (o.drbd.connected, o.drbd.alone) = (connected, alone);
            o.own_disconnect = own;
            (o.drbd.equal, o.promotion) = (connected, Asked::NotYet);
            for fence_peer in [FencePeer::Quiet, FencePeer::AtWork, FencePeer::Asked] {
                o.fence_peer = fence_peer;
                for node in [
                    Asked::NotYet,
                    Asked::Silent("x".into()),
                    Asked::Answer(PeerNode::Online),
                    Asked::Answer(PeerNode::Down),
                    Asked::Answer(PeerNode::Lost),
                    Asked::Answer(PeerNode::Unknown),
                ] {
                    o.peer_node = node;
                    for split in [None, Some(SplitBrain::Reported)] {
                        o.split_brain = split;
                        check(&o);
                    }
                }
            }
        }
    }
}

#[test]
fn while_the_volume_stands_still_nothing_of_it_is_touched_and_drbd_asks_again_only_where_it_can_help()
 {
    let config = config();
    let mut asked = 0_u64;
    every_observation(|o| {
        let first = o.peer_report == Asked::NotYet
            && o.peer_node == Asked::Answer(PeerNode::Online)
            && !o.peer_stopped
            && o.journal.highest_epoch == 1;
        let ends = o.services == Services::Stopped && !o.token || o.confirmed;
        let volume = o.mount == Mount::ReadWrite && o.drbd.role == Role::Primary;
        if !first || !ends || !volume {
            return;
        }
        suspended(o, |o| {
            let decision = plan(o, &config);
            if let Err(broken) = invariants(o, &config, &decision) {
                panic!("{broken}\n{o:#?}\n{decision:#?}");
            }
            for step in &decision.steps {
                assert!(
                    matches!(
                        step,
                        Step::AskPacemaker | Step::AskFencePeer | Step::StopServices
                    ),
                    "{step:?} reads or writes the volume\n{o:#?}"
                );
            }
            assert!(!decision.settled, "{o:#?}");
            let ask = decision.steps == [Step::AskFencePeer];
            let unanswered = o.drbd.suspended == Some(Suspended::Fencing)
                && !o.drbd.connected
                && !o.drbd.alone
                && o.fence_peer == FencePeer::Quiet
                && matches!(
                    o.peer_node,
                    Asked::Answer(PeerNode::Online | PeerNode::Down)
                );
            let can_help = o.request == Request::Hold
                && o.split_brain.is_none()
                && (unanswered || o.own_disconnect);
            assert_eq!(ask, can_help, "{o:#?}\n{decision:#?}");
            asked += u64::from(ask);
        });
    });
    // A check that never saw it would prove nothing about it.
    assert!(asked > 0);
}
