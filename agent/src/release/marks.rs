//! Which services write a database, and where: as the gates say, which are there whatever has become
//! of the configuration.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use two_node_ha_planner::Database;

use crate::paths::Paths;

/// The generator's drop-in in `NAME.service.d`.
const DROP_IN: &str = "50-two-node-ha.conf";
/// Its section for us; systemd ignores what begins with `X-`. It has no version: it is read on the way
/// down, which nothing may keep from its end, and the generator that a package brought writes it anew at
/// every reload of systemd. So a line may be added to it, and none may ever change its meaning.
const SECTION: &str = "[X-TwoNodeHA]";

/// The units that write a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Units {
    /// As the gates name them.
    Gated(BTreeSet<String>),
    /// There are no gates, or they say nothing: by the names that every release of the snap has.
    Default,
}

impl Units {
    /// Whether a unit, or its cgroup, is one of them.
    pub fn has(&self, unit: &str) -> bool {
        match self {
            Self::Gated(units) => units.contains(unit),
            Self::Default => unit
                .strip_prefix("snap.")
                .and_then(|rest| rest.strip_suffix(".service"))
                .and_then(|rest| rest.split_once('.'))
                .is_some_and(|(_, service)| Database::ALL.into_iter().any(|d| d.name() == service)),
        }
    }
}

/// Reads the marks of the gates.
pub fn units(paths: &Paths) -> Units {
    let units: BTreeSet<String> = gates(paths).into_iter().map(|(unit, _)| unit).collect();
    if units.is_empty() {
        Units::Default
    } else {
        Units::Gated(units)
    }
}

/// The state directories: those in the gates, or the default ones of every snap that has them.
pub fn state_directories(paths: &Paths) -> Vec<PathBuf> {
    let marked: Vec<PathBuf> = gates(paths)
        .into_iter()
        .filter_map(|(_, directory)| directory)
        .map(|directory| paths.at(&directory))
        .collect();
    if !marked.is_empty() {
        return marked;
    }
    let mut found = Vec::new();
    for snap in names(&paths.at(Path::new("/var/snap"))) {
        let lib = snap.join("common/var/lib");
        found.extend([lib.join("k8s-dqlite"), lib.join("k8sd/state")]);
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found
}

/// The gates of databases: unit, and its state directory where the gate names one.
fn gates(paths: &Paths) -> Vec<(String, Option<PathBuf>)> {
    let mut found = Vec::new();
    for directory in names(&paths.at(Path::new("/run/systemd/generator"))) {
        let unit = directory
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".d"))
            .filter(|unit| unit.starts_with("snap.") && unit.ends_with(".service"));
        let Some(unit) = unit else { continue };
        let Ok(text) = fs::read_to_string(directory.join(DROP_IN)) else {
            continue;
        };
        if let Some(state) = mark(&text) {
            found.push((unit.to_owned(), state));
        }
    }
    found
}

/// The mark in a drop-in: `None` where its service writes no database.
fn mark(text: &str) -> Option<Option<PathBuf>> {
    let mut ours = false;
    let (mut writes, mut state) = (false, None);
    for line in text.lines() {
        if line.starts_with('[') {
            ours = line == SECTION;
        } else if ours {
            match line.split_once('=') {
                Some(("WritesDatabase", "yes")) => writes = true,
                // Doubled by the generator, as in every other value.
                Some(("StateDirectory", path)) => state = Some(path.replace("%%", "%").into()),
                Some(_) | None => {}
            }
        }
    }
    writes.then_some(state)
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &tempfile::TempDir) -> Paths {
        Paths::rooted(dir.path().to_path_buf())
    }

    fn gate(dir: &tempfile::TempDir, unit: &str, text: &str) {
        let gate = dir
            .path()
            .join("run/systemd/generator")
            .join(format!("{unit}.d"));
        fs::create_dir_all(&gate).unwrap();
        fs::write(gate.join(DROP_IN), text).unwrap();
    }

    #[test]
    fn without_gates_the_services_are_known_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let units = units(&paths(&dir));
        for name in ["snap.k8s.k8sd.service", "snap.k8s-edge.k8s-dqlite.service"] {
            assert!(units.has(name), "{name}");
        }
        for name in [
            "snap.k8s.kubelet.service",
            "k8sd.service",
            "snap.k8s.k8sd.service.d",
            "snap.k8s.x.k8sd.service",
        ] {
            assert!(!units.has(name), "{name}");
        }
    }

    #[test]
    fn a_gate_that_says_so_writes_a_database_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let marked = "[Unit]\nAfter=x\n\n[X-TwoNodeHA]\nWritesDatabase=yes\n\
                      StateDirectory=/var/snap/edge/a 100%% b\n";
        gate(&dir, "snap.edge.mystore.service", marked);
        gate(&dir, "snap.edge.kubelet.service", "[Unit]\nAfter=x\n");
        gate(&dir, "other.service", marked);
        gate(&dir, "snap.edge.mystore.timer", marked);
        let paths = paths(&dir);
        let units = units(&paths);
        assert_eq!(
            units,
            Units::Gated(["snap.edge.mystore.service".to_owned()].into())
        );
        assert!(!units.has("snap.k8s.k8sd.service"));
        assert_eq!(
            state_directories(&paths),
            [dir.path().join("var/snap/edge/a 100% b")]
        );
    }

    #[test]
    fn the_gates_of_every_version_are_understood_and_so_is_what_is_added_to_them() {
        let here = two_node_ha_sample::contract::fixtures(env!("CARGO_MANIFEST_DIR"));
        let gate = here.read(1, "gate.conf");
        let state = PathBuf::from("/var/snap/k8s/common/var/lib/k8s-dqlite");
        assert_eq!(mark(&gate), Some(Some(state.clone())));
        let more = gate.replace(SECTION, "[X-TwoNodeHA]\nShape=round");
        assert_eq!(mark(&more), Some(Some(state)));
    }

    #[test]
    fn a_mark_in_another_section_is_none() {
        assert_eq!(mark("[Service]\nWritesDatabase=yes\n"), None);
        assert_eq!(
            mark("[X-TwoNodeHA]\nWritesDatabase=yes\n[Service]\nStateDirectory=/x\n"),
            Some(None)
        );
    }

    #[test]
    fn without_gates_the_default_state_directories_of_each_snap_count() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("var/snap/k8s/common/var/lib");
        fs::create_dir_all(lib.join("k8sd/state")).unwrap();
        // A link that leads nowhere is one all the same.
        std::os::unix::fs::symlink("/nowhere", lib.join("k8s-dqlite")).unwrap();
        fs::create_dir_all(dir.path().join("var/snap/firefox/common")).unwrap();
        let mut found = state_directories(&paths(&dir));
        found.sort();
        assert_eq!(found, [lib.join("k8s-dqlite"), lib.join("k8sd/state")]);
    }
}
