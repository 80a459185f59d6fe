//! Which configuration is gone on with.

#![allow(clippy::unwrap_used)] // A test that panics has failed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use two_node_ha_config::{Broken, Content, Found, Host, choose, read};

const GOOD: &str = r#"
[[node]]
name = "haone"
address = "10.0.0.1"

[[node]]
name = "hatwo"
address = "10.0.0.2"

[volume]
backing_file = "/opt/drbd0-backstore"

[[fencing.device]]
node = "haone"
agent = "fence_ipmilan"
params = { ip = "10.1.0.1", password = "correct horse" }

[[fencing.device]]
node = "hatwo"
agent = "fence_ipmilan"
params = { ip = "10.1.0.2", password = "correct horse" }
"#;

const HERE: Host<'_> = Host::Hostname("haone");

fn found(name: &str, text: &str) -> Found {
    Found {
        name: name.to_owned(),
        content: Content::Read {
            bytes: text.as_bytes().to_vec(),
            modified: Some(UNIX_EPOCH + Duration::from_secs(1_795_552_215)),
        },
    }
}

fn etc(text: &str) -> Found {
    found("/etc/two-node-ha.toml", text)
}

fn accepted(text: &str) -> Found {
    found("/var/lib/two-node-ha/accepted.toml", text)
}

fn missing(name: &str) -> Found {
    Found {
        name: name.to_owned(),
        content: Content::Missing,
    }
}

#[test]
fn a_valid_file_is_taken_and_the_accepted_one_not_even_read() {
    let chosen = choose(&etc(GOOD), || panic!("it was read"), HERE).unwrap();
    assert_eq!(chosen.config.this_node().unwrap().name, "haone");
    assert_eq!(chosen.bytes, GOOD.as_bytes());
    assert_eq!(chosen.fallback, None);
}

#[test]
fn with_a_line_of_nonsense_in_the_file_the_voter_goes_on_with_the_accepted_one_and_says_so() {
    let broken = GOOD.replace("[volume]", "[volume]\nthis is nonsense");
    let chosen = choose(&etc(&broken), || accepted(GOOD), HERE).unwrap();
    assert_eq!(chosen.bytes, GOOD.as_bytes());
    let fallback = chosen.fallback.unwrap();
    assert!(matches!(fallback.broken, Broken::Invalid(_)));
    let warning = fallback.warning();
    for part in [
        "/etc/two-node-ha.toml is invalid: line 11: ",
        "accepted on 2026-11-24 20:30:15 UTC",
        "two-node-ha check",
        "systemctl restart two-node-ha-k8s",
    ] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    assert!(!warning.contains('\n'));
    assert_eq!(fallback.difference, ["+  11 | … (no key, not shown)"]);
}

#[test]
fn whatever_is_wrong_with_the_file_the_accepted_one_is_gone_on_with() {
    let unreadable = Found {
        name: "/etc/two-node-ha.toml".into(),
        content: Content::Unreadable("Input/output error".into()),
    };
    let not_text = Found {
        name: "/etc/two-node-ha.toml".into(),
        content: Content::Read {
            bytes: vec![0xff, 0xfe],
            modified: None,
        },
    };
    let other_host = GOOD.replace("haone", "elsewhere");
    for present in [
        missing("/etc/two-node-ha.toml"),
        unreadable,
        not_text,
        etc(""),
        etc(&other_host),
        etc(&GOOD.replace("address = \"10.0.0.2\"", "")),
    ] {
        let chosen = choose(&present, || accepted(GOOD), HERE).unwrap();
        assert_eq!(chosen.bytes, GOOD.as_bytes(), "{present:?}");
        let warning = chosen.fallback.unwrap().warning();
        assert!(warning.contains("/etc/two-node-ha.toml"), "{warning}");
        assert!(!warning.contains("correct horse"), "{warning}");
    }
}

#[test]
fn a_damaged_accepted_file_and_one_of_another_host_are_as_good_as_none() {
    let broken = etc("nonsense");
    let none = choose(&broken, || missing("a"), HERE).unwrap_err();
    assert_eq!(none.accepted, None);
    for (text, part) in [
        (&GOOD[..GOOD.len() / 2], "is invalid"),
        ("", "is invalid"),
        (&GOOD.replace("haone", "elsewhere"), "this host is called"),
    ] {
        let neither = choose(&broken, || accepted(text), HERE).unwrap_err();
        assert_eq!(neither.broken, none.broken);
        let why = neither.accepted.as_ref().unwrap();
        assert!(why.contains(part), "{why}");
        let text = neither.to_string();
        assert!(
            text.contains("not TOML") && text.contains("accepted.toml"),
            "{text}"
        );
    }
}

#[test]
fn neither_the_difference_nor_the_warning_tells_a_password() {
    let changed = GOOD.replace("correct horse", "battery staple");
    for broken in [
        changed.replace("[volume]", "[volume]\nnonsense"),
        GOOD.replace(
            "params = { ip = \"10.1.0.1\", password = \"correct horse\" }",
            "[fencing.device.params]\npassword = correct horse",
        ),
        String::new(),
    ] {
        let chosen = choose(&etc(&broken), || accepted(GOOD), HERE).unwrap();
        let fallback = chosen.fallback.unwrap();
        assert!(!fallback.difference.is_empty());
        let said = format!("{}\n{}", fallback.warning(), fallback.difference());
        for secret in ["correct horse", "horse", "battery", "staple"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[test]
fn a_file_is_read_a_missing_one_told_from_a_link_to_nowhere_and_nothing_else_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let look = |path: &Path| read(path, "x.toml").content;
    fs::write(at("file"), "text").unwrap();
    let Content::Read { bytes, modified } = look(&at("file")) else {
        panic!()
    };
    assert_eq!(bytes, b"text");
    assert!(modified.is_some());
    assert_eq!(look(&at("none")), Content::Missing);
    symlink("/nowhere/at/all", at("link")).unwrap();
    // A FIFO hangs whoever opens it, and the zeroes never end.
    mkfifo(&at("fifo"));
    symlink("/dev/zero", at("zero")).unwrap();
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("large"), vec![b'#'; (1 << 20) + 1]).unwrap();
    for (name, part) in [
        ("link", "it is a link"),
        ("fifo", "not a regular file"),
        ("zero", "not a regular file"),
        ("dir", "directory"),
        ("large", "larger than 1024 KiB"),
    ] {
        match look(&at(name)) {
            Content::Unreadable(why) => assert!(why.contains(part), "{name}: {why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn mkfifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}
