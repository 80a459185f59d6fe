//! The `configuration` of the CIB, as XML: it serves users of crmsh and of pcs alike.
//!
//! It is meant for `cibadmin --modify --allow-create --scope configuration --xml-pipe`, which adds
//! and changes by id and leaves all else alone. Never `--replace`: that would drop the constraint by
//! which a DRBD handler keeps an outdated node from becoming primary.

use super::{Constraint, Model, Operation, Pair, Resource, time};

// Short options, since a comment in XML may not hold `--`.
const HEADER: &str = "\
<!--
  Written by `two-node-ha render pacemaker` from /etc/two-node-ha.toml. To be applied on one node,
  while the cluster runs, by
    two-node-ha render pacemaker | cibadmin -M -c -o configuration -p
-->
";

/// An XML document.
#[must_use]
pub fn render(m: &Model) -> String {
    let mut x = Xml::new();
    x.out += HEADER;
    x.open("configuration", &[]);

    x.open("crm_config", &[]);
    let set = "cib-bootstrap-options";
    x.pairs("cluster_property_set", set, &m.properties);
    x.close("crm_config");

    x.open("resources", &[]);
    for resource in &m.resources {
        if resource.id == m.clone.of {
            x.open("clone", &[("id", &m.clone.id)]);
            let id = format!("{}-meta_attributes", m.clone.id);
            x.pairs("meta_attributes", &id, &m.clone.meta);
            primitive(&mut x, resource);
            x.close("clone");
        } else {
            primitive(&mut x, resource);
        }
    }
    x.close("resources");

    x.open("constraints", &[]);
    for c in &m.constraints {
        constraint(&mut x, c);
    }
    x.close("constraints");
    x.close("configuration");
    x.out
}

fn primitive(x: &mut Xml, r: &Resource) {
    let mut attributes = vec![("id", r.id.as_str()), ("class", r.class)];
    attributes.extend(r.provider.map(|p| ("provider", p)));
    attributes.push(("type", &r.agent));
    x.open("primitive", &attributes);
    if !r.params.is_empty() {
        let id = format!("{}-instance_attributes", r.id);
        x.pairs("instance_attributes", &id, &r.params);
    }
    if !r.meta.is_empty() {
        x.pairs(
            "meta_attributes",
            &format!("{}-meta_attributes", r.id),
            &r.meta,
        );
    }
    x.open("operations", &[]);
    for o in &r.operations {
        operation(x, &r.id, o);
    }
    x.close("operations");
    x.close("primitive");
}

fn operation(x: &mut Xml, resource: &str, o: &Operation) {
    let interval = time(o.interval);
    let id = format!("{resource}-{}-{interval}", o.name);
    let timeout = time(o.timeout);
    let mut attributes = vec![
        ("id", id.as_str()),
        ("name", o.name),
        ("interval", &interval),
        ("timeout", &timeout),
    ];
    attributes.extend(o.role.map(|r| ("role", r)));
    attributes.extend(o.on_fail.map(|f| ("on-fail", f)));
    x.empty("op", &attributes);
}

fn constraint(x: &mut Xml, c: &Constraint) {
    match c {
        Constraint::Colocation {
            id,
            what,
            with,
            role,
        } => {
            let mut attributes = vec![
                ("id", *id),
                ("score", "INFINITY"),
                ("rsc", what),
                ("with-rsc", with),
            ];
            attributes.extend(role.map(|r| ("with-rsc-role", r)));
            x.empty("rsc_colocation", &attributes);
        }
        Constraint::Order {
            id,
            first: (first, action),
            then,
        } => x.empty(
            "rsc_order",
            &[
                ("id", id),
                ("kind", "Mandatory"),
                ("first", first),
                ("first-action", action),
                ("then", then),
                ("then-action", "start"),
            ],
        ),
        Constraint::Never { id, what, node } => x.empty(
            "rsc_location",
            &[
                ("id", id),
                ("rsc", what),
                ("node", node),
                ("score", "-INFINITY"),
            ],
        ),
    }
}

/// Writes elements, indented.
struct Xml {
    out: String,
    depth: usize,
}

impl Xml {
    fn new() -> Self {
        Self {
            out: String::new(),
            depth: 0,
        }
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        self.out.extend(std::iter::repeat_n("  ", self.depth));
        self.out.push('<');
        self.out.push_str(name);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, &mut self.out);
            self.out.push('"');
        }
        self.out.push_str(end);
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, ">\n");
        self.depth += 1;
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, "/>\n");
    }

    fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.out.extend(std::iter::repeat_n("  ", self.depth));
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// A set of `nvpair`s, each with an id of its own.
    fn pairs(&mut self, element: &str, id: &str, pairs: &[Pair]) {
        self.open(element, &[("id", id)]);
        for (name, value) in pairs {
            let id = format!("{id}-{name}");
            self.empty("nvpair", &[("id", &id), ("name", name), ("value", value)]);
        }
        self.close(element);
    }
}

/// For an attribute between double quotes. White space other than the blank is written as a
/// reference, since a parser would turn it into blanks (XML 1.0, 3.3.3).
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_value_reads_back_as_it_was(value in "[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\u{fffe}\u{ffff}]*") {
            let mut x = Xml::new();
            x.empty("a", &[("b", &value)]);
            let document = roxmltree::Document::parse(&x.out).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(document.root_element().attribute("b"), Some(value.as_str()));
        }
    }
}
