//! The constraints that DRBD's fence-peer handlers leave in the CIB.
//!
//! A handler on the primary that has lost its peer places a `rsc_location` whose rule forbids the
//! promoted role to every node but its own (drbd-utils, `crm-fence-peer.sh`). It takes it away once
//! both disks are up to date again, some time after the resync has ended.
//!
//! Ids and shape are those of drbd-utils' scripts, so that each one's unfence finds what the
//! other's fence has placed.
//!
//! The mark of a constraint, and what it is for: [`crate::fence`].

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::SystemTime;

use roxmltree::Node as Element;
use serde::{Deserialize, Serialize};

use crate::parse::{Error, document};

/// How the ids of these constraints begin; the name of the DRBD resource follows.
const PREFIX: &str = "drbd-fence-by-handler-";

/// One constraint of a fence-peer handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencingConstraint {
    /// Its id: `drbd-fence-by-handler-RESOURCE-CLONE`.
    pub id: String,
    /// The clone that it is about.
    pub clone: String,
    /// The nodes that may still be promoted.
    pub allowed: Vec<String>,
    /// What tells this placing or renewal of it from each other: the id of the first exception.
    /// `None` where it makes none.
    pub mark: Option<String>,
}

impl FencingConstraint {
    /// The constraint that lets `node` alone be promoted, as drbd-utils' script would place it.
    #[must_use]
    pub fn new(resource: &str, clone: &str, node: &str) -> Self {
        Self {
            id: format!("{PREFIX}{resource}-{clone}"),
            clone: clone.to_owned(),
            allowed: vec![node.to_owned()],
            mark: Some(format!("{PREFIX}{resource}-expr-{clone}")),
        }
    }

    /// The same constraint with a mark that none has had before.
    #[must_use]
    pub fn marked(&self) -> Self {
        self.marked_with(&word())
    }

    /// The same constraint with this word in its mark.
    #[must_use]
    pub fn marked_with(&self, word: &str) -> Self {
        Self {
            mark: Some(format!("{}-expr-{word}-{}", self.stem(), self.clone)),
            ..self.clone()
        }
    }

    /// `drbd-fence-by-handler-r0`, which the script puts before the clone in every id.
    fn stem(&self) -> &str {
        self.id
            .strip_suffix(&self.clone)
            .and_then(|stem| stem.strip_suffix('-'))
            .unwrap_or(&self.id)
    }

    /// Whether it stands in the way of promoting this node.
    #[must_use]
    pub fn forbids(&self, node: &str) -> bool {
        !self.allowed.iter().any(|allowed| allowed == node)
    }

    /// Whether this node, and no other, may still be promoted.
    #[must_use]
    pub fn allows_only(&self, node: &str) -> bool {
        !self.allowed.is_empty() && self.allowed.iter().all(|allowed| allowed == node)
    }

    /// The element that creates it. `role` is the schema's word for a promoted instance
    /// ([`crate::Cib::promoted_role`]).
    #[must_use]
    pub fn element(&self, role: &str) -> String {
        let clone = escaped(&self.clone);
        let id = escaped(&self.id);
        let stem = escaped(self.stem());
        let mut expressions = String::new();
        for (index, node) in self.allowed.iter().enumerate() {
            // crm-fence-peer.sh knows one node and numbers none; crm-fence-peer.9.sh numbers.
            let name = match (index, &self.mark) {
                (0, Some(mark)) => escaped(mark),
                (0, None) => format!("{stem}-expr-{clone}"),
                (_, _) => format!("{stem}-expr-{index}-{clone}"),
            };
            expressions += &format!(
                "<expression attribute=\"#uname\" operation=\"ne\" value=\"{}\" id=\"{name}\"/>",
                escaped(node)
            );
        }
        format!(
            "<rsc_location rsc=\"{clone}\" id=\"{id}\"><rule role=\"{}\" score=\"-INFINITY\" \
             id=\"{stem}-rule-{clone}\">{expressions}</rule></rsc_location>",
            escaped(role)
        )
    }

