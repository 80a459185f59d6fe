//! The real binary where systemd (253 on) runs generators: everything read-only but `/run`, an
//! own empty `/tmp`, no root variable, this host known by its name, errors in `/dev/kmsg`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Case, Entry, GENERATOR, Tree, assert_run, make_dirs, read_tree};

/// The outcome of a run in the sandbox.
struct Run {
    output: Output,
    /// What is in `/run/systemd` after it.
    tree: Tree,
    kmsg: String,
}

/// Runs a case on a host of that name; `None`, loudly, where there is no bubblewrap.
fn run(case: &str, hostname: &str) -> Option<Run> {
    let case = Case::named(case);
    case.set_time_of_acceptance();
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    make_dirs(&run);
    let kmsg = place.path().join("kmsg");
    fs::write(&kmsg, "").unwrap();
    let program = "/system-generators/two-node-ha-generator";
    let mut command = Command::new("bwrap");
    for (option, from, to) in [
        ("--ro-bind", "/usr", "/usr"),
        ("--symlink", "usr/lib", "/lib"),
        ("--symlink", "usr/lib64", "/lib64"),
        ("--ro-bind", GENERATOR, program),
        (
            "--ro-bind",
            case.dir.join("in/etc").to_str().unwrap(),
            "/etc",
        ),
        ("--bind", run.to_str().unwrap(), "/run/systemd"),
    ] {
        command.args([option, from, to]);
    }
    let var = case.dir.join("in/var");
    if var.exists() {
        command.args(["--ro-bind", var.to_str().unwrap(), "/var"]);
    }
    command
        .args(["--unshare-uts", "--hostname", hostname])
        .args(["--dev", "/dev", "--bind"])
        .arg(&kmsg)
        .args(["/dev/kmsg", "--proc", "/proc", "--tmpfs", "/tmp"])
        .args(["--remount-ro", "/", "--remount-ro", "/dev", "--", program])
        .args(["normal", "early", "late"].map(|dir| format!("/run/systemd/{dir}")))
        .env_clear()
        .env("PATH", "/usr/bin")
        .envs([
            ("SYSTEMD_SCOPE", "system"),
            ("SYSTEMD_IN_INITRD", "0"),
            ("SYSTEMD_FIRST_BOOT", "0"),
            ("SYSTEMD_VIRTUALIZATION", "vm:kvm"),
            ("SYSTEMD_ARCHITECTURE", "x86-64"),
        ]);
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: bubblewrap is not installed, no sandbox to run the generator in");
            return None;
        }
        other => other.unwrap(),
    };
    Some(Run {
        output,
        tree: read_tree(&run),
        kmsg: fs::read_to_string(kmsg).unwrap(),
    })
}

/// The directory, with the lines that only `TWO_NODE_HA_NODE` causes taken out.
fn normal(tree: &Tree, prefix: &str) -> Vec<(String, Entry)> {
    let mut out = Vec::new();
    for (path, entry) in tree {
        let Some(path) = path.strip_prefix(prefix) else {
            continue;
        };
        let entry = match entry {
            Entry::Dir(_) => continue,
            Entry::File(_, content) => {
                let lines = content.lines().filter(|l| !l.contains("TWO_NODE_HA_NODE"));
                Entry::File(0, lines.map(|line| format!("{line}\n")).collect())
            }
            Entry::Link(target) => Entry::Link(target.clone()),
        };
        out.push((path.to_owned(), entry));
    }
    out
}

#[test]
fn in_systemds_sandbox_the_output_is_the_same_and_nothing_else_is_written() {
    for name in [
        "01-example",
        "02-block-device",
        "06-names-that-need-escaping",
    ] {
        let Some(run) = run(name, "hatwo") else {
            return;
        };
        assert_run(name, &run.output, "");
        assert_eq!(run.kmsg, "");
        let expected = normal(&Case::named(name).expected(), "");
        assert!(!expected.is_empty());
        assert_eq!(normal(&run.tree, "normal/"), expected, "{name}");
        assert!(normal(&run.tree, "early/").is_empty() && normal(&run.tree, "late/").is_empty());
    }
}

#[test]
fn in_systemds_sandbox_errors_go_to_the_kernels_log_one_record_each() {
    let Some(run) = run("33-several-errors-and-a-secret", "haone") else {
        return;
    };
    assert_run("33", &run.output, "");
    assert_eq!(
        run.kmsg.lines().collect::<Vec<_>>(),
        [
            "<3>two-node-ha-generator: /etc/two-node-ha.toml:11:1: unknown key `minor` in [volume]",
            "<3>two-node-ha-generator: /etc/two-node-ha.toml:18:8: there is no node `hathree`",
        ]
    );
    assert!(
        run.tree
            .contains_key("normal/two-node-ha-config-error.service")
    );
    for (path, entry) in &run.tree {
        if let Entry::File(_, content) = entry {
            assert!(
                !content.contains("correct horse"),
                "{path} tells the password"
            );
        }
    }
}

