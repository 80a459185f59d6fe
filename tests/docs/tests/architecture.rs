//! ARCHITECTURE.md says what stands.
#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use two_node_ha_docs::{read, repository};

const PAGE: &str = "ARCHITECTURE.md";

/// The rows of the table below a heading, each as its cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = read(PAGE);
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("{PAGE} has no section {heading}"));
    let rows = section.lines().filter(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// Every file of a name's end below the rooms.
fn files(end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for room in ["agent", "crates", "generator", "hooks"] {
        walk(&repository().join(room), end, &mut found);
    }
    found
}

fn walk(directory: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, end, found);
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
}

/// What a room uses of the others, by its manifest, tests left out.
fn uses(room: &str) -> BTreeSet<String> {
    let manifest = read(&format!("{room}/Cargo.toml"));
    let dependencies = manifest
        .split("\n[")
        .find(|section| section.starts_with("dependencies]"))
        .unwrap_or_default();
    let names = dependencies.lines().filter_map(|line| {
        let name = line.strip_prefix("two-node-ha-")?;
        name.split(['.', ' ', '=']).next().map(str::to_owned)
    });
    names.collect()
}

#[test]
fn every_room_uses_what_the_page_says_and_nothing_else() {
    let mut told = BTreeMap::new();
    for row in table("Rooms") {
        let [room, _, used] = &row[..] else {
            panic!("{row:?}");
        };
        let used = used.split(", ").filter(|name| !name.is_empty());
        told.insert(
            room.trim_matches('`').to_owned(),
            used.map(str::to_owned).collect::<BTreeSet<_>>(),
        );
    }
    let mut real = BTreeMap::new();
    for manifest in files("Cargo.toml") {
        let room = manifest.parent().expect("a directory");
        let room = room.strip_prefix(repository()).expect("below it");
        let room = room.to_string_lossy().into_owned();
        if !room.ends_with("fuzz") {
            real.insert(room.clone(), uses(&room));
        }
    }
    assert_eq!(told, real);
}

#[test]
fn what_only_tests_may_do_is_built_into_no_program() {
    let mut made = BTreeSet::new();
    let mut switched_on = 0;
    for manifest in files("Cargo.toml") {
        let text = std::fs::read_to_string(&manifest).expect("a readable manifest");
        for section in text.split("\n[") {
            if section.starts_with("features]") {
                let features = section.lines().filter_map(|line| line.split_once(" = "));
                made.extend(features.map(|(name, _)| name.to_owned()));
            }
            for line in section
                .lines()
                .filter(|line| line.starts_with("two-node-ha-"))
            {
                if line.contains("features") {
                    let tests = section.starts_with("dev-dependencies]");
                    assert!(tests, "{}: {line}", manifest.display());
                    switched_on += 1;
                }
            }
        }
    }
    assert_eq!(
        made,
        BTreeSet::from(["power".to_owned(), "world".to_owned()])
    );
    assert!(switched_on >= 3, "{switched_on}");
}

#[test]
fn every_invariant_has_its_tests_and_each_of_them_exists() {
    let sources: Vec<String> = files(".rs")
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a readable source"))
        .collect();
    let rows = table("Invariants");
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let all: Vec<String> = (1..=12).map(|number| format!("I{number}")).collect();
    assert_eq!(names, all);
    for row in &rows {
        let tests: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{} has no test", row[0]);
        for test in tests {
            let declared = format!("#[test]\nfn {test}()");
            let inside = format!("#[test]\n    fn {test}()");
            assert!(
                sources
                    .iter()
                    .any(|text| text.contains(&declared) || text.contains(&inside)),
                "{}: there is no test {test}",
                row[0]
            );
        }
    }
}

#[test]
fn every_invariant_that_the_code_names_is_in_the_page() {
    let known: BTreeSet<String> = table("Invariants")
        .iter()
        .map(|row| row[0].clone())
        .collect();
    let mut named = BTreeSet::new();
    for path in files(".rs") {
        let text = std::fs::read_to_string(&path).expect("a readable source");
        for line in text.lines() {
            let line = line.trim_start();
            let Some(rest) = line.strip_prefix("// I").or(line.strip_prefix("/// I")) else {
                continue;
            };
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if !number.is_empty() && rest[number.len()..].starts_with([':', ' ', ',']) {
                let name = format!("I{number}");
                assert!(known.contains(&name), "{}: {line}", path.display());
                named.insert(name);
            }
        }
    }
    assert!(
        named.len() >= 6,
        "only {named:?} are named where they are kept"
    );
}

#[test]
fn every_state_is_in_the_picture() {
    let source = read("crates/planner/src/decision.rs");
    let page = read(PAGE);
    let names: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split('"').nth(1))
        .collect();
    assert_eq!(names.len(), 9, "{names:?}");
    for name in names {
        assert!(page.contains(name), "{PAGE} does not show {name}");
    }
}

#[test]
fn the_planner_has_no_thread_no_clock_no_process_and_no_file() {
    let room = repository().join("crates/planner/src");
    let mut sources = Vec::new();
    walk(&room, ".rs", &mut sources);
    // The exploration of both nodes is a test, with threads of its own.
    sources.retain(|path| !path.to_string_lossy().contains("/two_nodes/"));
    assert!(sources.len() > 20);
    for path in sources {
        let text = std::fs::read_to_string(&path).expect("a readable source");
        for word in [
            "std::thread",
            "std::fs",
            "std::path",
            "std::net",
            "std::process",
            "std::env",
            "std::sync",
            "Instant::now",
            "SystemTime::now",
            "println!",
            "tracing::",
        ] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn every_file_that_the_page_links_to_exists() {
    let page = read(PAGE);
    for link in page.split("](").skip(1) {
        let target = link.split(')').next().unwrap_or_default();
        assert!(repository().join(target).exists(), "{target}");
    }
}
