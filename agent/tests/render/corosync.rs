//! The real corosync reads what is rendered (`corosync -t`).

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{cases, program, render, told};

/// With a key where the test may put one, and this host for one of the nodes, since corosync looks
/// for itself among them.
fn test(text: &str, dir: &Path) -> Output {
    let key = dir.join("authkey");
    fs::write(&key, [7; 256]).unwrap();
    let file = dir.join("corosync.conf");
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let keyed = format!("    version: 2\n    keyfile: {}\n", key.display());
    let text = text
        .replacen("    version: 2\n", &keyed, 1)
        .replace("name: haone\n", &format!("name: {}\n", hostname.trim_end()))
        .replace("to_stderr: no", "to_stderr: yes");
    fs::write(&file, text).unwrap();
    program(
        Command::new("corosync").arg("-t").arg("-c").arg(&file),
        "corosync",
    )
}

#[test]
fn corosync_reads_every_case() {
    for (name, config) in cases() {
        let dir = tempfile::tempdir().unwrap();
        let out = test(&render(&config, &["corosync"]), dir.path());
        assert!(out.status.success(), "{name}: {}", told(&out));
        assert!(!told(&out).contains("error"), "{name}: {}", told(&out));
    }
}

#[test]
fn corosync_refuses_what_is_wrong_so_that_the_test_is_not_vain() {
    let (_, config) = &cases()[1];
    let text = render(config, &["corosync"]);
    assert!(text.contains("crypto_cipher: aes256"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let out = test(&text.replace("aes256", "aes257"), dir.path());
    assert!(!out.status.success(), "{}", told(&out));
}

/// corosync's parser wants a section's brace last on its line.
#[test]
fn nothing_stands_behind_an_opening_brace() {
    for (_, config) in cases() {
        for line in render(&config, &["corosync"]).lines() {
            assert!(!line.contains('{') || line.ends_with('{'), "{line}");
        }
    }
}
