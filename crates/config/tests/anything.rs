//! Whatever the file holds: no panic, and every place that is named lies in the file.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use two_node_ha_config::*;

const EXAMPLE: &str = include_str!("../../../two-node-ha.toml.example");

/// What the fuzz target checks, too.
fn check(text: &str, host: Host<'_>) {
    let found = match parse_with_warnings(text, "x.toml", host) {
        Ok(parsed) => {
            assert_eq!(parsed.warnings.errors(), 0);
            assert_eq!(parse(text, "x.toml", host), Ok(parsed.config));
            parsed.warnings
        }
        Err(d) => {
            assert!(d.errors() > 0);
            d
        }
    };
    let lines: Vec<&str> = text.split('\n').collect();
    for d in found.items() {
        assert!((1..=lines.len()).contains(&d.line), "{d:?}");
        let width = lines[d.line - 1].chars().count();
        assert!((1..=width + 1).contains(&d.column), "{d:?}");
        assert!(d.width >= 1 && d.width <= width.max(1), "{d:?}");
        assert!(!d.source.contains('\n'), "{d:?}");
    }
    let shown = found.to_string();
    let controls = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!shown.contains(controls), "{shown:?}");
}

/// A slip of the pen in the example.
#[derive(Debug, Clone)]
enum Edit {
    Delete(Index, usize),
    Insert(Index, String),
    DuplicateLine(Index),
    DropLine(Index),
    SwapLines(Index, Index),
    Uncomment(Index),
    Truncate(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    let scrap = select(vec![
        "[",
        "]",
        "[[",
        "{",
        "}",
        "=",
        "\"",
        "\"\"\"",
        "'",
        "#",
        ",",
        ".",
        "\n",
        "\r\n",
        "\t",
        "\\",
        "\\u0000",
        "-1",
        "1e9",
        "nan",
        "true",
        "1979-05-27",
        "[node]\n",
        "[[volume]]\n",
        "node = 5\n",
        "é",
        "日本",
        "\u{feff}",
        "\0",
        "\u{7f}",
        "fencing.device = []\n",
        "[fencing.device.params]\n",
        "[[node]]\n",
        "[a.b.c]\n",
        "x = { y = [1, {}] }\n",
    ]);
    prop_oneof![
        (index(), 1..40usize).prop_map(|(i, n)| Edit::Delete(i, n)),
        (index(), scrap.prop_map(str::to_owned)).prop_map(|(i, s)| Edit::Insert(i, s)),
        (index(), ".{1,8}").prop_map(|(i, s)| Edit::Insert(i, s)),
        index().prop_map(Edit::DuplicateLine),
        index().prop_map(Edit::DropLine),
        (index(), index()).prop_map(|(i, j)| Edit::SwapLines(i, j)),
        index().prop_map(Edit::Uncomment),
        index().prop_map(Edit::Truncate),
    ]
}

fn apply(text: &str, edit: &Edit) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let n = chars.len();
    if n == 0 || lines.is_empty() {
        return text.to_owned();
    }
    let count = lines.len();
    match edit {
        Edit::Delete(i, len) => {
            let at = i.index(n);
            chars.drain(at..(at + len).min(n));
            return chars.into_iter().collect();
        }
        Edit::Insert(i, s) => {
            let at = i.index(n);
            chars.splice(at..at, s.chars());
            return chars.into_iter().collect();
        }
        Edit::Truncate(i) => return chars[..i.index(n)].iter().collect(),
        Edit::DuplicateLine(i) => {
            let at = i.index(count);
            lines.insert(at, lines[at]);
        }
        Edit::DropLine(i) => {
            lines.remove(i.index(count));
        }
        Edit::SwapLines(i, j) => lines.swap(i.index(count), j.index(count)),
        Edit::Uncomment(i) => {
            let at = i.index(count);
            lines[at] = lines[at].trim_start_matches(['#', ' ']);
        }
    }
    lines.concat()
}

fn host() -> impl Strategy<Value = Host<'static>> {
    select(vec![
        Host::Any,
        Host::Hostname("haone"),
        Host::Hostname("elsewhere"),
        Host::Node("hatwo"),
        Host::Node(""),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*", host in host()) {
        check(&text, host);
    }

    #[test]
    fn arbitrary_characters_never_panic(text in "(?s).{0,200}", host in host()) {
        check(&text, host);
    }

    #[test]
    fn what_looks_like_toml_never_panics(
        text in "([\\[\\]]{0,2}(node|volume|fencing\\.device|params|k8s|a)[\\]]{0,2}[ =.]{0,3}[\"'{\\[]{0,3}(1|true|x|10\\.0\\.0\\.1|-)?[\"'}\\],]{0,3}\r?\n?){0,30}",
        host in host()
    ) {
        check(&text, host);
    }

    #[test]
    fn the_example_with_slips_never_panics(
        edits in prop::collection::vec(edit(), 1..8),
        host in host()
    ) {
        let text = edits.iter().fold(EXAMPLE.to_owned(), |text, e| apply(&text, e));
        check(&text, host);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match decode(&bytes, "x.toml") {
            Ok(text) => check(text, Host::Any),
            Err(d) => prop_assert_eq!(d.errors(), 1),
        }
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_never_panic() {
    let dirs = ["fuzz/seeds", "tests/bad"];
    let mut count = 0;
    for dir in dirs {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        for entry in std::fs::read_dir(&dir).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            if let Ok(text) = decode(&bytes, "x.toml") {
                check(text, Host::Any);
                check(text, Host::Hostname("haone"));
                count += 1;
            }
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn deep_nesting_and_long_files_end() {
    check(&"[".repeat(100_000), Host::Any);
    check(&"a.".repeat(50_000), Host::Any);
    check(&format!("x = {}", "[".repeat(5_000)), Host::Any);
    check(&"[[node]]\nname = 1\n".repeat(2_000), Host::Any);
    check(&"x = \n".repeat(5_000), Host::Any);
}
