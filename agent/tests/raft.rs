//! `two-node-ha raft`: exit codes, and what it prints, on directories of real dqlite.
#![allow(clippy::unwrap_used)]

#[path = "../../crates/dqlite/tests/real/mod.rs"]
mod real;

use std::path::Path;
use std::process::{Command, Output};

use real::{Fixture, GENERATIONS};

fn raft(arguments: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_two-node-ha"))
        .arg("raft")
        .args(arguments)
        .arg(dir)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_exit_code_of_verify_is_the_verdict_and_that_of_inspect_is_not() {
    for generation in GENERATIONS {
        for (name, code, word) in [
            ("snapshots", 0, ": sound"),
            ("clobbered-rename", 1, "without loss"),
            ("mount-over", 2, "are lost unless found elsewhere"),
        ] {
            let fixture = Fixture::unpack(generation, name);
            let dir = fixture.dir("state").0;
            let verify = raft(&["verify"], &dir);
            assert_eq!(
                verify.status.code(),
                Some(code),
                "{generation} {name}: {verify:?}"
            );
            assert!(text(&verify).contains(word), "{verify:?}");
            let inspect = raft(&["inspect"], &dir);
            assert_eq!(
                inspect.status.code(),
                Some(0),
                "{generation} {name}: {inspect:?}"
            );
        }
    }
}

#[test]
fn what_is_no_dqlite_directory_or_cannot_be_read_is_3_with_a_reason() {
    let empty = tempfile::tempdir().unwrap();
    for command in ["verify", "inspect"] {
        for dir in [
            empty.path(),
            Path::new("/nowhere/at/all"),
            Path::new("/dev/null"),
        ] {
            let output = raft(&[command], dir);
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            assert_eq!(text(&output), "");
            let reason = String::from_utf8(output.stderr).unwrap();
            assert!(reason.contains(dir.to_str().unwrap()), "{reason}");
        }
    }
}

#[test]
fn the_json_has_what_programs_are_promised() {
    for generation in GENERATIONS {
        for command in ["verify", "inspect"] {
            let fixture = Fixture::unpack(generation, "clobbered-rename");
            let output = raft(&[command, "--json"], &fixture.dir("state").0);
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(json["verdict"]["state"], "repairable");
            assert!(
                json["last_index"].as_u64().unwrap() > json["snapshot"]["index"].as_u64().unwrap()
            );
            assert!(json["last_term"].is_u64() && json["snapshot"]["term"].is_u64());
            let member = &json["configuration"][0];
            assert_eq!(member["role"], "voter");
            assert!(member["id"].is_u64() && member["address"].is_string());
            assert!(json["segments"].as_array().unwrap().len() >= 3);
            let problem = &json["problems"][0];
            assert_eq!(
                (&problem["kind"], &problem["lossless"]),
                (&"misnamed".into(), &true.into())
            );
            assert!(problem["file"].is_string() && problem["detail"].is_string());
        }
    }
}

#[test]
fn inspect_shows_members_snapshots_and_segments() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "snapshots");
        let state = fixture.dir("state");
        let shown = text(&raft(&["inspect"], &state.0));
        for word in [
            &state.closed(),
            &state.open(),
            &state.snapshot(0),
            "this node",
            "k8s",
            "unused",
        ] {
            assert!(shown.contains(word), "{word} is not in {shown}");
        }
        let table = shown
            .lines()
            .find(|line| line.trim_start().starts_with("voter"))
            .unwrap();
        assert!(table.contains("127.0.0.1:19001"), "{shown}");
    }
}
