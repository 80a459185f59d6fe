//! Who votes, by the log of a database that runs. Only read: nothing here opens a file for writing.

use std::path::Path;

use two_node_ha_dqlite::{Role, assess, scan};

/// Whether the newest configuration in the log has one voter, and `info.yaml` its id.
///
/// # Errors
/// Why the log does not say. It is being written: what cannot be read now may be in a moment.
pub(super) fn sole_voter(directory: &Path) -> Result<bool, String> {
    let found = scan(directory).map_err(|error| error.to_string())?;
    let report = assess(&found);
    let me = report
        .info
        .ok_or_else(|| format!("{} has no info.yaml", directory.display()))?;
    if report.configuration.is_empty() {
        return Err(format!(
            "there is no configuration in {}",
            directory.display()
        ));
    }
    let mut voters = report
        .configuration
        .iter()
        .filter(|server| server.role == Role::Voter);
    Ok(voters.next().is_some_and(|voter| voter.id == me.id) && voters.next().is_none())
}
