//! What a person reads about each slip: `bad/NN-name.toml` and, beside it, `NN-name.expected`.
//! `UPDATE_GOLDEN=1 cargo test -p two-node-ha-config --test diagnostics` writes them anew.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use std::path::{Path, PathBuf};

use two_node_ha_config::*;

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut all: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    all.sort();
    assert!(all.len() >= 50);
    all
}

fn diagnostics(case: &Path, host: Host<'_>) -> Diagnostics {
    let text = std::fs::read_to_string(case).unwrap();
    let name = case.file_name().unwrap().to_str().unwrap();
    match parse_with_warnings(&text, name, host) {
        Ok(parsed) => parsed.warnings,
        Err(d) => d,
    }
}

#[test]
fn each_slip_is_told_with_its_place_and_what_to_do() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let found = diagnostics(&case, Host::Any);
        assert!(!found.is_empty(), "{}: nothing found", case.display());
        let expected = case.with_extension("expected");
        let have = found.to_string();
        if update {
            std::fs::write(&expected, &have).unwrap();
        }
        let want = std::fs::read_to_string(&expected).unwrap_or_default();
        if have != want {
            wrong.push(format!("{}:\n{have}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_place_lies_in_the_file() {
    for case in cases() {
        let text = std::fs::read_to_string(&case).unwrap();
        for d in diagnostics(&case, Host::Any).items() {
            let line = text.split('\n').nth(d.line - 1);
            let line = line.unwrap_or_else(|| panic!("{}: {d:?}", case.display()));
            assert!(
                d.column <= line.chars().count() + 1,
                "{}: {d:?}",
                case.display()
            );
        }
    }
}

#[test]
fn only_warnings_leave_a_configuration() {
    for case in cases() {
        let text = std::fs::read_to_string(&case).unwrap();
        let name = case.file_name().unwrap().to_str().unwrap();
        let warns = name.contains("warning");
        assert_eq!(parse(&text, name, Host::Any).is_ok(), warns, "{name}");
    }
}

#[test]
fn no_diagnostic_shows_a_password() {
    for case in cases() {
        let shown = diagnostics(&case, Host::Any);
        assert!(!shown.to_string().contains("hunter2"), "{}", case.display());
        let json = serde_json::to_string(&shown).unwrap();
        assert!(!json.contains("hunter2"), "{}", case.display());
    }
}

const GOOD: &str = "\
[[node]]
name = \"haone\"
address = \"10.0.0.1\"
[[node]]
name = \"hatwo\"
hostname = \"node-b\"
address = \"10.0.0.2\"
[volume]
backing_file = \"/opt/x\"
[fencing]
mode = \"constraint\"
";

#[test]
fn a_host_that_is_neither_node_is_told_what_to_write() {
    let told = |host| parse(GOOD, "x.toml", host).unwrap_err().to_string();
    assert_eq!(
        told(Host::Hostname("haone.example.com")),
        "error: this host is called `haone.example.com`, which is neither of the two nodes
 --> x.toml:2:8
  |
2 | name = \"haone\"
  |        ^^^^^^^
  = help: if this host is `haone`, write hostname = \"haone.example.com\" in its [[node]]
"
    );
    assert!(told(Host::Hostname("elsewhere")).contains("the nodes are `haone` and `hatwo`"));
    assert!(told(Host::Node("node-b")).contains("there is no node `node-b`"));
}

#[test]
fn bytes_that_are_not_utf_8_are_told_with_their_place() {
    let bytes = b"[cluster]\nname = \"h\xff\"\n";
    let d = decode(bytes, "x.toml").unwrap_err();
    assert_eq!((d.items()[0].line, d.items()[0].column), (2, 10));
    assert!(d.to_string().contains("0xff"));
    assert_eq!(decode(b"a = 1", "x.toml"), Ok("a = 1"));
}

#[test]
fn the_json_has_all_but_the_source_line() {
    let d = parse("[volume]\nsise = 1\n", "x.toml", Host::Any).unwrap_err();
    let json: serde_json::Value =
        serde_json::from_str(&serde_json::to_string(&d).unwrap()).unwrap();
    assert_eq!(json["file"], "x.toml");
    let unknown = json["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["key"] == "volume.sise")
        .unwrap();
    assert_eq!(unknown["severity"], "error");
    assert_eq!(unknown["line"], 2);
    assert_eq!(unknown["column"], 1);
    assert_eq!(unknown["width"], 4);
    assert_eq!(unknown["help"], "did you mean `size`?");
    assert!(unknown.get("source").is_none());
}
