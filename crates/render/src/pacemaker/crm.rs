//! The same for `crm configure load update FILE`: crmsh 4.4 and 5.0.

use super::operations::{assignments, operation, pairs};
use super::{Constraint, Model, Resource};

/// Lines of crmsh.
///
/// # Errors
/// If a value is not ASCII: crmsh (4.4 and 5.0, tried) writes such letters into the CIB as the text
/// `&#233;`, so that a password silently becomes another one.
pub fn render(m: &Model) -> Result<String, String> {
    for r in &m.resources {
        if let Some((name, _)) = r.params.iter().find(|(_, value)| !value.is_ascii()) {
            return Err(format!(
                "crmsh garbles values with letters outside of ASCII, as {name} of {} has; use --format cib-xml",
                r.id
            ));
        }
    }
    // crmsh turns comments into XML comments, which may not hold `--`.
    let mut out = super::super::header(
        "pacemaker",
        "a file for `crm configure load update FILE` on one node.",
    );
    for r in &m.resources {
        primitive(&mut out, r);
    }
    out += &format!("clone {} {}", m.clone.id, m.clone.of);
    pairs(&mut out, "meta", &m.clone.meta);
    out.push('\n');
    for c in &m.constraints {
        out += &match c {
            Constraint::Colocation {
                id,
                what,
                with,
                role,
            } => {
                let role = role.map(|r| format!(":{r}")).unwrap_or_default();
                format!("colocation {id} INFINITY: {what} {with}{role}\n")
            }
            Constraint::Order {
                id,
                first: (first, action),
                then,
            } => format!("order {id} Mandatory: {first}:{action} {then}:start\n"),
            Constraint::Never { id, what, node } => {
                format!("location {id} {what} -INFINITY: {node}\n")
            }
        };
    }
    out += "property cib-bootstrap-options:";
    assignments(&mut out, &m.properties);
    out.push('\n');
    Ok(out)
}

fn primitive(out: &mut String, r: &Resource) {
    let provider = r.provider.map(|p| format!(":{p}")).unwrap_or_default();
    *out += &format!("primitive {} {}{provider}:{}", r.id, r.class, r.agent);
    pairs(out, "params", &r.params);
    for o in &r.operations {
        operation(out, "op ", o);
    }
    pairs(out, "meta", &r.meta);
    out.push('\n');
}
