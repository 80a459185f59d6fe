//! What the udev rule reads: for each backing file the name that its device shall have.
//!
//! The rule knows a loop device by `ATTR{loop/backing_file}` and is static; the name comes from the
//! configuration. So a small file stands at the backing file's own path below
//! `/run/two-node-ha/loop/`, and the rule imports it: no program is started for the many other loop
//! devices of a system with snaps, and a device number that is used again by somebody else finds
//! nothing. Written before the device is attached, so that the first event already has the name.

use std::fs::{self, DirBuilder};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use two_node_ha_disk::atomic;

use crate::error::io as failed;
use crate::{Error, Host};

const KEY: &str = "TWO_NODE_HA_LOOP_LINK=";

/// Where the rule will look: `$attr{loop/backing_file}` as udev substitutes it.
fn path(host: &Host, backing_file: &Path) -> PathBuf {
    let name = substituted(backing_file.as_os_str().as_bytes());
    host.map.join(name.trim_start_matches('/'))
}

/// What udev makes of an attribute's value (`udev_replace_chars` in its udev-util.c): unusual
/// ASCII characters become `_`, and so does each byte that is not UTF-8; blanks at the end go.
fn substituted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let plain = c.is_ascii_alphanumeric() || "#+-.:=@_/ $%?,".contains(c);
            out.push(if plain || !c.is_ascii() { c } else { '_' });
        }
        out.extend(chunk.invalid().iter().map(|_| '_'));
    }
    out.truncate(out.trim_end_matches(' ').len());
    out
}

/// Asks for the name `link` (below `/dev`).
pub(crate) fn write(host: &Host, backing_file: &Path, link: &str) -> Result<(), Error> {
    let path = path(host, backing_file);
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(failed("create the directory", parent))?;
    }
    // For whoever imports it, udev's own workers among them.
    atomic::replace_with_mode(&path, format!("{KEY}{link}\n").as_bytes(), 0o644)
        .map_err(failed("write", &path))
}

/// The name asked for.
pub(crate) fn read(host: &Host, backing_file: &Path) -> Option<String> {
    let text = fs::read_to_string(path(host, backing_file)).ok()?;
    Some(text.strip_prefix(KEY)?.trim_end().to_owned())
}

/// Forgets the name. The directories stay: they are few, and `/run` is not for ever.
pub(crate) fn remove(host: &Host, backing_file: &Path) -> Result<(), Error> {
    let path = path(host, backing_file);
    match fs::remove_file(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("remove", &path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_read_and_forgotten_by_the_files_path() {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Host::rooted(dir.path());
        host.map = dir.path().join("map");
        let file = Path::new("/opt/drbd0-backstore");
        assert_eq!(read(&host, file), None);
        write(&host, file, "lodrbd").unwrap();
        assert_eq!(read(&host, file).as_deref(), Some("lodrbd"));
        assert_eq!(
            fs::read_to_string(dir.path().join("map/opt/drbd0-backstore")).unwrap(),
            "TWO_NODE_HA_LOOP_LINK=lodrbd\n"
        );
        remove(&host, file).unwrap();
        remove(&host, file).unwrap();
        assert_eq!(read(&host, file), None);
    }

    #[test]
    fn unusual_characters_are_replaced_as_udev_replaces_them() {
        let cases: [(&[u8], &str); 4] = [
            (b"/opt/drbd0-backstore", "/opt/drbd0-backstore"),
            (b"/a (b)/'c'*~", "/a _b_/_c___"),
            ("/ä%$ ".as_bytes(), "/ä%$"),
            (b"/\xff\xfex", "/__x"),
        ];
        for (input, expected) in cases {
            assert_eq!(substituted(input), expected);
        }
    }
}
