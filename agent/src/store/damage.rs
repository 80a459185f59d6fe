//! What a look through a database on the volume has found and could not mend. It holds for the files as
//! they were: once one of them is another, or has been written to, it is forgotten, and the next takeover
//! looks again. Below `/run`, so that the first takeover after a boot looks for itself.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use two_node_ha_disk::{self as disk, atomic};

use crate::raft_repair::{Fingerprint, fingerprint};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Form {
    format: u32,
    /// What was found, in words.
    found: String,
    /// The files that it was found in.
    files: Vec<Fingerprint>,
}

/// Notes what was found in a raft directory.
///
/// # Errors
/// When the directory cannot be read or the note cannot be written.
pub fn note(record: &Path, raft: &Path, found: &str) -> io::Result<()> {
    let form = Form {
        format: VERSION,
        found: found.to_owned(),
        files: fingerprint(raft).map_err(io::Error::other)?,
    };
    let text = serde_json::to_vec_pretty(&form).map_err(io::Error::other)?;
    atomic::replace(record, &text)
}

/// What was found in a raft directory, where it is still as it was then. A note that cannot be read is
/// none: the next takeover looks again.
#[must_use]
pub fn found(record: &Path, raft: &Path) -> Option<String> {
    let text = std::fs::read(record).ok()?;
    let form: Form = serde_json::from_slice(&text).ok()?;
    let files = fingerprint(raft).ok()?;
    (form.format == VERSION && form.files == files).then_some(form.found)
}

/// Forgets what was found.
///
/// # Errors
/// What the system says.
pub fn forget(record: &Path) -> io::Result<()> {
    disk::remove_file_if_there(record).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_found_holds_until_a_file_is_another_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let (record, raft) = (dir.path().join("k8sd.damaged"), dir.path().join("raft"));
        fs::create_dir(&raft).unwrap();
        fs::write(raft.join("open-1"), "entries").unwrap();
        assert_eq!(found(&record, &raft), None);
        note(&record, &raft, "one entry is lost").unwrap();
        let said = Some("one entry is lost".to_owned());
        assert_eq!(found(&record, &raft), said);
        // The same content in another file, as after a repair.
        fs::write(raft.join("new"), "entries").unwrap();
        fs::rename(raft.join("new"), raft.join("open-1")).unwrap();
        assert_eq!(found(&record, &raft), None);
        note(&record, &raft, "one entry is lost").unwrap();
        fs::remove_file(raft.join("open-1")).unwrap();
        assert_eq!(found(&record, &raft), None);
        fs::write(&record, "{").unwrap();
        assert_eq!(found(&record, &raft), None);
        for _ in 0..2 {
            forget(&record).unwrap();
            assert!(!record.exists());
        }
    }
}