    /// The XPath of this constraint, as long as it has this mark and has not been placed or renewed
    /// since.
    #[must_use]
    pub fn path(&self) -> String {
        self.path_with_marks_of(std::slice::from_ref(self))
    }

    /// The XPath of this constraint, as long as it has the mark of one of these.
    pub(crate) fn path_with_marks_of(&self, any: &[Self]) -> String {
        let exceptions = ".//expression[@attribute='#uname' and @operation='ne']/@id";
        let marks: Vec<_> = any
            .iter()
            .map(|one| match &one.mark {
                Some(mark) => format!("{exceptions}={}", quoted(mark)),
                None => format!("not({exceptions})"),
            })
            .collect();
        let marks = match marks.as_slice() {
            [mark] => mark.clone(),
            marks => format!("({})", marks.join(" or ")),
        };
        format!(
            "/cib/configuration/constraints/rsc_location[@id={} and {marks}]",
            quoted(&self.id)
        )
    }

    /// The element that names it, whatever its mark, to be deleted by hand.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "<rsc_location rsc=\"{}\" id=\"{}\"/>",
            escaped(&self.clone),
            escaped(&self.id)
        )
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
    let mut found = section(xml)?;
    found.retain(|constraint| belongs(&constraint.id, resource));
    Ok(found)
}

/// The same of every resource.
pub(crate) fn section(xml: &str) -> Result<Vec<FencingConstraint>, Error> {
    let document = document(xml)?;
    let section = document
        .root_element()
        .descendants()
        .find(|element| element.has_tag_name("constraints"))
        .ok_or_else(|| Error::Schema("it has no <constraints>".into()))?;
    Ok(all(section))
}

/// Whether the constraint of this id was placed for this DRBD resource.
pub(crate) fn belongs(id: &str, resource: &str) -> bool {
    // The dash: the constraint of r10 is none of r1's.
    id.strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix(resource))
        .is_some_and(|rest| rest.starts_with('-'))
}

/// The constraints of all handlers, of whatever resource, from a `<constraints>`.
pub(crate) fn all(section: Element<'_, '_>) -> Vec<FencingConstraint> {
    section
        .children()
        .filter(|element| element.has_tag_name("rsc_location"))
        .filter_map(|element| {
            let id = element.attribute("id")?;
            (id.starts_with(PREFIX) && element.children().any(bans_promotion)).then(|| {
                FencingConstraint {
                    id: id.to_owned(),
                    clone: element.attribute("rsc").unwrap_or_default().to_owned(),
                    allowed: exceptions(element, "value"),
                    mark: exceptions(element, "id").into_iter().next(),
                }
            })
        })
        .collect()
}

/// A rule that keeps the promoted role away (`Master` up to Pacemaker 2.1's old CIBs).
fn bans_promotion(rule: Element<'_, '_>) -> bool {
    rule.has_tag_name("rule")
        && matches!(rule.attribute("role"), Some("Master" | "Promoted"))
        && rule.attribute("score") == Some("-INFINITY")
}

/// This attribute of all the exceptions that the rules make for a node.
fn exceptions(location: Element<'_, '_>, attribute: &str) -> Vec<String> {
    location
        .descendants()
        .filter(|element| {
            element.has_tag_name("expression")
                && element.attribute("attribute") == Some("#uname")
                && element.attribute("operation") == Some("ne")
        })
        .filter_map(|element| element.attribute(attribute).map(str::to_owned))
        .collect()
}

/// A word that has not been used before. The standard library's hasher is keyed by the kernel's
/// randomness, and never waits for it, which a handler at boot could not afford.
fn word() -> String {
    let unique = (SystemTime::now(), std::process::id());
    format!("{:016x}", RandomState::new().hash_one(unique))
}

/// Text as a string of XPath, which has no escapes.
fn quoted(text: &str) -> String {
    if !text.contains('\'') {
        format!("'{text}'")
    } else if !text.contains('"') {
        format!("\"{text}\"")
    } else {
        format!("concat('{}')", text.replace('\'', "',\"'\",'"))
    }
}

/// Text as an attribute's value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}
