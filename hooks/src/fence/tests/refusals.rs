//! The rows where nothing can be claimed, or nothing needs to be.

use two_node_ha_config::FencingMode::{Constraint, None as NoFencing, Stonith};

use super::table::{ALPHA, BETA, check};
use super::world::{Peer, World, cut};

#[test]
fn without_dc_quorum_or_pacemaker_nothing_is_claimed() {
    check(&[
        (
            "no DC",
            World { dc: false, ..cut() },
            &["wait"],
            1,
            "undecided",
            None,
        ),
        (
            "no quorum",
            World {
                quorum: false,
                ..cut()
            },
            &["wait"],
            1,
            "undecided",
            None,
        ),
        (
            "no quorum under constraint",
            World {
                mode: Constraint,
                quorum: false,
                ..cut()
            },
            &["wait"],
            1,
            "undecided",
            None,
        ),
        (
            "placing is refused",
            World {
                refused: Some("cibadmin ended with exit code 78"),
                ..cut()
            },
            &[],
            1,
            "undecided",
            None,
        ),
        (
            "no DC answers, under constraint",
            World {
                mode: Constraint,
                refused: Some("no DC answered"),
                ..cut()
            },
            &[],
            1,
            "undecided",
            None,
        ),
        (
            "Pacemaker is down",
            World {
                silent: Some(false),
                ..cut()
            },
            &[],
            1,
            "no-cluster",
            None,
        ),
        (
            "cibadmin hangs",
            World {
                silent: Some(true),
                ..cut()
            },
            &["wait"],
            1,
            "undecided",
            None,
        ),
    ]);
}

#[test]
fn a_constraint_that_rejects_this_node_is_left_and_nothing_is_claimed() {
    for mode in [Stonith, Constraint] {
        for peer in [Peer::Online, Peer::Down, Peer::Lost] {
            let theirs = World {
                mode,
                peer,
                constraint: BETA,
                fenced: true,
                ..cut()
            };
            check(&[
                ("against me", theirs.clone(), &[], 1, "rejected", BETA),
                (
                    "it binds nobody",
                    World {
                        constraint: Some(&["alpha", "beta"]),
                        ..theirs
                    },
                    &[],
                    1,
                    "loose",
                    Some(&["alpha", "beta"]),
                ),
            ]);
        }
    }
}

#[test]
fn a_peer_that_is_up_to_date_again_needs_no_fence_and_keeps_no_constraint() {
    check(&[
        (
            "before placing",
            World {
                peer_disk: "UpToDate",
                ..cut()
            },
            &[],
            1,
            "not-needed",
            None,
        ),
        (
            "after placing",
            World {
                then_disk: Some("UpToDate"),
                ..cut()
            },
            &["place", "remove"],
            1,
            "not-needed",
            None,
        ),
        (
            "with one from before",
            World {
                peer_disk: "UpToDate",
                constraint: ALPHA,
                ..cut()
            },
            &["remove"],
            1,
            "not-needed",
            None,
        ),
        (
            "with the peer's: its handler's business, or the agent's",
            World {
                peer_disk: "UpToDate",
                constraint: BETA,
                ..cut()
            },
            &[],
            1,
            "not-needed",
            BETA,
        ),
    ]);
}

#[test]
fn what_drbd_knows_already_needs_no_cluster() {
    check(&[
        (
            "inconsistent",
            World {
                peer_disk: "Inconsistent",
                silent: Some(false),
                ..cut()
            },
            &[],
            3,
            "inconsistent",
            None,
        ),
        (
            "outdated",
            World {
                peer_disk: "Outdated",
                silent: Some(false),
                ..cut()
            },
            &[],
            4,
            "outdated",
            None,
        ),
        (
            "unusable here",
            World {
                local: "Inconsistent",
                ..cut()
            },
            &[],
            1,
            "unusable",
            None,
        ),
        (
            "outdated here",
            World {
                local: "Outdated",
                ..cut()
            },
            &[],
            1,
            "unusable",
            None,
        ),
        (
            "not up",
            World { local: "", ..cut() },
            &[],
            1,
            "not-up",
            None,
        ),
    ]);
}

#[test]
fn a_peer_that_dies_after_the_constraint_was_placed_is_judged_anew() {
    check(&[
        (
            "dead",
            World {
                alive: false,
                then: Some(Peer::Lost),
                ..cut()
            },
            &["place", "wait", "remove"],
            1,
            "undecided",
            None,
        ),
        (
            "fenced",
            World {
                fenced: true,
                then: Some(Peer::Down),
                ..cut()
            },
            &["place", "ask fencer"],
            7,
            "fenced",
            ALPHA,
        ),
        (
            "fenced, while this node's data may be old: its own constraint makes it no newer, and goes",
            World {
                local: "Consistent",
                fenced: true,
                then: Some(Peer::Down),
                alive: false,
                ..cut()
            },
            &["place", "remove"],
            1,
            "stale",
            None,
        ),
    ]);
}

#[test]
fn without_fencing_nothing_is_done_and_nothing_is_claimed() {
    for peer in [Peer::Online, Peer::Down, Peer::Lost] {
        check(&[(
            "none",
            World {
                mode: NoFencing,
                peer,
                ..cut()
            },
            &[],
            1,
            "policy",
            None,
        )]);
    }
}
