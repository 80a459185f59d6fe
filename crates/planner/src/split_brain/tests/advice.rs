//! Which node is recommended, and when none is.

use two_node_ha_dqlite::Prints;

use super::cases::side;
use crate::Database;
use crate::record::Owned;
use crate::split_brain::advice::{Advice, Logs, advise};
use crate::split_brain::side::{Disk, Link, Log, Side};

fn pair() -> (Side, Side) {
    (side("haone", 5), side("hatwo", 6))
}

fn log(entries: &[u32]) -> Log {
    Log::Read(Prints {
        last_term: 3,
        last_index: 100 + entries.len() as u64 - 1,
        first: 100,
        entries: entries.to_vec(),
    })
}

fn kept(a: &Side, b: &Side) -> (String, String) {
    match advise(a, b).advice {
        Advice::Keep { node, reasons } => (node, reasons.join("; ")),
        other => panic!("{other:?}"),
    }
}

fn with_logs(side: &mut Side, k8sd: &[u32], k8s_dqlite: &[u32]) {
    side.logs.insert(Database::K8sd, log(k8sd));
    side.logs.insert(Database::K8sDqlite, log(k8s_dqlite));
}

#[test]
fn where_both_have_written_nobody_is_recommended() {
    let (mut a, mut b) = pair();
    assert!(matches!(advise(&a, &b).advice, Advice::CannotTell { .. }));
    with_logs(&mut a, &[1, 2], &[1, 2, 3, 4]);
    with_logs(&mut b, &[1, 2], &[1, 2, 9]);
    let comparison = advise(&a, &b);
    let Logs::Compared(parting) = &comparison.logs[1].1 else {
        panic!("{comparison:?}")
    };
    assert_eq!(parting.differs, Some(102));
    assert_eq!(parting.only_a.unwrap().entries(), 2);
    assert_eq!(parting.only_b.unwrap().entries(), 1);
    assert!(matches!(comparison.advice, Advice::CannotTell { .. }));
}

#[test]
fn the_node_with_every_entry_of_the_other_is_kept() {
    let (mut a, mut b) = pair();
    with_logs(&mut a, &[1, 2], &[1, 2, 3, 4]);
    with_logs(&mut b, &[1, 2], &[1, 2]);
    let (node, why) = kept(&a, &b);
    assert_eq!(node, "haone");
    assert!(
        why.contains("on haone hold every entry of those on hatwo"),
        "{why}"
    );
    assert_eq!(kept(&b, &a).0, "haone");
    // One database says so and the other the contrary.
    with_logs(&mut b, &[1, 2, 3], &[1, 2]);
    assert!(matches!(advise(&a, &b).advice, Advice::CannotTell { .. }));
}

#[test]
fn a_node_that_is_ahead_in_either_database_or_in_both_is_kept_while_the_other_is_ahead_in_none() {
    let (mut a, mut b) = pair();
    with_logs(&mut b, &[1, 2], &[1, 2]);
    let longer: &[u32] = &[1, 2, 3];
    for (k8sd, k8s_dqlite) in [(longer, &[1, 2][..]), (&[1, 2], longer), (longer, longer)] {
        with_logs(&mut a, k8sd, k8s_dqlite);
        assert_eq!(kept(&a, &b), kept(&b, &a));
        assert_eq!(kept(&a, &b).0, "haone");
    }
    // Each has what the other has not, of one database.
    with_logs(&mut a, longer, &[1, 9]);
    assert!(matches!(advise(&a, &b).advice, Advice::CannotTell { .. }));
    with_logs(&mut a, &[1, 9], longer);
    assert!(matches!(advise(&a, &b).advice, Advice::CannotTell { .. }));
}

#[test]
fn a_node_that_never_took_the_databases_over_has_written_nothing_to_them() {
    let (a, mut b) = pair();
    b.volume = Some(Owned {
        epoch: 5,
        owner: "haone".into(),
    });
    let (node, why) = kept(&a, &b);
    assert_eq!(node, "haone");
    assert!(why.contains("hatwo has never taken them over"), "{why}");
}

#[test]
fn a_copy_that_is_not_whole_is_not_kept() {
    let (mut a, b) = pair();
    a.disk = Disk::Inconsistent;
    assert_eq!(kept(&a, &b).0, "hatwo");
}

#[test]
fn what_is_no_split_brain_is_called_none() {
    let (mut a, mut b) = pair();
    a.link = Link::Resyncing;
    assert!(matches!(advise(&a, &b).advice, Advice::None { .. }));
    let (a, _) = pair();
    b.generation.clone_from(&a.generation);
    assert!(matches!(advise(&a, &b).advice, Advice::None { .. }));
}

#[test]
fn where_no_generation_is_known_the_handler_of_either_node_says_whether_it_is_a_split_brain() {
    let (mut a, mut b) = pair();
    b.generation = Err("no such resource".into());
    let called = vec!["evidence".to_owned()];
    for (of_a, of_b, none) in [
        (vec![], vec![], true),
        (called.clone(), vec![], false),
        (vec![], called.clone(), false),
        (called.clone(), called, false),
    ] {
        (a.evidence, b.evidence) = (of_a, of_b);
        let advice = advise(&a, &b).advice;
        assert_eq!(matches!(advice, Advice::None { .. }), none, "{advice:?}");
    }
}
