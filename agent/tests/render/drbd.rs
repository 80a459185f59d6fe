//! The real drbdadm reads what is rendered. Its program for 8.4 kernels is a file of its own; which
//! grammar `drbdadm` itself speaks follows from the kernel.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::{case, cases, program, render, told, two_node_ha};

const DRBDADM_84: &str = "/lib/drbd/drbdadm-84";

/// `drbdadm dump` of a resource file.
fn dump(drbdadm: &str, text: &str) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.res");
    fs::write(&file, text).unwrap();
    let out = program(
        Command::new(drbdadm).arg("-c").arg(&file).arg("dump"),
        "drbd-utils",
    );
    if out.status.success() {
        Ok(String::from_utf8(out.stdout).unwrap())
    } else {
        Err(told(&out))
    }
}

/// Whether `drbdadm` hands over to its 8.4 form here.
fn kernel_has_84() -> bool {
    let out = program(Command::new("drbdadm").arg("--version"), "drbd-utils");
    String::from_utf8_lossy(&out.stdout).contains("DRBD_KERNEL_VERSION_CODE=0x0804")
}

#[test]
fn drbdadm_for_8_4_reads_every_case() {
    for (name, config) in cases() {
        let text = render(&config, &["drbd", "--drbd", "8.4"]);
        let dump = dump(DRBDADM_84, &text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(dump.contains("meta-disk        internal;"), "{dump}");
    }
}

#[test]
fn drbdadm_for_9_reads_every_case() {
    if kernel_has_84() {
        eprintln!("not tried: under this kernel drbdadm reads the grammar of 8.4 only");
        return;
    }
    for (name, config) in cases() {
        let text = render(&config, &["drbd", "--drbd", "9"]);
        let dump = dump("drbdadm", &text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(dump.contains("node-id"), "{dump}");
    }
}

#[test]
fn the_generations_do_differ_so_that_neither_test_is_vain() {
    let nine = render(&case("example"), &["drbd", "--drbd", "9"]);
    assert!(dump(DRBDADM_84, &nine).is_err());
}

#[test]
fn drbdadm_understands_quoted_and_ipv6_values_as_they_were_meant() {
    let text = render(&case("ipv6-two-links-device"), &["drbd", "--drbd", "8.4"]);
    let dump = dump(DRBDADM_84, &text).unwrap();
    for line in [
        "disk             \"/dev/disk/by-partlabel/a;b {c}\";",
        "address          ipv6 [fd00:1::2]:7799;",
        "device           /dev/drbd7 minor 7;",
        "fencing          resource-and-stonith;",
        "c-max-rate       102400k;",
        "on hatwo.example.com {",
    ] {
        assert!(dump.contains(line), "no `{line}` in\n{dump}");
    }
}

/// The constraint case with a secret file.
fn with_secret(dir: &Path, secret: &str, mode: u32) -> std::path::PathBuf {
    let file = dir.join("secret");
    fs::write(&file, secret).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let mut text = fs::read_to_string(case("constraint")).unwrap();
    text += &format!("[drbd]\nshared_secret_file = \"{}\"\n", file.display());
    let config = dir.join("x.toml");
    fs::write(&config, text).unwrap();
    config
}

#[test]
fn the_shared_secret_is_read_from_its_file_and_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_secret(dir.path(), "s3cr3t; with } {\nsecond line\n", 0o600);
    for generation in ["8.4", "9"] {
        let text = render(&config, &["drbd", "--drbd", generation]);
        assert!(text.contains("# mode 0600"));
        assert!(!text.contains("second line"));
    }
    let dump = dump(DRBDADM_84, &render(&config, &["drbd", "--drbd", "8.4"])).unwrap();
    assert!(
        dump.contains("shared-secret    \"s3cr3t; with } {\";"),
        "{dump}"
    );
    assert!(dump.contains("cram-hmac-alg    sha256;"), "{dump}");
}

#[test]
fn a_secret_that_others_can_read_or_drbd_cannot_quote_is_refused() {
    let refused = |secret: &str, mode| {
        let dir = tempfile::tempdir().unwrap();
        let config = with_secret(dir.path(), secret, mode);
        let out = two_node_ha(&["render", "drbd", "--config", config.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(1), "{}", told(&out));
        assert!(out.stdout.is_empty());
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(refused("abc", 0o640).contains("chmod 0600"));
    assert!(refused("", 0o600).contains("1 to 63"));
    assert!(refused(&"x".repeat(64), 0o600).contains("1 to 63"));
    assert!(refused("a\"b", 0o600).contains("cannot quote"));
}
