//! Slow links and full disks.

use crate::client::Lab;
use crate::cluster::{LINKS, Node};
use anyhow::{Result, bail};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Name of the file that fills a disk.
const FILL: &str = ".two-node-ha-lab-fill";

/// Delays and throttles what the node sends, on all its links; neither ends the slowness. The queue
/// is in the node's own kernel, since not every host's kernel has one; a reboot ends it.
///
/// # Errors
/// When the node's kernel refuses.
pub fn slow(lab: &Lab, node: Node, delay: Option<&str>, rate: Option<&str>) -> Result<()> {
    for link in 0..LINKS.len() {
        let device = format!("vec{link}");
        if delay.is_none() && rate.is_none() {
            // Fails when there is nothing to end.
            lab.try_run(node, &["tc", "qdisc", "del", "dev", &device, "root"], LIMIT)?;
            continue;
        }
        let mut argv = vec!["tc", "qdisc", "replace", "dev", &device, "root", "netem"];
        if let Some(delay) = delay {
            argv.extend(["delay", delay]);
        }
        if let Some(rate) = rate {
            argv.extend(["rate", rate]);
        }
        lab.run(node, &argv, LIMIT)?;
    }
    Ok(())
}

/// Fills the file system that holds `path`, to the last block.
///
/// # Errors
/// When it is not full at the end.
pub fn fill(lab: &Lab, node: Node, path: &str) -> Result<()> {
    // Allocated in ever smaller pieces, which is quick; then written, since a piece may be refused
    // where single blocks are left.
    let script = "f=$1/$2
        : >\"$f\"
        size=0
        for step in 1073741824 134217728 16777216 1048576 65536 4096; do
            while fallocate -o $size -l $step \"$f\" 2>/dev/null; do size=$((size + step)); done
        done
        dd if=/dev/zero of=\"$f\" oflag=append conv=notrunc bs=4096 2>/dev/null || true
        sync -f \"$f\"
        df --output=avail \"$1\" | tail -n 1";
    let left = lab.run(
        node,
        &["sh", "-euc", script, "sh", path, FILL],
        Duration::from_secs(300),
    )?;
    match left.trim().parse::<u64>() {
        Ok(left) if left < 64 => Ok(()),
        _ => bail!("{node}: {path} still has {} KiB left", left.trim()),
    }
}

/// Ends [`fill`].
///
/// # Errors
/// When the file cannot be removed.
pub fn unfill(lab: &Lab, node: Node, path: &str) -> Result<()> {
    lab.run(node, &["rm", "-f", &format!("{path}/{FILL}")], LIMIT)
        .map(drop)
}
