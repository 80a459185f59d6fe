//! What must hold of any text that is taken for a CIB.

use two_node_ha_pacemaker::{FencingConstraint, PeerNode, parse_cib, parse_fencing_constraints};

/// Whatever it is, it is read without a panic and without a contradiction.
pub fn cib(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(cib) = parse_cib(&text) else {
        return;
    };
    for node in &cib.nodes {
        let name = &node.name;
        // Without a DC nothing that is recorded can be relied on.
        assert!(cib.dc.is_some() || cib.peer_state(name) == PeerNode::Unknown);
    }
    for clone in &cib.clones {
        let found: Vec<_> = cib.fencing(&clone.resource).cloned().collect();
        // Both ways of reading agree. (A comment or a template may hold a second <constraints>.)
        if text.matches("<constraints").count() == 1 {
            assert_eq!(
                parse_fencing_constraints(&text, &clone.resource).ok(),
                Some(found)
            );
        }
        // A constraint that is made for it is read back as it was.
        let made = FencingConstraint::new(&clone.resource, &clone.id, "alpha");
        let whole = format!(
            "<constraints>{}</constraints>",
            made.element(cib.promoted_role())
        );
        let read = parse_fencing_constraints(&whole, &clone.resource);
        // XML makes blanks of what a name cannot have.
        if !clone.id.contains(char::is_whitespace) && !clone.resource.contains(char::is_whitespace)
        {
            assert_eq!(read.ok(), Some(vec![made]));
        }
    }
}
