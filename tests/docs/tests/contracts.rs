//! ARCHITECTURE.md lists every contract, with its version and a fixture of each.
#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::path::Path;

use two_node_ha_docs::{read, repository};

/// The rows of the table: version, type, fixtures.
fn contracts() -> Vec<(u32, String, String)> {
    let page = read("ARCHITECTURE.md");
    let section = page.split("\n## ").find(|s| s.starts_with("Contracts"));
    let rows = section.expect("a section of contracts").lines();
    rows.filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            let version = cells[2].parse().expect("a version");
            (version, plain(cells[3]), plain(cells[4]))
        })
        .collect()
}

/// The versions that a source declares.
fn declared(path: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(path).expect("a readable source");
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.trim().split_once("const VERSION: u32 = ")?;
            let plain = ["", "pub "].contains(&before);
            let version = after.trim_end_matches(';').parse().ok()?;
            plain.then_some(version)
        })
        .collect()
}

fn walk(directory: &Path, found: &mut Vec<(u32, String)>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let name = path.strip_prefix(repository()).expect("below it");
            for version in declared(&path) {
                found.push((version, name.to_string_lossy().into_owned()));
            }
        }
    }
}

#[test]
fn the_page_lists_every_version_that_the_code_declares_and_no_other() {
    let mut real = Vec::new();
    for room in ["agent", "crates", "generator", "hooks"] {
        walk(&repository().join(room), &mut real);
    }
    let mut told: Vec<_> = contracts()
        .into_iter()
        .map(|(version, source, _)| (version, source))
        .collect();
    told.sort();
    real.sort();
    assert_eq!(told, real);
}

#[test]
fn there_are_fixtures_of_every_version_and_their_origin_is_told() {
    let contracts = contracts();
    assert!(contracts.len() > 10, "{contracts:?}");
    for (version, source, fixtures) in contracts {
        // What is only printed.
        if fixtures.is_empty() {
            continue;
        }
        let fixtures = repository().join(fixtures);
        assert!(fixtures.join("README").exists(), "{}", fixtures.display());
        for version in 1..=version {
            let of = fixtures.join(format!("v{version}"));
            assert!(of.is_dir(), "{source}: {}", of.display());
        }
    }
}
