//! Who votes, by the log of a database that runs. Only read: nothing here opens a file for writing.

use std::path::Path;

use two_node_ha_dqlite::{Found, TailCache, read_info, tail};

/// Whether the newest configuration in the log has one voter, and `info.yaml` its id.
///
/// # Errors
/// Why the log does not say. It is being written: what cannot be read now may be in a moment.
pub(super) fn sole_voter(directory: &Path) -> Result<bool, String> {
    let me = read_info(directory)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("{} has no info.yaml", directory.display()))?;
    match tail(directory, &mut TailCache::default()).map_err(|error| error.to_string())? {
        Found::Tail(tail) => Ok(tail.voters == [me.id]),
        Found::Nothing => Err(format!("there is no log in {}", directory.display())),
        Found::Damaged(why) => Err(format!("{}: {why}", directory.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::sole_voter;
    use std::fs;

    /// A log of one entry, which says who votes.
    fn directory(me: u64, servers: &[(u64, u8)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let info = format!("Address: 10.0.0.1:9000\nID: {me}\nRole: 0\n");
        fs::write(dir.path().join("info.yaml"), info).unwrap();
        let mut entry = vec![1, u8::try_from(servers.len()).unwrap(), 0, 0, 0, 0, 0, 0, 0];
        for (id, role) in servers {
            entry.extend(id.to_le_bytes());
            entry.extend(format!("10.0.0.{id}:9000\0").bytes());
            entry.push(*role);
        }
        entry.resize(entry.len().next_multiple_of(8), 0);
        // One batch of one CHANGE entry (type 3) of term 1, in a closed segment (dqlite's uv_segment.c).
        let mut header = 1_u64.to_le_bytes().to_vec();
        header.extend(1_u64.to_le_bytes());
        header.extend([3, 0, 0, 0]);
        header.extend(u32::try_from(entry.len()).unwrap().to_le_bytes());
        let crc = two_node_ha_dqlite::crc32;
        let mut segment = 1_u64.to_le_bytes().to_vec();
        segment.extend(crc(&header).to_le_bytes());
        segment.extend(crc(&entry).to_le_bytes());
        segment.extend(header);
        segment.extend(entry);
        fs::write(
            dir.path().join("0000000000000001-0000000000000001"),
            segment,
        )
        .unwrap();
        let mut metadata = Vec::new();
        for word in [1_u64, 1, 1, 0] {
            metadata.extend(word.to_le_bytes());
        }
        fs::write(dir.path().join("metadata1"), metadata).unwrap();
        dir
    }

    /// Roles on disk: 0 stand-by, 1 voter, 2 spare.
    #[test]
    fn the_only_voter_is_the_one_that_the_log_names_alone() {
        for (servers, sole) in [
            (&[(7, 1), (8, 2)][..], true),
            (&[(7, 1)], true),
            (&[(7, 1), (8, 1)], false),
            (&[(7, 2), (8, 1)], false),
            (&[(7, 0), (8, 2)], false),
        ] {
            let dir = directory(7, servers);
            assert_eq!(sole_voter(dir.path()), Ok(sole), "{servers:?}");
        }
    }

    #[test]
    fn a_directory_that_does_not_say_who_votes_is_no_answer_and_never_a_no() {
        let dir = tempfile::tempdir().unwrap();
        sole_voter(dir.path()).unwrap_err();
        sole_voter(&dir.path().join("nowhere")).unwrap_err();
        let dir = directory(7, &[(7, 1)]);
        fs::remove_file(dir.path().join("info.yaml")).unwrap();
        sole_voter(dir.path()).unwrap_err();
    }
}
