//! `two-node-ha.toml.example` is written from the table of keys, so that neither lacks anything of
//! the other. `UPDATE_GOLDEN=1 cargo test -p two-node-ha-config --test example` writes it anew.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use std::path::PathBuf;

use two_node_ha_config::*;

const HEADER: &str = "\
# two-node-ha: the only file that a person edits, the same on both nodes.
#
# A line `#key = value` shows a default: without its `#` it changes nothing. A line
# `## key = value` shows what is off unless it is set. What has no `#` must be given.
# Each key is explained at length in two-node-ha.toml(5); `two-node-ha check` checks this file.
# \"Replaces\" names the setting of two-node-ha.sh, or the value in its guide, that a key stands for.
#
# Passwords of fence devices stand here: keep it root's and of mode 0600, as /etc/two-node-ha.toml.
";

/// What the example gives to keys that have no default, and to the second of two tables.
fn live(path: &str, index: usize) -> Option<&'static str> {
    Some(match (path, index) {
        ("node.name" | "fencing.device.node", 0) => "\"haone\"",
        ("node.name" | "fencing.device.node", 1) => "\"hatwo\"",
        ("node.address", 0) => "\"10.0.0.1\"",
        ("node.address", 1) => "\"10.0.0.2\"",
        ("volume.backing_file", _) => "\"/opt/drbd0-backstore\"",
        ("fencing.device.agent", _) => "\"fence_ipmilan\"",
        ("fencing.device.params", 0) => {
            "{ ip = \"10.0.9.1\", username = \"admin\", password = \"change me\" }"
        }
        ("fencing.device.params", 1) => {
            "{ ip = \"10.0.9.2\", username = \"admin\", password = \"change me\" }"
        }
        ("fencing.device.delay", 0) => "\"5s\"",
        _ => return None,
    })
}

/// `text` as comment lines.
fn comment(text: &str) -> String {
    let mut out = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > 98 {
            out += &line;
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line += word;
    }
    out + &line + "\n"
}

fn key_lines(key: &Key, index: usize) -> String {
    let mut out = String::new();
    let value = live(key.path, index);
    if index == 0 {
        let mut doc = key.doc.to_owned();
        if let Some(derived) = key.derived {
            doc += &format!(" Default: {derived}.");
        }
        if let Kind::Choice(all) = key.kind {
            doc += &format!(" One of {}.", all.join(", "));
        }
        out += &comment(&doc);
        if let Some(script) = key.script {
            out += &comment(&format!("Replaces: {script}"));
        }
    } else if value.is_none() {
        return out;
    }
    match (value, key.default.or(key.derived.map(|_| key.example))) {
        (Some(value), _) => out += &format!("{} = {value}\n", key.name()),
        (None, Some(default)) => out += &format!("#{} = {default}\n", key.name()),
        (None, None) => out += &format!("## {} = {}\n", key.name(), key.example),
    }
    out
}

fn example() -> String {
    let mut out = HEADER.to_owned();
    for table in TABLES {
        out += "\n\n";
        out += &comment(table.doc);
        for index in 0..=usize::from(table.array) {
            let name = table.name;
            out += &if table.array {
                format!("{}[[{name}]]\n", if index > 0 { "\n" } else { "" })
            } else {
                format!("[{name}]\n")
            };
            for key in KEYS.iter().filter(|k| k.table() == table.name) {
                out += &key_lines(key, index);
            }
        }
    }
    out
}

fn path() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../two-node-ha.toml.example"
    ))
}

fn read() -> String {
    std::fs::read_to_string(path()).unwrap()
}

fn config(text: &str) -> Config {
    match parse_with_warnings(text, "two-node-ha.toml.example", Host::Any) {
        Ok(parsed) => {
            assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);
            parsed.config
        }
        Err(d) => panic!("{d}"),
    }
}

#[test]
fn the_example_says_what_the_table_of_keys_says() {
    let want = example();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(), &want).unwrap();
    }
    let have = read();
    if have != want {
        let at = have.lines().zip(want.lines()).position(|(a, b)| a != b);
        panic!("differs from line {:?} on", at.map(|n| n + 1));
    }
}

#[test]
fn the_example_is_valid_and_safe() {
    let c = config(&read());
    assert_eq!(c.nodes[1].name, "hatwo");
}

#[test]
fn uncommenting_every_default_changes_nothing() {
    let text = read();
    let mut uncommented = 0;
    let full: String = text
        .lines()
        .map(|line| {
            let bare = line
                .strip_prefix('#')
                .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()) && l.contains(" = "));
            uncommented += usize::from(bare.is_some());
            format!("{}\n", bare.unwrap_or(line))
        })
        .collect();
    assert!(uncommented > 50, "{uncommented}");
    assert_eq!(config(&full), config(&text));
}

#[test]
fn every_key_is_in_the_example() {
    let text = read();
    for key in KEYS {
        let line = |prefix: &str| format!("\n{prefix}{} = ", key.name());
        let found = ["", "#", "## "].iter().any(|p| text.contains(&line(p)));
        assert!(found, "{} is missing", key.path);
    }
}

#[test]
fn what_is_off_by_default_is_valid_when_it_is_set() {
    let text = read()
        .replace("backing_file = ", "#backing_file = ")
        .replace("\n## ", "\n");
    let c = config(&text);
    assert!(matches!(c.volume.backing, Backing::Device(_)));
    assert!(c.drbd.shared_secret_file.is_some());
    assert!(c.drbd.resync_max_rate.is_some());
    assert!(c.hooks.alert_command.is_some());
}
