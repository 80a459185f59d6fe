//! `two-node-ha render`: what it prints, and what the real programs make of that.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod check;
mod cib;
mod corosync;
mod crm;
mod drbd;
mod golden;
mod scheduler;
mod shell;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The cases: their names and files. The example is one of them.
fn cases() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![(
        "example".to_owned(),
        root.join("../two-node-ha.toml.example"),
    )];
    for entry in std::fs::read_dir(root.join("tests/render/cases")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            all.push((name, path));
        }
    }
    all.sort();
    assert_eq!(all.len(), 4);
    all
}

fn case(name: &str) -> PathBuf {
    let found = cases().into_iter().find(|(n, _)| n == name);
    found.unwrap_or_else(|| panic!("no case {name}")).1
}

/// The program, untouched by the environment of whoever runs the tests.
fn two_node_ha(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_two-node-ha"))
        .args(args)
        .env_remove("TWO_NODE_HA_NODE")
        .env_remove("TWO_NODE_HA_ROOT")
        .output()
        .unwrap()
}

/// What `render ARGS` prints for a configuration.
fn render(config: &Path, args: &[&str]) -> String {
    let mut all = vec!["render"];
    all.extend(args);
    all.extend(["--config", config.to_str().unwrap()]);
    let out = two_node_ha(&all);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{all:?}: {stderr}");
    String::from_utf8(out.stdout).unwrap()
}

/// Runs a program of the system that the tests need.
fn program(command: &mut Command, package: &str) -> Output {
    match command.output() {
        Ok(out) => out,
        Err(e) => panic!(
            "{} does not start ({e}): install the package {package}",
            command.get_program().to_string_lossy()
        ),
    }
}

/// Both outputs, for a message.
fn told(out: &Output) -> String {
    format!(
        "{}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}
