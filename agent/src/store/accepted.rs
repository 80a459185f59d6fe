//! The configuration that was accepted last: what a running agent has taken, byte for byte.
//!
//! While the file in `/etc` cannot be used, agent, commands, handlers and generator go on with this
//! one (`two_node_ha_config::choose`).

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use two_node_ha_config::Content;
use two_node_ha_disk::{self as disk, atomic};

/// Keeps `bytes` at `path`, private and durable; a cut of the power leaves the old ones or these.
/// Written only where they differ, so that the time of the file is that of the acceptance. Whether
/// they did.
///
/// # Errors
/// What the system says; what was kept before is still whole.
pub fn keep(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if is_kept(path, bytes) {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        disk::private_directory(parent)?;
    }
    atomic::replace(path, bytes)?;
    Ok(true)
}

fn is_kept(path: &Path, bytes: &[u8]) -> bool {
    let same = match two_node_ha_config::read(path, "").content {
        Content::Read { bytes: kept, .. } => kept == bytes,
        Content::Missing | Content::Unreadable(_) => false,
    };
    same && std::fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::rc::Rc;
    use std::time::{Duration, UNIX_EPOCH};
    use two_node_ha_disk::effects;
    use two_node_ha_disk::power::{self, Loss};

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_a_running_agent_has_taken_is_kept_for_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/accepted.toml");
        assert!(keep(&path, b"one").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn the_same_bytes_leave_the_time_of_their_acceptance_and_others_replace_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accepted.toml");
        keep(&path, b"one").unwrap();
        let then = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let file = std::fs::File::open(&path).unwrap();
        file.set_modified(then).unwrap();
        assert!(!keep(&path, b"one").unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), then);
        assert!(keep(&path, b"two").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_made_private_although_its_bytes_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accepted.toml");
        std::fs::write(&path, "one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(keep(&path, b"one").unwrap());
        assert_eq!(mode(&path), 0o600);
    }

    /// A power cut before the nth change, with that loss; false where there were fewer changes.
    fn cut(nth: u64, loss: Loss) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accepted.toml");
        keep(&path, b"the old configuration").unwrap();
        power::plug_in(
            &dir.path().join("attic"),
            loss,
            Rc::new(|_, _| ()),
            BTreeSet::new(),
        );
        power::cut_at(Some(nth));
        let result = keep(&path, b"the new configuration");
        let Some((_, change)) = power::off() else {
            assert!(result.unwrap());
            // It said that it is durable: the power goes soon after, with other things on their way.
            power::cut_at(Some(1));
            let next =
                ["one", "two"].map(|name| effects::make_directory(&dir.path().join(name), 0o700));
            assert!(next[1].is_err() && power::off().is_some());
            power::back();
            power::cut_at(None);
            assert_eq!(std::fs::read(&path).unwrap(), b"the new configuration");
            return false;
        };
        power::back();
        power::cut_at(None);
        let found = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
        assert!(
            found == "the old configuration" || found == "the new configuration",
            "cut at {nth} ({change}): {found}"
        );
        assert_eq!(mode(&path), 0o600);
        true
    }

    #[test]
    fn a_power_cut_while_it_is_replaced_leaves_the_old_or_the_new() {
        let cuts = |loss| (1..).take_while(|nth| cut(*nth, loss)).count();
        assert!(cuts(Loss::Nothing) >= 2);
        // All that could be lost is synced before it has its name: a cut on the way loses nothing
        // more, so that only the one after the end is left.
        assert_eq!(cuts(Loss::Unsynced), 0);
    }
}
