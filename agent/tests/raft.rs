//! `two-node-ha raft`: exit codes, and what it prints, on directories of real dqlite.
#![allow(clippy::unwrap_used)]

#[path = "../../crates/dqlite/tests/real/mod.rs"]
mod real;

use std::path::Path;
use std::process::{Command, Output};

use real::{Fixture, GENERATIONS, State};

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

/// The directory itself, with nothing beside it but what a repair leaves.
fn place(fixture: &Fixture) -> std::path::PathBuf {
    fixture.dir("state").0.canonicalize().unwrap()
}

#[test]
fn a_repair_says_what_it_would_do_and_does_nothing_unless_it_is_told_to() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "clobbered-rename");
        let (dir, before) = (place(&fixture), fixture.dir("state").files());
        let dry = raft(&["repair", "--dry-run"], &dir);
        assert_eq!(dry.status.code(), Some(1), "{dry:?}");
        assert!(text(&dry).contains("lost      nothing"), "{dry:?}");
        let unconfirmed = raft(&["repair"], &dir);
        assert_eq!(unconfirmed.status.code(), Some(1));
        assert_eq!(text(&unconfirmed), text(&dry));
        assert!(String::from_utf8_lossy(&unconfirmed.stderr).contains("--yes"));
        assert!(fixture.dir("state").files() == before);
    }
}

#[test]
fn a_repair_that_was_told_to_is_done_and_names_the_way_back_which_works() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "clobbered-rename");
        let (dir, before) = (place(&fixture), fixture.dir("state").files());
        let done = raft(&["repair", "--yes"], &dir);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert_eq!(raft(&["verify"], &dir).status.code(), Some(0));
        let said = text(&done);
        let undo = said.lines().find_map(|line| line.strip_prefix("undo "));
        let words: Vec<_> = undo.unwrap().split_whitespace().collect();
        assert_eq!(words[..3], ["two-node-ha", "raft", "undo"], "{said}");
        let folder = Path::new(words[3]);
        assert_eq!(raft(&["undo"], folder).status.code(), Some(1));
        assert_eq!(raft(&["verify"], &dir).status.code(), Some(0));
        let undone = raft(&["undo", "--yes"], folder);
        assert_eq!(undone.status.code(), Some(0), "{undone:?}");
        assert!(fixture.dir("state").files() == before);
        // A sound one has nothing to repair.
        let sound = raft(&["repair", "--yes"], &folder.join("state"));
        assert_eq!(sound.status.code(), Some(0), "{sound:?}");
        assert!(text(&sound).contains("nothing to repair"));
    }
}

#[test]
fn a_repair_that_loses_something_wants_to_be_told_so() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "term-1-snapshot");
        let (dir, before) = (place(&fixture), fixture.dir("state").files());
        let refused = raft(&["repair", "--yes"], &dir);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--allow-loss"));
        assert!(fixture.dir("state").files() == before);
        let json = raft(&["repair", "--dry-run", "--json"], &dir);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let lost = json["lost"].clone();
        assert_eq!(json["after"]["state"], "sound");
        assert_eq!(
            lost["first"].as_u64().unwrap(),
            json["last_index"].as_u64().unwrap() + 1
        );
        let allowed = raft(&["repair", "--yes", "--allow-loss", "--json"], &dir);
        assert_eq!(allowed.status.code(), Some(0), "{allowed:?}");
        let json: serde_json::Value = serde_json::from_slice(&allowed.stdout).unwrap();
        assert_eq!((&json["lost"], &json["repaired"]), (&lost, &true.into()));
        assert_eq!(raft(&["verify"], &dir).status.code(), Some(0));
    }
}

#[test]
fn what_is_missing_is_found_in_another_directory_and_in_an_archive() {
    for generation in GENERATIONS {
        let whole = Fixture::unpack(generation, "healthy");
        let archive = whole.dir("backup.tar.gz").0;
        let tar = Command::new("tar")
            .arg("-czf")
            .arg(&archive)
            .arg("-C")
            .arg(whole.dir("").0)
            .arg("state")
            .status();
        assert!(tar.unwrap().success());
        for source in [whole.dir("state").0, archive] {
            let fixture = Fixture::unpack(generation, "healthy");
            let state = fixture.dir("state");
            let file = state.closed();
            state.flip(&file, state.batches(&file)[3] + 99);
            let dir = place(&fixture);
            assert_eq!(raft(&["verify"], &dir).status.code(), Some(2));
            let source = source.to_str().unwrap();
            let done = raft(&["repair", "--yes", "--source", source], &dir);
            assert_eq!(done.status.code(), Some(0), "{done:?}");
            assert!(text(&done).contains("of the same log"), "{done:?}");
            let compared = raft(&["compare", whole.dir("state").0.to_str().unwrap()], &dir);
            assert_eq!(compared.status.code(), Some(0), "{compared:?}");
        }
    }
}

#[test]
fn the_exit_code_of_compare_tells_the_relation() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "handover");
        let (old, new) = (fixture.dir("old"), fixture.dir("new"));
        let path = |state: &State| state.0.to_str().unwrap().to_owned();
        let ahead = raft(&["compare", &path(&old)], &new.0);
        assert_eq!(ahead.status.code(), Some(1), "{ahead:?}");
        assert!(text(&ahead).contains("B is ahead"), "{ahead:?}");
        let (_beside, other) = new.copy();
        other.rewrite(&other.open(), 0);
        let split = raft(&["compare", "--json", &path(&new)], &other.0);
        assert_eq!(split.status.code(), Some(2), "{split:?}");
        let json: serde_json::Value = serde_json::from_slice(&split.stdout).unwrap();
        assert_eq!(json["relation"], "diverged");
        let none = raft(&["compare", &path(&new)], Path::new("/proc"));
        assert_eq!(none.status.code(), Some(3), "{none:?}");
    }
}
