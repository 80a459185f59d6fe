//! `two-node-ha check`.

use std::fs;
use std::process::{Command, Output};

use super::{case, cases, two_node_ha};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn a_valid_file_is_told_in_words_and_exits_with_0() {
    let example = case("example");
    let example = example.to_str().unwrap();
    let out = two_node_ha(&["check", example, "--node", "hatwo"]);
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stderr.is_empty(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    for words in [
        "ok: cluster ha, haone 10.0.0.1 + hatwo 10.0.0.2, this host is hatwo",
        "file /opt/drbd0-backstore of 2000MiB",
        "fence_ipmilan for haone",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn warnings_are_told_and_do_not_change_the_exit_code() {
    let guide = case("guide");
    let out = two_node_ha(&["check", guide.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0));
    let told = text(&out.stderr);
    assert_eq!(told.matches("warning: ").count(), 3, "{told}");
    assert!(!told.contains("error"), "{told}");
    assert!(text(&out.stdout).starts_with("ok: "));
}

#[test]
fn errors_go_to_standard_error_with_their_place_and_exit_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    fs::write(&file, "[drbd]\nportt = 1\n").unwrap();
    let out = two_node_ha(&["check", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(out.stdout.is_empty());
    let told = text(&out.stderr);
    assert!(told.contains("x.toml:2:1\n"), "{told}");
    assert!(told.contains("did you mean `port`?"), "{told}");
    assert!(told.ends_with("x.toml: 3 errors\n"), "{told}");

    let absent = dir.path().join("absent.toml");
    let out = two_node_ha(&["check", absent.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("cannot read the configuration"));

    fs::write(&file, b"[cluster]\nname = \"\xff\"\n").unwrap();
    let out = two_node_ha(&["check", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("0xff is not UTF-8"));
}

#[test]
fn wrong_usage_exits_with_2() {
    let out = two_node_ha(&["check", "--nodes", "x"]);
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn json_goes_to_standard_output_whatever_the_outcome() {
    for (name, config) in cases() {
        let out = two_node_ha(&[
            "check",
            "--json",
            "--node",
            "haone",
            config.to_str().unwrap(),
        ]);
        assert!(out.stderr.is_empty(), "{name}: {}", text(&out.stderr));
        let report = json(&out);
        assert_eq!(report["ok"], true, "{name}");
        assert_eq!(report["this"], "haone", "{name}");
        let warnings = report["diagnostics"].as_array().unwrap();
        assert_eq!(warnings.is_empty(), name == "example", "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    fs::write(&file, "[drbd]\nportt = 1\n").unwrap();
    let out = two_node_ha(&["check", "--json", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    let report = json(&out);
    assert_eq!(report["ok"], false);
    assert_eq!(report["diagnostics"].as_array().unwrap().len(), 3);

    let out = two_node_ha(&["check", "--json", "/does/not/exist"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(json(&out)["ok"], false);
}

/// The installed file must name this host; any other may be meant for other machines.
#[test]
fn only_the_installed_file_must_name_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("etc")).unwrap();
    fs::create_dir_all(at("proc/sys/kernel")).unwrap();
    fs::copy(case("example"), at("etc/two-node-ha.toml")).unwrap();
    let check = |hostname: &str, args: &[&str]| {
        fs::write(at("proc/sys/kernel/hostname"), format!("{hostname}\n")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_two-node-ha"))
            .arg("check")
            .args(args)
            .env("TWO_NODE_HA_ROOT", dir.path())
            .env_remove("TWO_NODE_HA_NODE")
            .output()
            .unwrap()
    };
    let out = check("hatwo", &[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("this host is hatwo"));

    let out = check("elsewhere", &[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("this host is called `elsewhere`"));

    let file = at("etc/two-node-ha.toml");
    let out = check("elsewhere", &[file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("this host, elsewhere, is neither"));
}
