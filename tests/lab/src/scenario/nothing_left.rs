//! The end of the lab itself, in the worst of ways.

use super::{Scenario, Stage};
use crate::ending;
use crate::wait::{self, Seen};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "nothing-left",
    proves: "a lab that is killed leaves no process, mount, interface or socket behind",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let places = stage.lab.places().clone();
    let supervisor = stage.lab.status()?.supervisor;
    // Each kernel names its disk in its arguments, each keeper too.
    let before = processes(&places.instance)?;
    ensure!(
        before.len() >= 4,
        "the lab is found in {} processes only",
        before.len()
    );
    kill(Pid::from_raw(i32::try_from(supervisor)?), Signal::SIGKILL)
        .context("kill the supervisor")?;
    wait::quietly(
        "the kernels to die with their supervisor",
        Duration::from_secs(20),
        || {
            let left = processes(&places.instance)?;
            Ok(if left.is_empty() {
                Seen::Ready(())
            } else {
                Seen::NotYet(left.join("\n"))
            })
        },
    )?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    let instance = places.instance.to_string_lossy().into_owned();
    if let Some(mount) = mounts.lines().find(|line| line.contains(&instance)) {
        bail!("a mount is left: {mount}");
    }
    for entry in fs::read_dir("/sys/class/net")
        .context("list the interfaces")?
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure!(!name.starts_with("lab0"), "an interface is left: {name}");
    }
    for entry in fs::read_dir("/sys/block")
        .context("list the block devices")?
        .flatten()
    {
        let backing =
            fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        ensure!(
            !backing.contains(&instance),
            "a loop device is left: {}",
            entry.path().display()
        );
    }
    ending::end(&places)?;
    ensure!(
        !places.instance.exists() && !places.socket.exists(),
        "files of the lab are left"
    );
    Ok(())
}

/// Command lines of live processes that speak of this directory.
fn processes(instance: &Path) -> Result<Vec<String>> {
    let instance = instance.to_string_lossy().into_owned();
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")
        .context("list the processes")?
        .flatten()
    {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid == own || !pid.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        // A process that ended meanwhile, or a zombie, has none.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        // Not those of a lab whose name only begins like this one's.
        if speaks_of(&line, &instance) {
            found.push(format!("{pid} {line}"));
        }
    }
    Ok(found)
}

/// Whether the text has this path, or one below it.
fn speaks_of(text: &str, path: &str) -> bool {
    text.split(path)
        .skip(1)
        .any(|rest| rest.is_empty() || rest.starts_with(['/', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_whose_name_only_begins_like_this_ones_is_another() {
        assert!(speaks_of(
            "linux.uml ubda=/run/smoke/haone/disk.img",
            "/run/smoke"
        ));
        assert!(speaks_of(
            "lab internal-supervisor /run/smoke",
            "/run/smoke"
        ));
        assert!(speaks_of("/run/smoke-1 /run/smoke ", "/run/smoke"));
        assert!(!speaks_of(
            "linux.uml ubda=/run/smoke-1/haone/disk.img",
            "/run/smoke"
        ));
    }
}
