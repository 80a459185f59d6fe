//! Another `[hooks]` on a node, for the time of a scenario. The handlers read the configuration at each
//! call, so that nothing is to be restarted.

use super::Stage;
use crate::cluster::Node;
use anyhow::{Context, Result};

const CONFIGURATION: &str = "/etc/two-node-ha.toml";

/// Runs it while the node's configuration has this line in `[hooks]`. What was there before comes back
/// whatever comes of it.
///
/// # Errors
/// When what is run fails, or the node does not take the configuration.
pub fn with(
    stage: &mut Stage,
    node: Node,
    line: &str,
    run: impl FnOnce(&mut Stage) -> Result<()>,
) -> Result<()> {
    let before = stage
        .lab
        .read(node, CONFIGURATION)?
        .with_context(|| format!("{node} has no configuration"))?;
    let text = format!("{before}\n[hooks]\n{line}\n");
    stage.lab.write(node, CONFIGURATION, text.as_bytes())?;
    let result = run(stage);
    let restored = stage.lab.write(node, CONFIGURATION, before.as_bytes());
    result?;
    restored
}
