//! What a configuration that cannot be used leaves behind: one unit that fails and says why.

use two_node_ha_config::{Broken, Fallback, Neither};

use super::{Origin, k8s, volume};
use crate::salvage::Salvage;
use crate::tree::Tree;
use crate::unit::{DROP_IN, Unit};

const CONFIG_ERROR: &str = "two-node-ha-config-error.service";

/// What is typed once the file is correct and no agent runs.
const THEN_START: &str = "Correct the file, look at it with `two-node-ha check`, then run\n\
     `systemctl daemon-reload` and `systemctl start two-node-ha-k8s`, or reboot.";
/// What is typed once the file is correct, beside an agent that runs.
const THEN_RESTART: &str = "Correct the file, look at it with `two-node-ha check`, then run\n\
     `systemctl daemon-reload` and `systemctl restart two-node-ha-k8s`.";

/// Why the configuration cannot be used.
#[derive(Debug, Clone)]
pub struct Problem {
    broken: Broken,
    /// Why that of before cannot stand in, where there is one.
    accepted: Option<String>,
}

impl From<Neither> for Problem {
    fn from(Neither { broken, accepted }: Neither) -> Self {
        Self { broken, accepted }
    }
}

impl Problem {
    /// With nothing known of an accepted one.
    #[must_use]
    pub fn new(broken: Broken) -> Self {
        Self {
            broken,
            accepted: None,
        }
    }

    /// Something without a place in the file: a value fits no unit.
    #[must_use]
    pub fn other(why: String) -> Self {
        Self::new(Broken::Unusable(why))
    }

    /// All of it for a person to read.
    #[must_use]
    pub fn report(&self) -> String {
        let note = self.accepted.as_ref().map_or_else(String::new, |why| {
            format!("note: nor can the configuration that was accepted last be used: {why}\n")
        });
        format!("{}{note}", self.broken)
    }

    /// One line for each error, for the kernel's log.
    #[must_use]
    pub fn lines(&self, source: &str) -> String {
        let mut out = String::new();
        match &self.broken {
            Broken::Invalid(diagnostics) => {
                for d in diagnostics.items() {
                    let (line, column, message) = (d.line, d.column, &d.message);
                    out.push_str(&format!("{source}:{line}:{column}: {message}\n"));
                }
            }
            Broken::Unusable(why) => out.push_str(&format!("{source}: {why}\n")),
            Broken::Missing { .. } => out.push_str(&format!("{source}: it is not there\n")),
        }
        if let Some(why) = &self.accepted {
            out.push_str(&format!("{source}: {why}\n"));
        }
        out
    }
}

/// Writes the failing unit, and what keeps the agent and DRBD's own units from starting.
pub fn write(tree: &mut Tree, problem: &Problem, salvage: &Salvage, origin: Origin<'_>) {
    let what = "Kubernetes stays off";
    let report = format!("{}\n{THEN_START}\n", problem.report());
    failing_unit(tree, what, &report, origin);

    // The agent is not enabled, but the failover unit wants it. An agent that is running already
    // is not touched by this: a half-edited file must not undo a failover.
    let mut agent = Unit::new(
        origin.source,
        "No agent while the configuration is invalid.",
    );
    agent.set("Requires", CONFIG_ERROR);
    agent.set("After", CONFIG_ERROR);
    tree.file(format!("{}.d/{DROP_IN}", k8s::AGENT), agent.finish());

    // Salvaged names are short enough, so this does not fail; if it did, a missing mask would be
    // the lesser harm than no error unit.
    let _ = volume::masks(tree, &salvage.resource);
}

/// Writes the failing unit beside the units of the accepted configuration, with which the agent runs.
pub fn write_beside(tree: &mut Tree, fallback: &Fallback, origin: Origin<'_>) {
    let mut report = format!(
        "{}\nNothing that runs is changed: this node goes on with {}\n({}).\n\n",
        fallback.broken,
        fallback.accepted_in_words(),
        fallback.accepted,
    );
    let difference = fallback.difference();
    if !difference.is_empty() {
        report.push_str(&difference);
        report.push('\n');
    }
    match fallback.broken {
        Broken::Missing { .. } => report.push_str(&format!(
            "To put it back: `cp {accepted} {source}`, then `systemctl daemon-reload`.\n\
             To take two-node-ha off this node, remove {accepted}, too:\n\
             two-node-ha(8), WHAT TO TYPE WHEN, says when.\n",
            accepted = fallback.accepted,
            source = origin.source,
        )),
        Broken::Unusable(_) | Broken::Invalid(_) => {
            report.push_str(THEN_RESTART);
            report.push('\n');
        }
    }
    failing_unit(tree, "the last accepted one is used", &report, origin);
}

/// The text stands in the unit itself, as the standard input of `cat`: neither the broken file nor
/// any program of ours is needed to show it, and it is what this boot really found.
fn failing_unit(tree: &mut Tree, what: &str, report: &str, origin: Origin<'_>) {
    let mut unit = Unit::new(
        origin.source,
        "Fails on purpose, so that `systemctl --failed` and the journal show the error.",
    );
    unit.set(
        "Description",
        &format!("two-node-ha: the configuration is invalid, {what}"),
    );
    unit.set(
        "Documentation",
        "man:two-node-ha.toml(5) man:two-node-ha-generator(8)",
    );
    unit.section("Service");
    unit.set("Type", "oneshot");
    unit.set("ExecStart", "/bin/cat");
    unit.set("ExecStart", "/bin/false");
    unit.set("SyslogIdentifier", "two-node-ha-config");
    unit.set("SyslogLevel", "err");
    unit.comment("A line of the file that begins with <1> is not a priority.");
    unit.set("SyslogLevelPrefix", "no");
    unit.set("StandardOutput", "journal+console");
    unit.set("StandardInput", "data");
    for line in input_text(report) {
        unit.set("StandardInputText", &line);
    }
    tree.file(CONFIG_ERROR.to_owned(), unit.finish());
    tree.symlink(
        format!("multi-user.target.wants/{CONFIG_ERROR}"),
        format!("../{CONFIG_ERROR}"),
    );
}

/// Values of `StandardInputText=`, one for each line: systemd adds the newline. In the order in
/// which systemd undoes them: the C escapes outside, the specifiers inside.
fn input_text(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            // An empty assignment would forget all lines before it.
            if let Some(last) = lines.last_mut() {
                last.push_str("\\n");
            }
            continue;
        }
        let mut out = String::with_capacity(line.len() + 8);
        for (i, c) in line.char_indices() {
            match c {
                '\\' => out.push_str("\\\\"),
                '%' => out.push_str("%%"),
                '\t' => out.push_str("\\t"),
                // Blanks at the ends of a value are cut off.
                ' ' if i == 0 || i + 1 == line.len() => out.push_str("\\x20"),
                // Whatever a terminal would obey, or what no unit file can hold.
                c if c.is_control() => out.push('\u{fffd}'),
                c => out.push(c),
            }
        }
        lines.push(out);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_survives_what_systemd_does_to_it() {
        let text = " --> 100%\\n\n\n\tx\u{1b}[31m ";
        assert_eq!(
            input_text(text),
            ["\\x20--> 100%%\\\\n\\n", "\\tx\u{fffd}[31m\\x20"]
        );
    }

    #[test]
    fn no_line_can_reset_the_text_or_end_in_a_continuation() {
        for line in input_text("\n\na\n\n\\\n%\n\\\\") {
            assert!(!line.is_empty());
            let trailing = line.chars().rev().take_while(|c| *c == '\\').count();
            assert_eq!(trailing % 2, 0, "{line:?}");
        }
    }
}
