//! Every row of the table, on both generations of DRBD and in both spellings of Pacemaker's, from a
//! real CIB; and every world there is of some thousand.
#![allow(clippy::unwrap_used)]

mod decisions;
mod interleavings;
mod refusals;
mod table;
mod words;
pub(super) mod world;

use two_node_ha_config::FencingMode::{Constraint, None as NoFencing, Stonith};

use self::table::{ALPHA, BETA};
use self::world::{Peer, World, cut};
use two_node_ha_fence::answer::Level;

#[test]
fn the_minors_are_those_that_drbd_names_and_the_configured_one_where_it_names_none() {
    for (named, configured, minors) in [
        (vec![], Some(3), vec![3]),
        (vec![4, 5], Some(3), vec![4, 5]),
        (vec![], None, vec![]),
    ] {
        assert_eq!(super::minors(named, configured), minors);
    }
}

#[test]
fn a_suspended_primary_is_critical_and_alerted() {
    let played = World {
        peer: Peer::Lost,
        ..cut()
    }
    .play(8, 0);
    assert_eq!(
        (played.answer.level, played.answer.alert),
        (Level::Critical, true)
    );
    assert!(
        played
            .answer
            .reason
            .contains("`stonith_admin --confirm beta`"),
        "{}",
        played.answer.reason
    );
    let played = World {
        peer: Peer::Lost,
        mode: Constraint,
        ..cut()
    }
    .play(8, 0);
    assert_eq!(
        (played.answer.level, played.answer.alert),
        (Level::Warning, false)
    );
}

#[test]
fn no_state_of_the_world_is_answered_by_a_claim_without_the_constraint() {
    let mut count = 0;
    let disks = ["UpToDate", "Consistent"];
    for mode in [Stonith, Constraint, NoFencing] {
        for peer in [
            Peer::Online,
            Peer::Down,
            Peer::Leaving,
            Peer::Lost,
            Peer::Mute,
            Peer::Joining,
            Peer::Unseen,
        ] {
            for local in disks {
                for constraint in [None, ALPHA, BETA] {
                    for bits in 0..1 << 7 {
                        let bit = |n: u32| bits >> n & 1 == 1;
                        if bit(6) && constraint.is_none() {
                            // There is nothing to be quicker with.
                            continue;
                        }
                        let world = World {
                            mode,
                            peer,
                            local,
                            constraint,
                            dc: bit(0),
                            quorum: bit(1),
                            fencing: bit(2),
                            alive: bit(3),
                            fenced: bit(4),
                            refused: bit(5).then_some("refused"),
                            overtaken: usize::from(bit(6)),
                            ..cut()
                        };
                        let played = world.play(8, 1);
                        let code = played.answer.code.number();
                        let at = format!("{world:?}: {code} {}", played.answer.reason);
                        assert!([1, 4, 5, 7].contains(&code), "{at}");
                        if code != 1 {
                            assert_eq!(
                                played.left.as_deref(),
                                Some(&["alpha".to_owned()][..]),
                                "{at}"
                            );
                            assert!(world.quorum, "{at}");
                            // Nobody who has read its mark has seen the link up before this call.
                            assert!(played.own, "{at}");
                        }
                        if code == 7 {
                            assert!(mode == Stonith && world.fenced && world.fencing, "{at}");
                            assert!(matches!(peer, Peer::Down | Peer::Leaving), "{at}");
                        }
                        if code == 5 {
                            assert!(mode == Constraint && local == "UpToDate", "{at}");
                        }
                        if mode == Stonith && code == 1 && constraint.is_none() {
                            assert_eq!(played.left, None, "{at}");
                        }
                        count += 1;
                    }
                }
            }
        }
    }
    assert_eq!(count, 3 * 7 * 2 * (64 + 2 * 128));
}
