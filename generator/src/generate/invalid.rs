//! What a configuration that cannot be used leaves behind: one unit that fails and says why.

use two_node_ha_config::Diagnostics;

use super::{Origin, k8s, volume};
use crate::salvage::Salvage;
use crate::tree::Tree;
use crate::unit::{DROP_IN, Unit};

const CONFIG_ERROR: &str = "two-node-ha-config-error.service";

/// Why the configuration cannot be used.
#[derive(Debug, Clone)]
pub enum Problem {
    /// Errors at places of the file.
    Diagnostics(Diagnostics),
    /// Something without a place: the file cannot be read, or a value fits no unit.
    Other(String),
}

impl Problem {
    /// All of it for a person to read.
    #[must_use]
    pub fn report(&self) -> String {
        match self {
            Self::Diagnostics(diagnostics) => diagnostics.to_string(),
            Self::Other(text) => format!("error: {text}\n"),
        }
    }

    /// One line for each error, for the kernel's log.
    #[must_use]
    pub fn lines(&self, source: &str) -> String {
        match self {
            Self::Diagnostics(diagnostics) => {
                let mut out = String::new();
                for d in diagnostics.items() {
                    let (line, column, message) = (d.line, d.column, &d.message);
                    out.push_str(&format!("{source}:{line}:{column}: {message}\n"));
                }
                out
            }
            Self::Other(text) => format!("{source}: {text}\n"),
        }
    }
}

/// Writes the failing unit, and what keeps the agent and DRBD's own units from starting.
pub fn write(tree: &mut Tree, problem: &Problem, salvage: &Salvage, origin: Origin<'_>) {
    tree.file(CONFIG_ERROR.to_owned(), failing_unit(problem, origin));
    tree.symlink(
        format!("multi-user.target.wants/{CONFIG_ERROR}"),
        format!("../{CONFIG_ERROR}"),
    );

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

/// The text stands in the unit itself, as the standard input of `cat`: neither the broken file nor
/// any program of ours is needed to show it, and it is what this boot really found.
fn failing_unit(problem: &Problem, origin: Origin<'_>) -> String {
    let mut unit = Unit::new(
        origin.source,
        "Fails on purpose, so that `systemctl --failed` and the journal show the error.",
    );
    unit.set(
        "Description",
        "two-node-ha: the configuration is invalid, Kubernetes stays off",
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
    let mut report = problem.report();
    report.push_str(
        "\nCorrect the file, look at it with `two-node-ha check`, then run\n\
         `systemctl daemon-reload` and `systemctl start two-node-ha-k8s`, or reboot.\n",
    );
    for line in input_text(&report) {
        unit.set("StandardInputText", &line);
    }
    unit.finish()
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
