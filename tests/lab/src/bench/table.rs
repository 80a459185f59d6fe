//! The two ways side by side.

use super::{Case, Recovery};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is measured of a takeover, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Seconds from the cut to the mounted volume.
    Mounted,
    /// The same less token, consensus and fence agent.
    MountedOfOurs,
    /// Seconds from the last write before to the first after.
    Outage,
    /// Seconds from the mount to the first write that was accepted.
    Write,
    /// Seconds from the start of k8s-dqlite's unit until it has loaded the database.
    Loading,
    /// Seconds from then until it listens: it looks for the leader, and asks the dead member too.
    Looking,
    /// `Write` less these two.
    WriteOfOurs,
    /// Seconds of it in which systemd did nothing else than read its units anew, as Pacemaker has it do
    /// before it starts a unit of systemd's.
    Reloading,
    /// Seconds of `Outage` that the failover unit took, to stop there and to start here, less the same.
    OutageOfOurs,
    /// Bytes written on DRBD's device from the mount to the start of k8s-dqlite's unit.
    OnVolume,
    /// The same on the node's whole disk.
    OnDisk,
    /// Bytes of memory that the agent had at most.
    Memory,
    /// Seconds that the old voter took to become the spare, once it began.
    Rejoin,
    /// Bytes that it was made a spare from.
    Bundle,
}

enum Unit {
    Seconds,
    Bytes,
}

impl Measure {
    const fn name(self) -> &'static str {
        match self {
            Self::Mounted => "power cut to mounted",
            Self::MountedOfOurs => "  less token, consensus, fence agent",
            Self::Outage => "last write before to first write after",
            Self::Write => "mounted to first write",
            Self::Loading => "  k8s-dqlite: started to loaded",
            Self::Looking => "  k8s-dqlite: loaded to listening",
            Self::WriteOfOurs => "  mounted to first write less both",
            Self::Reloading => "    of it: systemd's reload for Pacemaker",
            Self::OutageOfOurs => "  failover unit, both nodes, less both",
            Self::OnVolume => "written on the volume by the takeover",
            Self::OnDisk => "written on the whole disk meanwhile",
            Self::Memory => "memory of the agent, at most so far",
            Self::Rejoin => "rejoin of the old voter",
            Self::Bundle => "bundle that the spare is made from",
        }
    }

    const fn unit(self) -> Unit {
        match self {
            Self::Mounted
            | Self::MountedOfOurs
            | Self::Write
            | Self::Loading
            | Self::Looking
            | Self::WriteOfOurs
            | Self::Reloading
            | Self::Outage
            | Self::OutageOfOurs
            | Self::Rejoin => Unit::Seconds,
            Self::OnVolume | Self::OnDisk | Self::Memory | Self::Bundle => Unit::Bytes,
        }
    }
}

/// All that was measured with one size of the database.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<(Case, Measure), BTreeMap<Recovery, f64>>);

impl Table {
    /// Takes what was measured of one takeover.
    pub fn add(&mut self, case: Case, recovery: Recovery, measured: &[(Measure, f64)]) {
        for (measure, value) in measured {
            let row = self.0.entry((case, *measure)).or_default();
            row.insert(recovery, *value);
        }
    }

    /// In lines. A cell that was not measured is a dash.
    #[must_use]
    pub fn lines(&self, mb: u32) -> String {
        let mut text = String::new();
        let mut last = None;
        for ((case, measure), row) in &self.0 {
            if last != Some(*case) {
                last = Some(*case);
                let title = format!("{}, {mb} MB", case.name());
                let _ = writeln!(
                    text,
                    "\n{title:<42} {:>12} {:>12} {:>10}",
                    "native", "k8sd", "k8sd/native"
                );
            }
            let value = |recovery| row.get(&recovery).copied();
            let (native, k8sd) = (value(Recovery::Native), value(Recovery::K8sd));
            let ratio = match (native, k8sd) {
                (Some(native), Some(k8sd)) if native > 0.0 => format!("{:.1}", k8sd / native),
                _ => "-".to_owned(),
            };
            let _ = writeln!(
                text,
                "{:<42} {:>12} {:>12} {ratio:>10}",
                measure.name(),
                show(*measure, native),
                show(*measure, k8sd)
            );
        }
        text
    }
}

/// What was measured of one takeover, in one line.
#[must_use]
pub fn words(measured: &[(Measure, f64)]) -> String {
    let word = |(measure, value): &(Measure, f64)| {
        let name = measure.name().trim_start();
        format!("{name} {}", show(*measure, Some(*value)))
    };
    let words: Vec<String> = measured.iter().map(word).collect();
    words.join("; ")
}

fn show(measure: Measure, value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    match measure.unit() {
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Bytes if value < 1024.0 * 1024.0 => format!("{:.1} KiB", value / 1024.0),
        Unit::Bytes => format!("{:.1} MiB", value / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_stand_side_by_side_with_their_ratio_and_what_was_not_measured_is_a_dash() {
        let mut table = Table::default();
        let seconds = |value| [(Measure::Write, value), (Measure::Bundle, 2048.0)];
        table.add(Case::Cut, Recovery::Native, &seconds(2.0));
        table.add(Case::Cut, Recovery::K8sd, &seconds(5.0)[..1]);
        let text = table.lines(100);
        let lines: Vec<Vec<_>> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0][..4], ["power", "cut,", "100", "MB"]);
        assert_eq!(lines[1][4..], ["2.00", "s", "5.00", "s", "2.5"]);
        assert_eq!(lines[2][7..], ["2.0", "KiB", "-", "-"]);
        assert_eq!(lines.len(), 3, "{text}");
    }
}
