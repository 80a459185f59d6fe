//! The rows that end with a claim about the peer, and those that nearly do.

use two_node_ha_config::FencingMode::Constraint;

use super::world::{Peer, SPELLINGS, World, cut};

/// A row: its name, the world, what is done, exit code and decision, and whom a constraint allows
/// in the end.
pub type Row = (
    &'static str,
    World,
    &'static [&'static str],
    i32,
    &'static str,
    Option<&'static [&'static str]>,
);

pub const ALPHA: Option<&[&str]> = Some(&["alpha"]);
pub const BETA: Option<&[&str]> = Some(&["beta"]);

pub fn check(rows: &[Row]) {
    for (name, world, deeds, code, decision, left) in rows {
        for generation in [8, 9] {
            for spelling in 0..SPELLINGS.len() {
                let played = world.play(generation, spelling);
                let at = format!(
                    "{name} (DRBD {generation}, spelling {spelling}): {}",
                    played.answer.reason
                );
                assert_eq!(played.answer.decision.as_str(), *decision, "{at}");
                assert_eq!(played.answer.code.number(), *code, "{at}");
                assert_eq!(played.deeds, *deeds, "{at}");
                let left = left.map(|l| l.iter().map(ToString::to_string).collect::<Vec<_>>());
                assert_eq!(played.left, left, "{at}");
                // It says what it is about, and what to do where nothing was claimed.
                assert!(played.answer.reason.contains("beta"), "{at}");
                if *code == 1 && *decision != "not-needed" {
                    assert!(played.answer.reason.contains('`'), "{at}");
                }
            }
        }
    }
}

