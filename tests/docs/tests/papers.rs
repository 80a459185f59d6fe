//! Versions and names that stand in more than one place.

use two_node_ha_docs::{read, repository};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn the_package_s_changelog_begins_with_the_version_of_the_workspace() {
    let first = read("packaging/debian/changelog");
    assert!(
        first.starts_with(&format!("two-node-ha ({VERSION}) ")),
        "packaging/debian/changelog: {}",
        first.lines().next().unwrap_or_default()
    );
}

#[test]
fn the_changelog_has_a_section_for_the_version_of_the_workspace() {
    let text = read("CHANGELOG.md");
    assert!(
        text.lines()
            .any(|line| line.starts_with(&format!("## [{VERSION}]"))),
        "CHANGELOG.md has no `## [{VERSION}]`"
    );
}

#[test]
fn the_readme_names_only_files_and_make_targets_that_exist() {
    let readme = read("README.md");
    let makefile = read("Makefile");
    for code in readme.split('`').skip(1).step_by(2) {
        if let Some(target) = code.strip_prefix("make ") {
            let target = target.split_whitespace().next().unwrap_or_default();
            if !target.is_empty() && !target.contains('=') {
                assert!(
                    makefile.contains(&format!("\n{target}: "))
                        || makefile.contains(&format!("\n{target}:\n")),
                    "README.md: `make {target}` is no target"
                );
            }
        }
    }
    for link in readme.split("](").skip(1) {
        let target = link.split([')', '#']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") {
            assert!(
                repository().join(target).exists(),
                "README.md links to {target}, which does not exist"
            );
        }
    }
}
