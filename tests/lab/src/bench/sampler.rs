//! How much a node has written by when.

use crate::client::Lab;
use crate::cluster::Node;
use crate::scenario::COMMAND;
use anyhow::{Context, Result};

/// What Linux counts as a sector, whatever the disk's are.
const SECTOR: u64 = 512;

const UNIT: &str = "lab-bench-sampler";
const SAMPLES: &str = "/run/lab-bench.samples";

/// A line whenever something was written: the time, and the sectors written so far on DRBD's device and
/// on the node's disk. Starts no process for it: one takes a tenth of a second there.
const SCRIPT: &str = r#"
last=
while :; do
    read -r _ _ _ _ _ _ volume _ </sys/block/drbd0/stat
    read -r _ _ _ _ _ _ disk _ </sys/block/ubda/stat
    if [ "$volume $disk" != "$last" ]; then
        last="$volume $disk"
        echo "$EPOCHREALTIME $last"
    fi
    read -rt 0.1 _ <&9
done
"#;

/// Begins to write down what the node writes.
///
/// # Errors
/// When it cannot be started.
pub fn start(lab: &Lab, node: Node) -> Result<()> {
    // Its own samples are in memory, and a pipe that nobody writes into is what it waits at.
    let shell = format!(
        "rm -f /run/lab-bench.pipe && mkfifo /run/lab-bench.pipe && \
         exec 9<>/run/lab-bench.pipe >{SAMPLES}\n{SCRIPT}"
    );
    let unit = format!("--unit={UNIT}");
    let argv = [
        "systemd-run",
        "--quiet",
        "--collect",
        "--expand-environment=no",
        &unit,
        "bash",
        "-c",
        &shell,
    ];
    lab.run(node, &argv, COMMAND).map(drop)
}

/// Ends it.
///
/// # Errors
/// When it does not run, or has written down something else.
pub fn stop(lab: &Lab, node: Node) -> Result<Samples> {
    let script = format!("systemctl stop {UNIT}; cat {SAMPLES}; rm {SAMPLES} /run/lab-bench.pipe");
    let text = lab.sh(node, &script, COMMAND)?;
    Samples::parse(&text).with_context(|| format!("what {node} has written: {text:?}"))
}

/// Times, in seconds since 1970, and sectors written until then.
pub struct Samples(Vec<(f64, u64, u64)>);

impl Samples {
    fn parse(text: &str) -> Result<Self> {
        let line = |line: &str| -> Result<(f64, u64, u64)> {
            let mut words = line.split_whitespace();
            let mut word = || words.next().context("a line broke off");
            Ok((word()?.parse()?, word()?.parse()?, word()?.parse()?))
        };
        Ok(Self(text.lines().map(line).collect::<Result<_>>()?))
    }

    /// Bytes written between these two times: on DRBD's device, and on the node's whole disk, which what
    /// DRBD's device has is a part of.
    #[must_use]
    pub fn between(&self, from: f64, to: f64) -> Option<(u64, u64)> {
        let until = |time: f64| self.0.iter().rfind(|(at, ..)| *at <= time);
        let (_, volume, disk) = until(from)?;
        let (_, volume_then, disk_then) = until(to)?;
        Some((
            volume_then.checked_sub(*volume)? * SECTOR,
            disk_then.checked_sub(*disk)? * SECTOR,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_between_two_times_is_by_the_last_sample_before_each() {
        let samples = Samples::parse("10.5 100 1000\n11.5 102 1008\n20.25 200 2000\n").unwrap();
        assert_eq!(samples.between(11.0, 12.0), Some((1024, 4096)));
        assert_eq!(samples.between(12.0, 20.0), Some((0, 0)));
        assert_eq!(samples.between(11.6, 30.0), Some((98 * 512, 992 * 512)));
        assert_eq!(samples.between(10.0, 30.0), None);
        assert!(Samples::parse("10.5 100").is_err());
    }
}
