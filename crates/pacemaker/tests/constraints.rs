//! The constraints of DRBD's handlers, as Pacemaker shows them.

use two_node_ha_command::scripted::Scripted;
use two_node_ha_pacemaker::{FencingConstraint, parse_fencing_constraints, query};

/// What `cibadmin --query --scope constraints` printed while crm-fence-peer.sh's constraint stood
/// (Pacemaker 3.0.0, DRBD 8.4.11).
const FENCED: &str = include_str!("fixtures/constraints-fenced.3.0.0.xml");
/// The same cluster without one.
const FREE: &str = include_str!("fixtures/constraints-free.3.0.0.xml");

#[test]
fn a_handlers_constraint_forbids_every_node_but_the_one_that_placed_it() {
    let found = parse_fencing_constraints(FENCED, "r0").unwrap();
    assert_eq!(
        found,
        [FencingConstraint {
            id: "drbd-fence-by-handler-r0-drbd_master_slave".into(),
            clone: "drbd_master_slave".into(),
            allowed: vec!["hatwo".into()],
            mark: Some("drbd-fence-by-handler-r0-expr-drbd_master_slave".into()),
        }]
    );
    assert!(found[0].forbids("haone"));
    assert!(!found[0].forbids("hatwo"));
}

#[test]
fn other_constraints_are_none_of_a_handlers() {
    assert_eq!(parse_fencing_constraints(FREE, "r0").unwrap(), []);
    let elsewhere = FENCED.replace("handler-r0-", "handler-r01-");
    assert_eq!(parse_fencing_constraints(&elsewhere, "r0").unwrap(), []);
}

#[test]
fn a_constraint_without_an_exception_forbids_everybody() {
    let all = FENCED.replace("operation=\"ne\"", "operation=\"eq\"");
    let found = parse_fencing_constraints(&all, "r0").unwrap();
    assert!(found[0].forbids("haone") && found[0].forbids("hatwo"));
}

#[test]
fn the_role_promoted_is_the_role_master() {
    let new = FENCED.replace("role=\"Master\"", "role=\"Promoted\"");
    assert_eq!(parse_fencing_constraints(&new, "r0").unwrap().len(), 1);
    let unpromoted = FENCED.replace("role=\"Master\"", "role=\"Unpromoted\"");
    assert_eq!(parse_fencing_constraints(&unpromoted, "r0").unwrap(), []);
}

#[test]
fn a_text_that_holds_no_constraints_is_not_taken_for_one_without_any() {
    for text in [
        "",
        "<cib/>",
        "Could not connect to the CIB",
        "<constraints>",
    ] {
        assert!(parse_fencing_constraints(text, "r0").is_err(), "{text:?}");
    }
}

#[test]
fn the_cluster_is_asked_for_its_constraints_and_a_refusal_is_an_error() {
    let runner = Scripted::new().answer("cibadmin", 0, FENCED);
    assert_eq!(query::fencing_constraints(&runner, "r0").unwrap().len(), 1);
    assert_eq!(runner.calls(), ["cibadmin --query --scope constraints"]);
    assert!(matches!(
        query::fencing_constraints(&Scripted::new().answer("cibadmin", 102, ""), "r0"),
        Err(query::Error::NotRunning(_))
    ));
    // A tool that failed has not said that there is none.
    let failed = Scripted::new().answer("cibadmin", 1, FREE);
    assert!(query::fencing_constraints(&failed, "r0").is_err());
}

proptest::proptest! {
    #[test]
    fn no_damage_makes_the_parser_panic(
        at in 0..FENCED.len(),
        len in 0usize..40,
        by in proptest::collection::vec(proptest::num::u8::ANY, 0..10),
    ) {
        let mut bytes = FENCED.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, by);
        let _ = parse_fencing_constraints(&String::from_utf8_lossy(&bytes), "r0");
    }
}
