//! two-node-ha.toml(5) against the table of keys that the parser itself uses.

use std::collections::BTreeSet;

use two_node_ha_config::{Host, KEYS, Key, Kind, TABLES, parse_with_warnings};
use two_node_ha_docs::{Item, displays, fenced, items, read};

const PAGE: &str = "man/two-node-ha.toml.5";

/// The items of keys: `.It Va table.key`.
fn documented() -> Vec<Item> {
    items(&read(PAGE))
        .into_iter()
        .filter_map(|mut item| {
            item.tag = item.tag.strip_prefix("Va ")?.to_owned();
            Some(item)
        })
        .collect()
}

fn item_of<'a>(items: &'a [Item], key: &Key) -> &'a Item {
    items
        .iter()
        .find(|item| item.tag == key.path)
        .unwrap_or_else(|| panic!("{PAGE} does not say `.It Va {}`", key.path))
}

/// How the page names a kind. Without a catch-all: a new kind needs words here and in the page.
fn words(kind: Kind) -> String {
    match kind {
        Kind::Text => "String.".to_owned(),
        Kind::Choice(choices) => {
            let quoted: Vec<_> = choices.iter().map(|c| format!("\"{c}\"")).collect();
            format!("One of {}.", quoted.join(", "))
        }
        Kind::Duration => "Duration.".to_owned(),
        Kind::Size => "Size.".to_owned(),
        Kind::Path => "Absolute path.".to_owned(),
        Kind::Address => "IP address.".to_owned(),
        Kind::Addresses => "Array of IP addresses.".to_owned(),
        Kind::Texts => "Array of strings.".to_owned(),
        Kind::Integer(from, to) => format!("Whole number, {from} to {to}."),
        Kind::Boolean => "Boolean.".to_owned(),
        Kind::Params => "Table.".to_owned(),
    }
}

/// The value in `.Ql VALUE .` behind the line `label`.
fn quoted_after<'a>(item: &'a Item, label: &str) -> Option<&'a str> {
    let at = item.lines.iter().position(|line| line == label)?;
    item.lines
        .get(at + 1)?
        .strip_prefix(".Ql ")?
        .strip_suffix(" .")
}

#[test]
fn no_key_is_missing_and_none_is_documented_that_does_not_exist() {
    let in_page: Vec<String> = documented().into_iter().map(|item| item.tag).collect();
    let once: BTreeSet<&str> = in_page.iter().map(String::as_str).collect();
    assert_eq!(once.len(), in_page.len(), "a key is documented twice");
    let in_table: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
    assert!(in_table.len() > 50, "the table of keys looks truncated");
    assert_eq!(
        in_table.difference(&once).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "missing in {PAGE}"
    );
    assert_eq!(
        once.difference(&in_table).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "in {PAGE}, but no key"
    );
}

#[test]
fn each_key_stands_under_its_table_and_says_its_type() {
    let items = documented();
    for key in KEYS {
        let item = item_of(&items, key);
        let table = TABLES.iter().find(|t| t.name == key.table()).unwrap();
        let heading = if table.array {
            format!("[[{}]]", table.name)
        } else {
            format!("[{}]", table.name)
        };
        assert_eq!(item.section, heading, "{}", key.path);
        assert_eq!(item.lines.first(), Some(&words(key.kind)), "{}", key.path);
    }
}

#[test]
fn each_default_is_the_one_of_the_table() {
    let items = documented();
    for key in KEYS {
        let item = item_of(&items, key);
        let second = item.lines.get(1).map(String::as_str);
        if key.required {
            assert_eq!(second, Some("Required."), "{}", key.path);
        } else if let Some(default) = key.default {
            assert_eq!(
                quoted_after(item, "Default:"),
                Some(default),
                "{}",
                key.path
            );
        } else if let Some(derived) = key.derived {
            assert_eq!(
                second,
                Some(&*format!("Default: {derived}.")),
                "{}",
                key.path
            );
        } else {
            assert_eq!(second, Some("No default."), "{}", key.path);
        }
    }
}

#[test]
fn each_key_has_an_example_and_prose() {
    let items = documented();
    for key in KEYS {
        let item = item_of(&items, key);
        let example = format!(".Dl {} = {}", key.name(), key.example);
        let at = item
            .lines
            .iter()
            .position(|line| *line == example)
            .unwrap_or_else(|| panic!("{}: no line `{example}`", key.path));
        assert_eq!(item.lines[at - 1], "Example:", "{}", key.path);
        let prose = &item.lines[at + 1..];
        assert!(
            prose.first().is_some_and(|line| line != "Replaces"),
            "{}: nothing says what it is for",
            key.path
        );
    }
}

#[test]
fn what_each_key_replaces_is_what_the_table_says() {
    let items = documented();
    for key in KEYS {
        let item = item_of(&items, key);
        assert_eq!(quoted_after(item, "Replaces"), key.script, "{}", key.path);
    }
}

/// What people copy has neither errors nor warnings.
fn assert_clean(text: &str, name: &str, host: Host<'_>) {
    match parse_with_warnings(text, name, host) {
        Ok(parsed) => assert!(parsed.warnings.items().is_empty(), "{}", parsed.warnings),
        Err(errors) => panic!("{errors}"),
    }
}

#[test]
fn the_page_s_examples_are_configurations_without_a_warning() {
    let examples = displays(&read(PAGE));
    assert!(examples.len() >= 2);
    for example in examples {
        assert_clean(&example, PAGE, Host::Any);
    }
}

#[test]
fn the_readme_s_first_configuration_is_clean_on_both_nodes() {
    let blocks = fenced(&read("README.md"), "toml");
    assert!(!blocks.is_empty(), "README.md has no ```toml block");
    for block in blocks {
        for node in ["haone", "hatwo"] {
            assert_clean(&block, "README.md", Host::Node(node));
        }
    }
}
