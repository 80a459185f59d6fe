//! A constraint of our own that keeps one node from being promoted while a split brain is resolved.

use crate::parse::{Error, document};

/// The constraint as XML. It has no rule: it is what `crm_resource --ban --promoted` makes, under a
/// name that no `crm_resource --clear` takes for its own.
#[must_use]
pub fn ban(id: &str, promotable: &str, node: &str) -> String {
    format!(
        "<rsc_location id=\"{}\" rsc=\"{}\" role=\"Promoted\" node=\"{}\" score=\"-INFINITY\"/>",
        escaped(id),
        escaped(promotable),
        escaped(node)
    )
}

/// What deletes it, as long as it is about this node: Pacemaker compares every attribute that is
/// named. One that has been turned round to the other node meanwhile stays.
#[must_use]
pub fn ban_against(id: &str, node: &str) -> String {
    format!(
        "<rsc_location id=\"{}\" node=\"{}\"/>",
        escaped(id),
        escaped(node)
    )
}

/// The node that the constraint with this id is about, in the `<constraints>` of a CIB or in a whole
/// one; `None` where it does not stand.
///
/// # Errors
/// When the text is not XML, or neither of the two.
pub fn parse_ban(xml: &str, id: &str) -> Result<Option<String>, Error> {
    let document = document(xml)?;
    let section = document
        .root_element()
        .descendants()
        .find(|element| element.has_tag_name("constraints"))
        .ok_or_else(|| Error::Schema("it has no <constraints>".into()))?;
    Ok(section
        .children()
        .find(|element| element.has_tag_name("rsc_location") && element.attribute("id") == Some(id))
        .map(|element| element.attribute("node").unwrap_or_default().to_owned()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constraint_is_found_again_by_its_id_and_no_other_is_taken_for_it() {
        let xml = format!(
            "<cib><configuration><constraints>{}{}</constraints></configuration></cib>",
            ban("two-node-ha-split-brain-r0", "drbd_master_slave", "hatwo"),
            ban(
                "cli-ban-drbd_master_slave-on-haone",
                "drbd_master_slave",
                "haone"
            ),
        );
        let of = |id: &str| parse_ban(&xml, id).unwrap();
        assert_eq!(of("two-node-ha-split-brain-r0").as_deref(), Some("hatwo"));
        assert_eq!(of("two-node-ha-split-brain-r1"), None);
        assert_eq!(parse_ban("<constraints/>", "x").unwrap(), None);
        assert!(parse_ban("<other/>", "x").is_err());
        assert!(parse_ban("nonsense", "x").is_err());
    }
}
