//! Snapshots of a logical volume.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use two_node_ha_command::{Call, Runner, succeed};

use crate::error::Error;

/// How long LVM's programs may take where nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its volume group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that its group has left.
    pub free: u64,
    /// Whether it lies in a thin pool, where a snapshot needs no size.
    pub thin: bool,
}

/// Whether the block device of that number is a logical volume: device-mapper says so without
/// any program.
pub fn is_volume(root: &Path, rdev: u64) -> bool {
    let (major, minor) = (nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev));
    let uuid = root.join(format!("sys/dev/block/{major}:{minor}/dm/uuid"));
    fs::read(uuid).is_ok_and(|uuid| uuid.starts_with(b"LVM-"))
}

/// The question which volume a device is.
pub fn question(device: &Path, deadline: Duration) -> Call {
    Call::new("lvs", deadline)
        .args(["--noheadings", "--nosuffix", "--units", "b"])
        .args(["--separator", "|"])
        .args(["--options", "vg_name,lv_name,lv_size,vg_free,segtype"])
        .args([OsString::from(device)])
}

/// The answer.
pub fn parse(text: &str) -> Option<Volume> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let fields: Vec<_> = lines.next()?.split('|').map(str::trim).collect();
    let [group, name, size, free, kind] = fields.as_slice() else {
        return None;
    };
    if group.is_empty() || name.is_empty() {
        return None;
    }
    Some(Volume {
        group: (*group).to_owned(),
        name: (*name).to_owned(),
        size: size.parse().ok()?,
        free: free.parse().ok()?,
        thin: *kind == "thin",
    })
}

/// A snapshot, read-only, and large enough to hold the whole volume: it cannot overflow, which
/// would make it worthless without a word.
pub fn creation(volume: &Volume, snapshot: &str, deadline: Duration) -> Call {
    let call = Call::new("lvcreate", deadline)
        .args(["--snapshot", "--permission", "r", "--yes"])
        .args(["--addtag", "two-node-ha"]);
    let call = if volume.thin {
        call.args(["--setactivationskip", "n"])
    } else {
        call.args(["--extents", "100%ORIGIN"])
    };
    call.args(["--name", snapshot])
        .args([format!("{}/{}", volume.group, volume.name)])
}

/// What a snapshot takes of its group: all of the volume and some for its own tables.
pub fn needed(volume: &Volume) -> u64 {
    if volume.thin {
        0
    } else {
        volume.size.saturating_add(volume.size / 50)
    }
}

/// The end of a snapshot (`VG/LV`).
pub fn removal(snapshot: &str, deadline: Duration) -> Call {
    Call::new("lvremove", deadline).args(["--yes", snapshot])
}

/// Runs one of the calls.
pub fn run(runner: &dyn Runner, call: &Call) -> Result<String, Error> {
    let output = succeed(runner, call).map_err(Error::Lvm)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn volume(thin: bool) -> Volume {
        Volume {
            group: "vg0".into(),
            name: "drbd0".into(),
            size: 1 << 30,
            free: 3 << 30,
            thin,
        }
    }

    #[test]
    fn the_volume_is_read_from_lvs() {
        let text = "  vg0|drbd0|1073741824|3221225472|linear\n";
        assert_eq!(parse(text), Some(volume(false)));
        assert!(parse("  vg0|t|1073741824|0|thin\n").unwrap().thin);
        for text in [
            "",
            "vg0|drbd0",
            "|drbd0|1|1|linear",
            "vg0|drbd0|1g|1|linear",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_snapshot_is_read_only_and_cannot_overflow() {
        assert_eq!(
            creation(&volume(false), "r0-x", SECOND).to_string(),
            "lvcreate --snapshot --permission r --yes --addtag two-node-ha --extents 100%ORIGIN \
             --name r0-x vg0/drbd0"
        );
        assert!(needed(&volume(false)) > 1 << 30);
    }

    #[test]
    fn a_thin_snapshot_has_no_size_and_is_active() {
        assert_eq!(
            creation(&volume(true), "r0-x", SECOND).to_string(),
            "lvcreate --snapshot --permission r --yes --addtag two-node-ha --setactivationskip n \
             --name r0-x vg0/drbd0"
        );
        assert_eq!(needed(&volume(true)), 0);
    }

    #[test]
    fn the_question_and_the_removal_name_one_volume() {
        assert_eq!(
            question(Path::new("/dev/vg0/drbd0"), SECOND).to_string(),
            "lvs --noheadings --nosuffix --units b --separator | --options \
             vg_name,lv_name,lv_size,vg_free,segtype /dev/vg0/drbd0"
        );
        assert_eq!(
            removal("vg0/r0-x", SECOND).to_string(),
            "lvremove --yes vg0/r0-x"
        );
    }
}
