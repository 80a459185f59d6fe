//! The constraints that DRBD's fence-peer handlers leave in the CIB.
//!
//! A handler on the primary that has lost its peer places a `rsc_location` whose rule forbids the
//! promoted role to every node but its own (drbd-utils, `crm-fence-peer.sh`). It takes it away once
//! both disks are up to date again, some time after the resync has ended.

use roxmltree::{Document, Node as Element, ParsingOptions};
use serde::{Deserialize, Serialize};

use crate::parse::{Error, NODES_LIMIT};

/// How the ids of these constraints begin; the name of the DRBD resource follows.
const PREFIX: &str = "drbd-fence-by-handler-";

/// One constraint of a fence-peer handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencingConstraint {
    /// Its id: `drbd-fence-by-handler-RESOURCE-CLONE`.
    pub id: String,
    /// The nodes that may still be promoted.
    pub allowed: Vec<String>,
}

impl FencingConstraint {
    /// Whether it stands in the way of promoting this node.
    #[must_use]
    pub fn forbids(&self, node: &str) -> bool {
        !self.allowed.iter().any(|allowed| allowed == node)
    }
}

/// Reads the `<constraints>` section of a CIB, or a whole CIB, and picks out the constraints of
/// the handlers of this DRBD resource.
///
/// # Errors
/// When the text is not XML, or neither of the two.
pub fn parse_fencing_constraints(
    xml: &str,
    resource: &str,
) -> Result<Vec<FencingConstraint>, Error> {
    let options = ParsingOptions {
        nodes_limit: NODES_LIMIT,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(xml, options)?;
    let section = document
        .root_element()
        .descendants()
        .find(|element| element.has_tag_name("constraints"))
        .ok_or_else(|| Error::Schema("it has no <constraints>".into()))?;
    // The dash: the constraint of r10 is none of r1's.
    let prefix = format!("{PREFIX}{resource}-");
    Ok(section
        .children()
        .filter(|element| element.has_tag_name("rsc_location"))
        .filter_map(|element| {
            let id = element.attribute("id")?;
            (id.starts_with(&prefix) && element.children().any(bans_promotion)).then(|| {
                FencingConstraint {
                    id: id.to_owned(),
                    allowed: allowed(element),
                }
            })
        })
        .collect())
}

/// A rule that keeps the promoted role away (`Master` up to Pacemaker 2.1's old CIBs).
fn bans_promotion(rule: Element<'_, '_>) -> bool {
    rule.has_tag_name("rule")
        && matches!(rule.attribute("role"), Some("Master" | "Promoted"))
        && rule.attribute("score") == Some("-INFINITY")
}

/// The names that the rules make an exception for.
fn allowed(location: Element<'_, '_>) -> Vec<String> {
    location
        .descendants()
        .filter(|element| {
            element.has_tag_name("expression")
                && element.attribute("attribute") == Some("#uname")
                && element.attribute("operation") == Some("ne")
        })
        .filter_map(|element| element.attribute("value").map(str::to_owned))
        .collect()
}
