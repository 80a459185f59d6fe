//! two-node-ha(8) and the README against the program itself.

#![allow(clippy::expect_used)] // A test that panics has failed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use two_node_ha_docs::{items, plain, read, repository};

const PAGE: &str = "man/two-node-ha.8";

/// Builds the programs as the other tests do, and says where they are. A binary of another package
/// has no `CARGO_BIN_EXE_*` here.
fn programs() -> &'static PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked"])
            .args(["--package", "two-node-ha", "--package", "two-node-ha-hook"])
            .current_dir(repository())
            .status()
            .expect("cargo starts");
        assert!(built.success(), "cargo build of the programs: {built}");
        let test = std::env::current_exe().expect("the test has a path");
        // …/debug/deps/commands-0123456789abcdef
        let debug = test.ancestors().nth(2).expect("deps lies in debug");
        debug.to_owned()
    })
}

fn output(arguments: &[&str]) -> String {
    output_of("two-node-ha", arguments)
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(programs().join(program))
        .args(arguments)
        .env("COLUMNS", "100")
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{program} {}: {}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// Names in the list of commands of a `--help`, and hidden ones as the completions know them.
fn commands(path: &[&str]) -> Vec<String> {
    let mut arguments = path.to_vec();
    arguments.push("--help");
    let help = output(&arguments);
    let mut names = Vec::new();
    let mut inside = false;
    for line in help.lines() {
        if line == "Commands:" {
            inside = true;
        } else if inside && line.is_empty() {
            break;
        } else if inside {
            // What is indented further goes on with the line above.
            let entry = line.strip_prefix("  ");
            let entry = entry.filter(|rest| !rest.starts_with(' '));
            let name = entry.and_then(|rest| rest.split_whitespace().next());
            names.extend(name.map(str::to_owned));
        }
    }
    names.retain(|name| name != "help");
    names
}

/// Long options in a `--help`.
fn options(path: &[&str]) -> Vec<String> {
    let mut arguments = path.to_vec();
    arguments.push("--help");
    output(&arguments)
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix('-')?;
            let at = line
                .find("-")
                .filter(|_| line.starts_with('-') || line.contains(", --"))?;
            let long = line[at..].trim_start_matches('-');
            let end = long
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .unwrap_or(long.len());
            Some(long[..end].to_owned())
        })
        .collect()
}

/// Whether the words stand in the page's synopsis: `.Ic check`, or `.Ic peer` with `.Cm setup`.
fn synopsis() -> Vec<String> {
    read(PAGE)
        .split(".Sh SYNOPSIS\n")
        .nth(1)
        .and_then(|rest| rest.split(".Sh ").next())
        .expect("the page has a synopsis")
        .split(".Nm\n")
        .map(|usage| {
            let words: Vec<_> = plain(usage)
                .split_whitespace()
                .filter(|word| !matches!(*word, ".Ic" | ".Cm" | ".Op" | ".Ar" | "|" | "Ar" | "Fl"))
                .map(str::to_owned)
                .collect();
            words.join(" ")
        })
        .filter(|usage| !usage.is_empty())
        .collect()
}

#[test]
fn every_command_is_in_the_synopsis_and_described() {
    let synopsis = synopsis();
    let described: Vec<String> = items(&read(PAGE))
        .into_iter()
        .map(|item| item.tag)
        .collect();
    let top = commands(&[]);
    assert!(
        top.len() >= 8,
        "the list of commands was not understood: {top:?}"
    );
    for command in &top {
        assert!(
            synopsis
                .iter()
                .any(|usage| usage.split(' ').next() == Some(command)),
            "{PAGE}: `{command}` is not in the synopsis {synopsis:?}"
        );
        assert!(
            described
                .iter()
                .any(|tag| tag == &format!("Ic {command}")
                    || tag.starts_with(&format!("Ic {command} "))),
            "{PAGE}: no `.Ic {command}` in a list"
        );
        for inner in commands(&[command]) {
            assert!(
                synopsis.iter().any(|usage| {
                    let mut words = usage.split(' ');
                    words.next() == Some(command) && words.any(|word| word == inner)
                }),
                "{PAGE}: `{command} {inner}` is not in the synopsis"
            );
        }
    }
}

#[test]
fn every_command_of_the_synopsis_exists() {
    for usage in synopsis() {
        let mut words = usage.split(' ');
        let command = words.next().unwrap();
        // Hidden commands are not listed; their help is there all the same.
        let help = output(&[command, "--help"]);
        assert!(help.contains("Usage: two-node-ha"), "{command}: {help}");
    }
}

#[test]
fn every_option_is_in_the_page() {
    let page = plain(&read(PAGE));
    for command in commands(&[]) {
        let mut paths = vec![vec![command.clone()]];
        for inner in commands(&[&command]) {
            paths.push(vec![command.clone(), inner]);
        }
        for path in paths {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            for option in options(&path) {
                assert!(
                    page.contains(&format!("Fl -{option}")),
                    "{PAGE}: --{option} of `{}` is not mentioned",
                    path.join(" ")
                );
            }
        }
    }
}

#[test]
fn the_handlers_in_the_hook_s_page_are_those_of_the_hook() {
    let help = output_of("two-node-ha-hook", &["--help"]);
    let (_, list) = help.split_once("Handlers:\n").expect("a list of handlers");
    let real: BTreeSet<&str> = list.split_whitespace().collect();
    assert!(real.contains("fence-peer"), "{help}");
    let page = items(&read("man/two-node-ha-hook.8"));
    let documented: BTreeSet<&str> = page
        .iter()
        .filter_map(|item| item.tag.strip_prefix("Cm "))
        .flat_map(|names| names.split(" , "))
        .collect();
    assert_eq!(documented, real);
}

/// Every `.rs` file below a directory.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_section_that_a_message_refers_to_is_in_the_page() {
    let page = read(PAGE);
    let mut files = Vec::new();
    for room in ["agent/src", "generator/src", "hooks/src", "crates"] {
        sources(&repository().join(room), &mut files);
    }
    let mut references = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable source");
        // A string may go on in the next line.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let text = lines.join("\n").replace("\\\n", "");
        for (_, rest) in text
            .match_indices("two-node-ha(8), section ")
            .map(|(at, found)| (at, &text[at + found.len()..]))
        {
            let end = rest
                .find(|c: char| !c.is_ascii_uppercase() && c != ' ')
                .unwrap_or(rest.len());
            let section = rest[..end].trim_end();
            assert!(
                page.contains(&format!("\n.Sh {section}\n")),
                "{}: refers to section {section}, which {PAGE} does not have",
                file.display()
            );
            references += 1;
        }
    }
    assert!(references > 0, "no message refers to a section any more");
}

#[test]
fn the_readme_types_only_commands_that_exist() {
    let readme = read("README.md");
    let known = commands(&[]);
    for (at, _) in readme.match_indices("two-node-ha ") {
        let rest = &readme[at + "two-node-ha ".len()..];
        // Prose goes on with "is", "does", …; commands stand in code.
        let before = &readme[..at];
        let in_code = before.rsplit('\n').next().is_some_and(|line| {
            line.matches('`').count() % 2 == 1 || before.matches("\n```").count() % 2 == 1
        });
        if !in_code {
            continue;
        }
        let word: String = rest
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect();
        if word.is_empty() || word.starts_with('-') {
            continue;
        }
        assert!(
            known.contains(&word) || word == "completions",
            "README.md: `two-node-ha {word}`, and there is no such command in {known:?}"
        );
    }
}
