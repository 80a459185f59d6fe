//! What lies under Pacemaker: the loop device or the disk, and the DRBD units that must not run
//! beside it.

use std::path::Path;

use two_node_ha_config::{Backing, Volume};

use super::Origin;
use crate::escape::{self, UNIT_NAME_MAX};
use crate::tree::Tree;
use crate::unit::{DROP_IN, Refused, UNIT_DIR, Unit, argument};

/// The units of drbd-utils that bring a resource up or make it primary by themselves, `@` standing
/// for the instance. Those that only hang on one of these (`drbd-lvchange@`,
/// `drbd-demote-or-escalate@`, …) are not reached any more, and the graceful shutdown units are
/// left alone: they come after Pacemaker has stopped and harm nothing.
const DRBD_UNITS: [&str; 6] = [
    "drbd@.service",
    "drbd@.target",
    "drbd-promote@.service",
    "drbd-services@.target",
    "drbd-wait-promotable@.service",
    "drbd-reconfigure-suspend-or-error@.service",
];

/// Writes the loop attachment, Pacemaker's drop-in and the masks.
///
/// # Errors
/// A path that has no unit, or too long a one.
pub fn write(tree: &mut Tree, volume: &Volume, origin: Origin<'_>) -> Result<(), Refused> {
    let backing_unit = match &volume.backing {
        Backing::File {
            path,
            symlink,
            direct_io,
            ..
        } => {
            let unit = loop_instance(path)?;
            let content = loop_drop_in(volume, symlink, *direct_io, origin)?;
            tree.file(format!("{unit}.d/{DROP_IN}"), content);
            // Pacemaker pulls in this target and comes after it: the hook that it documents for
            // what its resources need.
            tree.symlink(
                format!("resource-agents-deps.target.wants/{unit}"),
                format!("{UNIT_DIR}/two-node-ha-loop@.service"),
            );
            unit
        }
        Backing::Device(path) => instance("", path, ".device")?,
    };
    tree.file(
        format!("pacemaker.service.d/{DROP_IN}"),
        pacemaker_drop_in(&backing_unit, origin),
    );
    masks(tree, &volume.resource)
}

/// The unit that attaches the volume's backing file, where there is one.
///
/// # Errors
/// A path that has no unit, or too long a one.
pub fn loop_unit(volume: &Volume) -> Result<Option<String>, Refused> {
    match &volume.backing {
        Backing::File { path, .. } => loop_instance(path).map(Some),
        Backing::Device(_) => Ok(None),
    }
}

fn loop_instance(path: &Path) -> Result<String, Refused> {
    instance("two-node-ha-loop@", path, ".service")
}

/// `BEFORE` + the escaped path + `AFTER`.
fn instance(before: &str, path: &Path, after: &str) -> Result<String, Refused> {
    let name = path
        .to_str()
        .and_then(escape::path)
        .map(|escaped| format!("{before}{escaped}{after}"))
        .ok_or_else(|| {
            Refused(format!(
                "the backing {path:?} is not an absolute path without `..`"
            ))
        })?;
    if name.len() > UNIT_NAME_MAX {
        return Err(Refused(format!(
            "the backing {path:?} is too long: the name of its unit has {} characters, and \
             systemd takes {UNIT_NAME_MAX}; move it to a shorter path",
            name.len()
        )));
    }
    Ok(name)
}

fn loop_drop_in(
    volume: &Volume,
    symlink: &Path,
    direct_io: bool,
    origin: Origin<'_>,
) -> Result<String, Refused> {
    let name = symlink
        .strip_prefix("/dev")
        .ok()
        .and_then(Path::to_str)
        .ok_or_else(|| Refused(format!("loop_symlink {symlink:?} is not below /dev")))?;
    let resource = escape::string(&volume.resource);
    let mut unit = Unit::new(origin.source, "The loop device under the DRBD volume.");
    unit.comment("Before what would use the device; at shutdown this makes it outlive them.");
    unit.set(
        "Before",
        &format!(
            "resource-agents-deps.target pacemaker.service drbd.service \
             drbd@{resource}.service drbd@{resource}.target"
        ),
    );
    unit.section("Service");
    unit.set("ExecStart", "");
    unit.set(
        "ExecStart",
        &format!(
            ":/usr/bin/two-node-ha loop attach --file %f --symlink-name {} --direct-io={}",
            argument("loop_symlink", name)?,
            if direct_io { "yes" } else { "no" }
        ),
    );
    Ok(unit.finish())
}

fn pacemaker_drop_in(backing_unit: &str, origin: Origin<'_>) -> String {
    let mut unit = Unit::new(
        origin.source,
        "Pacemaker starts once its DRBD resource can.",
    );
    unit.comment(
        "Without D-Bus it cannot drive systemd units; a node rebooted that way has split brains.",
    );
    unit.set("Wants", "dbus.service");
    unit.set("After", "dbus.service");
    unit.comment(
        "Wants= and not BindsTo= or Requires=: a disk that fails or never comes must not take\n\
         Pacemaker along. DRBD goes on without it, over the peer.",
    );
    unit.set("Wants", backing_unit);
    unit.set("After", backing_unit);
    unit.finish()
}

/// Masks the DRBD units that would compete with Pacemaker for the resource.
///
/// In the normal directory, so that an administrator's own file in `/etc` still wins.
///
/// # Errors
/// A resource whose name is too long for a unit.
pub fn masks(tree: &mut Tree, resource: &str) -> Result<(), Refused> {
    let mut mask = |name: String| tree.symlink(name, "/dev/null".to_owned());
    mask("drbd.service".to_owned());
    let instance = escape::string(resource);
    for template in DRBD_UNITS {
        let name = template.replacen('@', &format!("@{instance}"), 1);
        if name.len() > UNIT_NAME_MAX {
            return Err(Refused(format!(
                "the name of the DRBD resource {resource:?} is too long for a unit"
            )));
        }
        mask(name);
    }
    Ok(())
}
