//! The same as commands of pcs 0.11 and 0.12, which change a copy of the CIB and push it at once.

use super::operations::{assignments, operation, pairs};
use super::{Constraint, Model, Resource};

/// A shell script.
#[must_use]
pub fn render(m: &Model) -> String {
    let mut out = String::from("#!/bin/sh\n");
    out += &super::super::header(
        "pacemaker --format pcs",
        "a shell on one node of a cluster that has none of these resources yet.",
    );
    out +=
        "set -eu\numask 077\ncib=$(mktemp)\ntrap 'rm -f \"$cib\"' EXIT\npcs cluster cib \"$cib\"\n";
    for r in &m.resources {
        create(&mut out, r);
    }
    line(
        &mut out,
        &format!("resource promotable {} {}", m.clone.of, m.clone.id),
        |out| {
            // pcs sets `promotable` itself.
            let meta: Vec<_> = m
                .clone
                .meta
                .iter()
                .filter(|(name, _)| name != "promotable")
                .cloned()
                .collect();
            pairs(out, "meta", &meta);
        },
    );
    for c in &m.constraints {
        let words = match c {
            Constraint::Colocation {
                id,
                what,
                with,
                role,
            } => {
                let role = role.map(|r| format!("{r} ")).unwrap_or_default();
                format!("constraint colocation add {what} with {role}{with} INFINITY id={id}")
            }
            Constraint::Order {
                id,
                first: (first, action),
                then,
            } => format!(
                "constraint order {action} {first} then start {then} kind=Mandatory id={id}"
            ),
            Constraint::Never { id, what, node } => {
                format!("constraint location add {id} {what} {node} -- -INFINITY")
            }
        };
        line(&mut out, &words, |_| {});
    }
    line(&mut out, "property set", |out| {
        assignments(out, &m.properties);
    });
    out += "pcs cluster cib-push \"$cib\" --config\n";
    out
}

fn line(out: &mut String, words: &str, more: impl FnOnce(&mut String)) {
    *out += "pcs -f \"$cib\" ";
    *out += words;
    more(out);
    out.push('\n');
}

fn create(out: &mut String, r: &Resource) {
    let kind = if r.class == "stonith" {
        format!("stonith create {} {}", r.id, r.agent)
    } else {
        let provider = r.provider.map(|p| format!(":{p}")).unwrap_or_default();
        format!("resource create {} {}{provider}:{}", r.id, r.class, r.agent)
    };
    line(out, &kind, |out| {
        assignments(out, &r.params);
        if !r.operations.is_empty() {
            *out += " op";
        }
        for o in &r.operations {
            operation(out, "", o);
        }
        pairs(out, "meta", &r.meta);
    });
}
