//! What stays on the disk.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use two_node_ha_drbd::Handler;
use two_node_ha_evidence::{
    Error, Evidence, KEEP, Noted, list, read, replace, unresolved, update, write,
};

fn evidence(time: u64) -> Evidence {
    Evidence::new(Handler::SplitBrain, time)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn evidence_is_private_and_is_read_back_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("lib/evidence");
    let path = write(&dir, &evidence(7)).unwrap();
    assert_eq!((mode(&dir), mode(&path)), (0o700, 0o600));
    assert_eq!(read(&path).unwrap(), evidence(7));
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn only_so_many_files_are_kept_the_first_unresolved_one_among_them() {
    let dir = tempfile::tempdir().unwrap();
    let old = write(dir.path(), &evidence(1)).unwrap();
    let resolved = Evidence {
        resolved: Some("haone was kept".into()),
        ..evidence(1)
    };
    replace(&old, &resolved).unwrap();
    for time in 2..100 {
        write(dir.path(), &evidence(time)).unwrap();
    }
    let kept: Vec<u64> = list(dir.path())
        .unwrap()
        .iter()
        .map(|path| read(path).unwrap().time)
        .collect();
    assert_eq!(kept.len(), KEEP);
    assert_eq!((kept[0], kept[1], kept[KEEP - 1]), (2, 69, 99));
    assert_eq!(unresolved(dir.path()).unwrap().len(), KEEP);
}

#[test]
fn what_is_no_evidence_is_an_error_with_the_files_name_and_does_not_hide_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &evidence(2)).unwrap();
    let newer = dir.path().join("00000000000000000001-0000000001-x.json");
    let text = r#"{"format": 2, "handler": "split-brain", "time": 1}"#;
    std::fs::write(&newer, text).unwrap();
    let error = read(&newer).unwrap_err();
    assert!(matches!(&error, Error::Unreadable { why, .. } if why.contains("format 2")));
    assert_eq!(unresolved(dir.path()).unwrap().len(), 1);
    assert!(list(&dir.path().join("absent")).unwrap().is_empty());
}

#[test]
fn both_sides_logs_fit_into_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let entries = vec![u32::MAX; 16_384];
    let side = serde_json::json!({ "k8sd": entries.clone(), "k8s-dqlite": entries });
    let mut large = evidence(1);
    large.sides = Some(Noted::Unknown(serde_json::json!([side.clone(), side])));
    let path = write(dir.path(), &large).unwrap();
    assert_eq!(read(&path).unwrap(), large);
}

#[test]
fn what_was_noted_while_a_change_was_thought_of_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &evidence(1)).unwrap();
    // Both have read the file by now.
    let (read_by_one, _) = unresolved(dir.path()).unwrap().remove(0);
    update(&path, |evidence| evidence.resolved = Some("kept".into())).unwrap();
    update(&read_by_one, |evidence| {
        evidence.problems.push("none".into())
    })
    .unwrap();
    let both = read(&path).unwrap();
    assert_eq!(both.resolved.as_deref(), Some("kept"));
    assert_eq!(both.problems, ["none"]);
    // And none is brought back that was dropped meanwhile.
    std::fs::remove_file(&path).unwrap();
    assert!(update(&path, |_| {}).is_err());
    assert!(!path.exists());
}
