//! A peer that is in the cluster, and whose agent says nothing.

use two_node_ha_config::FencingMode;

use crate::observation::*;
use crate::record::Epoch;
use crate::world::*;
use crate::{Decision, State, Step, plan};

/// haone has the volume, and the spare's agent is gone for good.
fn beside_a_silent_peer(epoch: Epoch) -> Observation {
    let mut o = booted();
    o.journal.highest_epoch = epoch.epoch;
    given_the_volume(&mut o, Known::Present(epoch));
    o.peer_report = Asked::Silent("connection refused".into());
    o.peer_node = Asked::Answer(PeerNode::Online);
    o
}

fn words(decision: &Decision) -> String {
    decision.reasons.join("; ")
}

#[test]
fn a_peer_that_is_in_the_cluster_and_silent_is_waited_for_and_then_fenced() {
    let mut o = beside_a_silent_peer(Epoch::first("hatwo"));
    let decision = decide(&o);
    assert_eq!(decision.state, State::PrimaryPrep);
    assert!(decision.steps.is_empty() && !decision.settled);
    assert!(words(&decision).contains("fenced if that lasts for 60 s"));
    assert!(!decision.warnings.is_empty());
    o.peer_patience_over = true;
    let decision = decide(&o);
    assert_eq!(decision.steps, [Step::FencePeer]);
    assert!(words(&decision).contains("connection refused"));
    take(&mut o, &Step::FencePeer, &report(State::Probing, 0));
    assert!(decide(&o).steps.contains(&Step::BeginEpoch));
}

#[test]
fn without_a_fence_device_a_silent_peer_keeps_the_voter_from_starting_and_nobody_is_fenced() {
    let mut o = beside_a_silent_peer(Epoch::first("hatwo"));
    o.peer_patience_over = true;
    for mode in [FencingMode::Constraint, FencingMode::None] {
        let mut config = config();
        config.fencing.mode = mode;
        let decision = plan(&o, &config);
        assert_eq!(decision.state, State::Blocked);
        assert!(words(&decision).contains("does not answer"));
    }
}

#[test]
fn a_peer_that_is_lost_is_pacemakers_to_fence_and_not_the_agents() {
    let mut o = beside_a_silent_peer(Epoch::first("hatwo"));
    o.peer_patience_over = true;
    for node in [PeerNode::Lost, PeerNode::Unknown, PeerNode::Down] {
        o.peer_node = Asked::Answer(node);
        assert!(!decide(&o).steps.contains(&Step::FencePeer), "{node:?}");
    }
}

/// The volume's databases as raft has them, with these voters.
fn raft(o: &mut Observation, here: bool, elsewhere: bool) {
    each(o, |d| {
        d.volume_log = Log::Ends(End {
            last: two_node_ha_dqlite::Position { term: 1, index: 50 },
            voters: Voters { here, elsewhere },
        });
    });
}

#[test]
fn an_owner_that_raft_names_alone_starts_beside_a_silent_peer_and_fences_nobody() {
    let mut o = beside_a_silent_peer(Epoch::first("haone"));
    each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    o.peer_patience_over = true;
    raft(&mut o, true, false);
    assert_eq!(decide(&o).steps, [Step::StartServices, Step::ConfirmVoter]);
    // One that raft does not name alone has more to ask, be it for one of the two databases.
    let either = |o: &mut Observation, voters: Voters| {
        let of = o.databases.get_mut(&crate::database::Database::K8sd);
        of.unwrap().volume_log = Log::Ends(End {
            last: two_node_ha_dqlite::Position { term: 1, index: 50 },
            voters,
        });
    };
    for elsewhere_only in [false, true] {
        raft(&mut o, true, false);
        let voters = Voters {
            here: !elsewhere_only,
            elsewhere: true,
        };
        either(&mut o, voters);
        assert_eq!(decide(&o).steps, [Step::FencePeer]);
    }
    raft(&mut o, true, true);
    assert!(!decide(&o).steps.contains(&Step::StartServices));
}

#[test]
fn what_raft_says_of_a_volume_that_is_not_wholly_this_nodes_does_not_stand_in_for_the_peers_word() {
    let begun = Epoch::first("hatwo").taken_over_by("haone");
    for epoch in [begun, Epoch::first("hatwo")] {
        let mut o = beside_a_silent_peer(epoch);
        o.peer_patience_over = true;
        raft(&mut o, true, false);
        assert_eq!(decide(&o).steps, [Step::FencePeer]);
    }
}

#[test]
fn an_agent_that_is_restarted_beside_its_running_voter_needs_nothing_of_a_peer_that_is_gone() {
    for node in [
        PeerNode::Online,
        PeerNode::Lost,
        PeerNode::Unknown,
        PeerNode::Down,
    ] {
        let mut o = beside_a_silent_peer(Epoch::first("haone"));
        each(&mut o, |d| d.leads = LinkTarget::ToVolume);
        raft(&mut o, true, false);
        (o.services, o.token) = (Services::Running, true);
        o.peer_node = Asked::Answer(node);
        assert_eq!(decide(&o).steps, [Step::ConfirmVoter], "{node:?}");
        o.confirmed = true;
        assert_eq!(decide(&o).state, State::PrimaryRunning);
        // Stopped, it is started only beside a peer that cannot be a voter.
        (o.services, o.token, o.confirmed) = (Services::Stopped, false, false);
        let starts = decide(&o).steps.contains(&Step::StartServices);
        let safe = matches!(node, PeerNode::Online | PeerNode::Down);
        assert_eq!(starts, safe, "{node:?}");
    }
}
