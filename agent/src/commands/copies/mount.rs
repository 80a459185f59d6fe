//! `two-node-ha copies mount`

use std::path::{Path, PathBuf};
use std::time::Duration;

use two_node_ha_command::{Call, System, succeed};
use two_node_ha_copies::{Copy, Method};
use two_node_ha_disk as disk;

use super::Place;

/// A mount reads a superblock; a disk that does not answer for so long will not.
const DEADLINE: Duration = Duration::from_secs(60);

/// Mounts a copy, read-only, until it is unmounted or the node restarts.
pub fn run(place: &Place, name: &str, dir: Option<&Path>) -> Result<String, String> {
    let copy = place.copy(name)?;
    let dir = match dir {
        Some(dir) => std::path::absolute(dir)
            .map_err(|error| format!("cannot find {}: {error}", dir.display()))?,
        None => place.paths.run().join("copies").join(name),
    };
    prepare(&dir)?;
    let call = call(&copy, &place.config.volume.fstype, &dir);
    succeed(&System::new(), &call)?;
    Ok(format!(
        "{name} is mounted read-only on {}\nThe journal of its file system was not replayed: what \
         was written just before may look torn.\nWhen done: umount {}\n",
        dir.display(),
        dir.display()
    ))
}

/// The directory is there and empty: a mount would hide what is in it.
fn prepare(dir: &Path) -> Result<(), String> {
    let of = |error: std::io::Error| format!("cannot use {}: {error}", dir.display());
    if !dir.exists() {
        return disk::private_directory(dir).map_err(of);
    }
    let mut entries = std::fs::read_dir(dir).map_err(of)?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(format!(
            "{} is not empty, or something is mounted there already",
            dir.display()
        )),
    }
}

/// A loop device where it is an image, which the kernel detaches at the unmount; nothing of the
/// journal is replayed, so that nothing is written; two XFS of one UUID may be mounted at once.
fn call(copy: &Copy, fstype: &str, dir: &Path) -> Call {
    let mut options = vec!["ro", "nosuid", "nodev", "noexec"];
    match fstype {
        "xfs" => options.extend(["norecovery", "nouuid"]),
        _ => options.push("noload"),
    }
    match copy.record.method {
        Method::Reflink | Method::Sparse => options.push("loop"),
        Method::LvmSnapshot => {}
    }
    let paths: [PathBuf; 2] = [copy.path.clone(), dir.to_owned()];
    Call::new("mount", DEADLINE)
        .args(["-t", fstype, "-o", &options.join(",")])
        .args(paths)
}
