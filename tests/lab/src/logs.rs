//! The journals of the nodes.

use crate::artefacts;
use crate::client::Lab;
use crate::cluster::Node;
use crate::host;
use crate::supervisor::protocol::Event;
use anyhow::{Context, Result};
use std::io::Write as _;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

/// The journal of this boot, from the node itself, or from its disk when it is off.
fn lines(lab: &Lab, node: Node) -> Result<Vec<String>> {
    const OPTIONS: [&str; 4] = ["--no-pager", "-q", "-o", "short-iso-precise"];
    let text = if lab.status()?.node(node).on {
        let mut argv = vec!["journalctl", "-b"];
        argv.extend(OPTIONS);
        lab.run(node, &argv, LIMIT)?
    } else {
        let dir = tempfile::tempdir().context("make a temporary directory")?;
        artefacts::dig(&lab.places().node(node.name()).join("disk.img"), dir.path());
        let journal = dir.path().join("journal/journal");
        let mut argv = vec![
            "-D".as_ref(),
            journal.as_os_str(),
            "-b".as_ref(),
            "0".as_ref(),
        ];
        argv.extend(OPTIONS.iter().map(|o| std::ffi::OsStr::new(*o)));
        host::run("journalctl", &argv)
            .with_context(|| format!("read the journal of {node}, which is off"))?
    };
    Ok(text.lines().map(str::to_owned).collect())
}

/// Prints the journals of these nodes, merged by time.
///
/// # Errors
/// When one cannot be read.
pub fn print(lab: &Lab, nodes: &[Node]) -> Result<()> {
    let mut all = Vec::new();
    for node in nodes {
        all.extend(lines(lab, *node)?);
    }
    // Each line begins with its time; stable, so that one node's records keep their order.
    all.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
    let mut out = std::io::stdout().lock();
    for line in all {
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    Ok(())
}

/// Prints what comes, until interrupted.
///
/// # Errors
/// When the node goes down.
pub fn follow(lab: &Lab, node: Node) -> Result<()> {
    let argv = ["journalctl", "-f", "-q", "-o", "short-iso-precise"];
    lab.stream(
        node,
        &argv,
        Duration::from_secs(24 * 3600),
        |_| {},
        |event| match event {
            Event::Out(data) => std::io::stdout()
                .write_all(&data)
                .and_then(|()| std::io::stdout().flush())
                .is_ok(),
            _ => true,
        },
    )
    .map(drop)
}