#[test]
fn a_peer_that_is_alive_is_excluded_by_the_constraint_and_by_nothing_less() {
    check(&[
        (
            "link cut",
            cut(),
            &["place", "ask peer"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "only consistent",
            World {
                local: "Consistent",
                ..cut()
            },
            &["place", "ask peer"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "constraint there already",
            World {
                constraint: ALPHA,
                ..cut()
            },
            &["renew", "ask peer"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "maintenance mode",
            World {
                maintenance: true,
                ..cut()
            },
            &["place", "ask peer"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "the cluster has not noticed yet that the peer is dead",
            World {
                alive: false,
                ..cut()
            },
            &[
                "place", "ask peer", "wait", "ask peer", "wait", "ask peer", "wait", "ask peer",
                "remove",
            ],
            1,
            "undecided",
            None,
        ),
        (
            "the same under constraint",
            World {
                mode: Constraint,
                alive: false,
                ..cut()
            },
            &[
                "place", "ask peer", "wait", "ask peer", "wait", "ask peer", "wait", "ask peer",
            ],
            5,
            "assumed",
            ALPHA,
        ),
        (
            "link cut under constraint",
            World {
                mode: Constraint,
                fencing: false,
                ..cut()
            },
            &["place", "ask peer"],
            4,
            "excluded",
            ALPHA,
        ),
    ]);
}

#[test]
fn seven_is_answered_only_when_the_fencer_remembers_it() {
    let down = World {
        peer: Peer::Down,
        ..cut()
    };
    check(&[
        (
            "fenced",
            World {
                fenced: true,
                ..down.clone()
            },
            &["place", "ask fencer"],
            7,
            "fenced",
            ALPHA,
        ),
        (
            "left in good order",
            down.clone(),
            &["place", "ask fencer"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "only its Pacemaker left",
            World {
                peer: Peer::Leaving,
                ..down.clone()
            },
            &["place", "ask fencer"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "fenced, constraint there",
            World {
                fenced: true,
                constraint: ALPHA,
                ..down.clone()
            },
            &["renew", "ask fencer"],
            7,
            "fenced",
            ALPHA,
        ),
        (
            "the history is old: fencing was disabled since",
            World {
                fenced: true,
                fencing: false,
                ..down.clone()
            },
            &["place"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "under constraint DRBD takes 7 for an error",
            World {
                mode: Constraint,
                fenced: true,
                ..down.clone()
            },
            &["place"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "fencing it makes this node's data no newer",
            World {
                fenced: true,
                local: "Consistent",
                ..down.clone()
            },
            &[],
            1,
            "stale",
            None,
        ),
        (
            "but a constraint from before says that it is newer",
            World {
                fenced: true,
                local: "Consistent",
                constraint: ALPHA,
                ..down
            },
            &["renew", "ask fencer"],
            7,
            "fenced",
            ALPHA,
        ),
    ]);
}

#[test]
fn a_lost_peer_is_waited_for_and_five_is_answered_by_policy_only() {
    for peer in [Peer::Lost, Peer::Mute, Peer::Joining, Peer::Unseen] {
        let lost = World { peer, ..cut() };
        check(&[
            ("lost", lost.clone(), &["wait"], 1, "undecided", None),
            (
                "lost with a constraint from before",
                World {
                    constraint: ALPHA,
                    ..lost.clone()
                },
                &["wait"],
                1,
                "undecided",
                ALPHA,
            ),
            (
                "lost in maintenance mode",
                World {
                    maintenance: true,
                    ..lost.clone()
                },
                &["wait"],
                1,
                "undecided",
                None,
            ),
            (
                "lost under constraint, with fencing in the cluster",
                World {
                    mode: Constraint,
                    ..lost.clone()
                },
                &["place", "wait"],
                5,
                "assumed",
                ALPHA,
            ),
            (
                "lost under constraint, with a constraint from before",
                World {
                    mode: Constraint,
                    constraint: ALPHA,
                    ..lost.clone()
                },
                &["renew"],
                4,
                "excluded",
                ALPHA,
            ),
            (
                "lost under constraint while this node's data may be old",
                World {
                    mode: Constraint,
                    local: "Consistent",
                    ..lost
                },
                &["wait"],
                1,
                "undecided",
                None,
            ),
        ]);
    }
    let off = World {
        peer: Peer::Lost,
        fencing: false,
        ..cut()
    };
    check(&[
        (
            "stonith off in the cluster",
            off.clone(),
            &["wait"],
            1,
            "undecided",
            None,
        ),
        (
            "the same under constraint: nobody will fence, so nothing is waited for",
            World {
                mode: Constraint,
                ..off.clone()
            },
            &["place"],
            5,
            "assumed",
            ALPHA,
        ),
        (
            "and with data that may be old",
            World {
                mode: Constraint,
                local: "Consistent",
                ..off
            },
            &[],
            1,
            "stale",
            None,
        ),
    ]);
}

#[test]
fn a_constraint_that_cannot_be_renewed_supports_no_claim() {
    let standing = World {
        constraint: ALPHA,
        ..cut()
    };
    check(&[
        (
            "renewing is refused",
            World {
                refused: Some("no DC answered"),
                ..standing.clone()
            },
            &[],
            1,
            "undecided",
            ALPHA,
        ),
        (
            "the same under constraint",
            World {
                mode: Constraint,
                refused: Some("no DC answered"),
                ..standing.clone()
            },
            &[],
            1,
            "undecided",
            ALPHA,
        ),
        (
            "the same with a lost peer",
            World {
                mode: Constraint,
                peer: Peer::Lost,
                refused: Some("no DC answered"),
                ..standing.clone()
            },
            &[],
            1,
            "undecided",
            ALPHA,
        ),
        (
            "somebody else is always quicker",
            World {
                overtaken: 9,
                ..standing.clone()
            },
            &[],
            1,
            "undecided",
            ALPHA,
        ),
        (
            "somebody else was quicker twice",
            World {
                overtaken: 2,
                ..standing.clone()
            },
            &["renew", "ask peer"],
            4,
            "excluded",
            ALPHA,
        ),
        (
            "the peer does not answer: nothing was claimed on it, and it is not this call's to take away",
            World {
                alive: false,
                ..standing
            },
            &[
                "renew", "ask peer", "wait", "ask peer", "wait", "ask peer", "wait", "ask peer",
            ],
            1,
            "undecided",
            ALPHA,
        ),
    ]);
}
