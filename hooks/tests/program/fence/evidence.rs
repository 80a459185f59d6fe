//! That what a call relies on is as new as what it claims.

use super::node::{ALIVE, Node, SILENT};

#[test]
fn a_peer_that_did_not_answer_at_first_is_asked_again_after_each_wait() {
    let node = Node::new("stonith", "30s");
    let asked = node.path("asked");
    let script = format!(
        "echo x >> {0}; if [ $(wc -l < {0}) -gt 2 ]; then {ALIVE}; else {SILENT}; fi",
        asked.display()
    );
    node.program("crmadmin", &script);
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(4), "excluded"), "{reason}");
    let asked = std::fs::read_to_string(asked).unwrap();
    assert_eq!(asked.lines().count(), 3, "{reason}");
}

#[test]
fn a_peer_that_was_down_before_the_constraint_and_is_back_since_is_not_called_down() {
    let node = Node::new("stonith", "6s");
    node.peer("in_ccm=\"false\" crmd=\"offline\" join=\"down\" expected=\"down\"");
    // It comes back in the moment in which the constraint is made, and its controller does not answer.
    node.program("crmadmin", SILENT);
    node.program(
        "cibadmin",
        &format!(
            "case $1 in --create) /usr/sbin/cibadmin \"$@\" || exit $?; \
             sed -i '/<node_state .*uname=\"beta\"/{{s/in_ccm=\"false\"/in_ccm=\"true\"/; \
             s/crmd=\"offline\"/crmd=\"online\"/; s/\"down\"/\"member\"/g}}' {}; exit 0;; esac\n\
             exec /usr/sbin/cibadmin \"$@\"",
            node.path("cib.xml").display()
        ),
    );
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!(
        (code, decision.as_str()),
        (Some(1), "undecided"),
        "{reason}"
    );
    assert!(reason.contains("does not answer"), "{reason}");
    assert_eq!(node.constraint(), None);
}

#[test]
fn a_constraint_stays_until_both_copies_are_current_this_nodes_own_too() {
    let node = Node::new("stonith", "20s");
    assert_eq!(node.call("fence-peer").0, Some(4));
    for disks in [
        "Inconsistent/UpToDate",
        "Outdated/UpToDate",
        "Consistent/UpToDate",
        "Diskless/UpToDate",
        "UpToDate/Inconsistent",
        "UpToDate/DUnknown",
    ] {
        node.drbd("Connected", disks);
        let (code, decision, reason) = node.call("unfence-peer");
        assert_eq!((code, decision.as_str()), (Some(0), "recorded"), "{disks}");
        assert!(reason.contains("a constraint stays"), "{disks}: {reason}");
        assert!(node.constraint().is_some(), "{disks}");
    }
    node.drbd("Connected", "UpToDate/UpToDate");
    assert_eq!(node.call("unfence-peer").1, "unfenced");
    assert_eq!(node.constraint(), None);
}