#[test]
fn in_systemds_sandbox_the_accepted_configuration_is_read() {
    let name = "50-broken-with-an-accepted";
    let Some(run) = run(name, "haone") else {
        return;
    };
    assert_run(name, &run.output, "");
    assert_eq!(run.kmsg.lines().count(), 2, "{}", run.kmsg);
    assert_eq!(
        normal(&run.tree, "normal/"),
        normal(&Case::named(name).expected(), "")
    );
}

#[test]
fn a_host_that_is_neither_node_is_a_configuration_error() {
    let Some(run) = run("01-example", "stranger") else {
        return;
    };
    assert_run("01-example", &run.output, "");
    assert!(run.kmsg.contains("stranger"), "{}", run.kmsg);
    let Some(Entry::File(_, unit)) = run.tree.get("normal/two-node-ha-config-error.service") else {
        panic!("{:?}", run.tree.keys());
    };
    assert!(unit.contains("stranger"), "{unit}");
    let agent = "normal/multi-user.target.wants/two-node-ha-k8s.service";
    assert!(!run.tree.contains_key(agent));
}

/// Runs the example on a file system of so many pages; answers with what was said, and with the
/// files that are there after it.
fn run_with_room_for(pages: usize) -> Option<(String, Vec<String>)> {
    let case = Case::named("01-example");
    let script = "\"$0\" /run/systemd/normal; echo \"exit $?\"; cd /run/systemd/normal && find .";
    let output = Command::new("bwrap")
        .args(["--ro-bind", "/", "/", "--size", &(pages * 4096).to_string()])
        .args([
            "--tmpfs",
            "/run",
            "--dir",
            "/run/systemd/normal",
            "--tmpfs",
            "/tmp",
        ])
        .args(["--ro-bind", GENERATOR, "/tmp/generator", "--ro-bind"])
        .arg(case.dir.join("in"))
        .args(["/tmp/in", "--", "/bin/sh", "-c", script, "/tmp/generator"])
        .env("TWO_NODE_HA_NODE", "haone")
        .env("TWO_NODE_HA_ROOT", "/tmp/in")
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: bubblewrap is not installed, no small file system to be had");
            return None;
        }
        other => other.unwrap(),
    };
    let said = String::from_utf8(output.stderr).unwrap();
    let mut lines: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let exit = lines.remove(0);
    Some((said + &exit, lines))
}

#[test]
fn without_room_nothing_half_written_is_left_and_the_gates_come_first() {
    let files = Case::named("01-example")
        .expected()
        .values()
        .filter(|entry| matches!(entry, Entry::File(..)))
        .count();
    let gates = 8;
    assert!(files > gates);
    for pages in 1..=files + 1 {
        let Some((said, left)) = run_with_room_for(pages) else {
            return;
        };
        let whole = |name: &str| left.iter().filter(|path| path.contains(name)).count();
        assert!(whole(".two-node-ha-generator") == 0, "{pages}: {left:?}");
        let (expected_gates, everything) = match pages {
            _ if pages < gates => (0, false),
            _ if pages < files => (gates, false),
            _ => (gates, true),
        };
        assert_eq!(said.ends_with("exit 0"), everything, "{pages}: {said}");
        assert_eq!(
            said.contains("No space left"),
            !everything,
            "{pages}: {said}"
        );
        let conf = |path: &&String| path.ends_with(".conf");
        let all = left.iter().filter(conf).count();
        let snap = left
            .iter()
            .filter(conf)
            .filter(|path| path.contains("/snap."))
            .count();
        assert_eq!(snap, expected_gates, "{pages}: {left:?}");
        assert_eq!(
            all,
            if everything { files } else { expected_gates },
            "{pages}: {left:?}"
        );
        assert_eq!(whole("drbd.service") > 0, everything, "{pages}: {left:?}");
    }
}

#[test]
fn no_other_process_is_started_and_no_socket_opened() {
    let case = Case::named("01-example");
    let out = tempfile::tempdir().unwrap();
    let trace = out.path().join("trace");
    let mut command = Command::new("/usr/bin/strace");
    command
        .args(["-f", "-qq", "-e", "trace=%process,%network", "-o"])
        .arg(&trace)
        .arg(GENERATOR);
    case.prepare(&mut command, out.path());
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: strace is not installed, children cannot be counted");
            return;
        }
        other => assert!(other.unwrap().status.success()),
    }
    let calls: Vec<String> = fs::read_to_string(&trace)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned()))
        .collect();
    let count = |name: &str| calls.iter().filter(|c| c.starts_with(name)).count();
    assert_eq!(count("execve("), 1, "{calls:?}");
    assert_eq!(count("exit_group(0)"), 1, "{calls:?}");
    for forbidden in ["clone", "fork", "vfork", "socket", "connect"] {
        assert_eq!(count(forbidden), 0, "{calls:?}");
    }
    assert!(Path::new(&out.path().join("normal/pacemaker.service.d")).is_dir());
}
