//! The commands of pcs are a shell script.

use std::fs;
use std::process::Command;

use super::{case, cases, program, render, told};

/// What `pcs` would be called with: a stand-in that prints its arguments, one a line.
fn calls(script: &str) -> Vec<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let pcs = dir.path().join("pcs");
    fs::write(
        &pcs,
        "#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done\necho ----\n",
    )
    .unwrap();
    let file = dir.path().join("script");
    fs::write(&file, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&pcs, executable).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let out = program(Command::new("sh").arg(&file).env("PATH", path), "dash");
    assert!(out.status.success(), "{}", told(&out));
    assert!(out.stderr.is_empty(), "{}", told(&out));
    let text = String::from_utf8(out.stdout).unwrap();
    text.split_terminator("----\n")
        .map(|call| call.lines().map(str::to_owned).collect())
        .collect()
}

#[test]
fn the_script_runs_and_pushes_at_its_end() {
    for (name, config) in cases() {
        let calls = calls(&render(&config, &["pacemaker", "--format", "pcs"]));
        assert_eq!(calls[0][..2], ["cluster", "cib"], "{name}");
        let last = calls.last().unwrap();
        assert_eq!(last[..2], ["cluster", "cib-push"], "{name}");
        assert!(calls.len() > 8, "{name}: {calls:?}");
    }
}

#[test]
fn pcs_gets_each_value_as_one_word() {
    let config = case("ipv6-two-links-device");
    let calls = calls(&render(&config, &["pacemaker", "--format", "pcs"]));
    let has = |word: &str| calls.iter().flatten().any(|w| w == word);
    assert!(has("password=a b&<c>\"d'e\\$f=g|;#`%"));
    assert!(has("directory=/srv/k8s data"));
}
