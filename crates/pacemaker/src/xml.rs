//! What Pacemaker's XML is read by.

use roxmltree::Node as Element;

use crate::parse::Error;

/// As Pacemaker reads a boolean.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "y" | "1" => Some(true),
        "false" | "off" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

pub(crate) fn child<'a, 'i>(parent: Element<'a, 'i>, name: &str) -> Result<Element<'a, 'i>, Error> {
    parent
        .children()
        .find(|element| element.has_tag_name(name))
        .ok_or_else(|| Error::Schema(format!("it has no <{name}>")))
}

pub(crate) fn children<'a, 'i: 'a>(
    parent: Element<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = Element<'a, 'i>> {
    parent
        .children()
        .filter(move |element| element.has_tag_name(name))
}
