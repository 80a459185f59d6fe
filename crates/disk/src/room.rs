//! Whether a file system takes changes.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

pub use crate::fault::Fault;

/// What raft allocates at a start: two segments of 8 MiB (libraft, uv_prepare.c).
const ENOUGH: u64 = 16 << 20;

/// The device of a directory, or of what is above it, and what is wrong there.
///
/// # Errors
/// What the system says.
pub fn state(directory: &Path) -> io::Result<(u64, Option<Fault>)> {
    #[cfg(any(test, feature = "power"))]
    if let Some(said) = crate::power::room(directory) {
        return Ok(said);
    }
    let there = directory.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("/"));
    let device = std::fs::metadata(there)?.dev();
    let stat = statvfs(there)?;
    // c_ulong is 32 bits wide on some machines.
    #[allow(clippy::useless_conversion)]
    let bytes = u64::from(stat.blocks_free()).saturating_mul(u64::from(stat.fragment_size()));
    let fault = if stat.flags().contains(FsFlags::ST_RDONLY) {
        Some(Fault::ReadOnly)
    } else if bytes < ENOUGH {
        Some(Fault::Full)
    } else if stat.files() > 0 && stat.files_free() == 0 {
        Some(Fault::NoInodes)
    } else {
        None
    };
    Ok((device, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_what_is_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let (device, fault) = state(&dir.path().join("not/there")).unwrap();
        assert_eq!(device, std::fs::metadata(dir.path()).unwrap().dev());
        assert_eq!(fault, None, "no space for temporary files");
    }

    /// What statvfs says, tried where a namespace of mounts may be made.
    #[test]
    fn a_small_file_system_and_a_read_only_one_are_told_from_a_good_one() {
        for (options, expected) in [
            ("size=1m", Some(Fault::Full)),
            ("size=64m,nr_inodes=1", Some(Fault::NoInodes)),
            ("size=64m,ro", Some(Fault::ReadOnly)),
            ("size=64m", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            // The mount is the child's own; its view of the directory is reached through /proc.
            let child = std::process::Command::new("unshare")
                .args(["--map-root-user", "--mount", "sh", "-c"])
                .arg(format!(
                    "mount -t tmpfs -o {options} none \"$0\" && echo && read x"
                ))
                .arg(dir.path())
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn();
            let Ok(mut child) = child else {
                eprintln!("not tried: no namespace of mounts to be had");
                return;
            };
            let mut line = String::new();
            let mut said = io::BufReader::new(child.stdout.take().unwrap());
            io::BufRead::read_line(&mut said, &mut line).unwrap();
            if line.is_empty() {
                eprintln!("not tried: no namespace of mounts to be had");
            } else {
                let root = format!("/proc/{}/root", child.id());
                let there = Path::new(&root).join(dir.path().strip_prefix("/").unwrap());
                assert_eq!(state(&there).unwrap().1, expected, "{options}");
            }
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
