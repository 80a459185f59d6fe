//! A handler runs while the kernel waits for it: nothing that it runs may change DRBD's state or
//! wait for DRBD's locks. [`two_node_ha_drbd::ReadOnly`] refuses such calls; here is shown that
//! there is no way around it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::machine::{CONFIG, DRBDADM_84, Machine};

/// What handlers run, by name. None changes DRBD, and none runs another program that it is told.
const PROGRAMS: [&str; 10] = [
    "attrd_updater",
    "cibadmin",
    "crm_mon",
    "crmadmin",
    "drbdsetup",
    "lvcreate",
    "lvremove",
    "lvs",
    "stonith_admin",
    "wall",
];

/// The rooms that a handler's code is made of: the program's own and its dependencies of this
/// project, whichever they are.
fn rooms() -> Vec<PathBuf> {
    let hooks = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let crates = hooks.join("../crates");
    let mut rooms = vec![hooks];
    let mut next = 0;
    while let Some(room) = rooms.get(next).cloned() {
        let manifest = fs::read_to_string(room.join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines() {
            let Some(name) = line.strip_prefix("two-node-ha-") else {
                continue;
            };
            let name = name.split(['.', ' ']).next().unwrap();
            let room = crates.join(name);
            if !rooms.contains(&room) {
                rooms.push(room);
            }
        }
        next += 1;
    }
    assert!(rooms.len() > 5, "{rooms:?}");
    rooms
}

/// Every source file of a room but for tests, without its comments and its test module.
fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" {
                found.extend(sources(&path));
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code: String = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| [line, "\n"])
                .collect();
            found.push((path, code));
        }
    }
    found
}

fn code() -> Vec<(PathBuf, String)> {
    rooms()
        .iter()
        .flat_map(|room| sources(&room.join("src")))
        .collect()
}

#[test]
fn no_program_is_run_but_those_that_are_known() {
    let mut run = BTreeSet::new();
    for (path, code) in code() {
        for call in code.split("Call::new(").skip(1) {
            let argument = call.trim_start();
            if let Some(literal) = argument.strip_prefix('"') {
                run.insert(literal.split('"').next().unwrap().to_owned());
            } else {
                // The operator's own alert; and `Call` is the name of the handler's call, too.
                let named = argument.starts_with("program,") || argument.starts_with("request,");
                assert!(named, "{}: {:?}", path.display(), argument.lines().next());
            }
        }
    }
    let known: BTreeSet<_> = PROGRAMS.iter().map(ToString::to_string).collect();
    assert_eq!(run, known);
}

#[test]
fn there_is_no_way_to_a_program_but_the_one_that_refuses() {
    for (path, code) in code() {
        let path = path.display().to_string();
        // The real runner starts processes, for ReadOnly and for the agent.
        if path.contains("crates/command/src/") {
            continue;
        }
        for way in [
            "process::Command",
            "Command::new",
            "CommandExt",
            "posix_spawn",
            "execv",
            "fork(",
            "ioctl",
        ] {
            // Those clone files, set flags of files, and flush block devices.
            let files = ["copies/src/sys.rs", "disk/src/sys.rs"];
            let known = way == "ioctl" && files.iter().any(|file| path.ends_with(file));
            assert!(known || !code.contains(way), "{path}: {way}");
        }
        // Only ReadOnly holds a runner that runs everything. Copies has one for the agent, which
        // the hooks replace.
        let own = path.ends_with("drbd/src/read_only.rs") || path.ends_with("copies/src/lib.rs");
        assert!(own || !code.contains("System::"), "{path}: System");
    }
    let resync =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/handlers/resync.rs"));
    let opened = "Copies::open(config, call.root.dir()).with_runner(runner)";
    assert_eq!(resync.unwrap().matches("Copies::open(").count(), 1);
    let all: String = code().into_iter().map(|(_, code)| code).collect();
    assert!(all.contains(opened));
}

#[test]
fn an_alert_that_is_drbdadm_itself_is_refused_and_said_so() {
    let machine = Machine::new();
    let root = machine.root.path();
    let program = root.join("drbdadm");
    let proof = root.join("it-ran");
    fs::write(&program, format!("#!/bin/sh\n: > '{}'\n", proof.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "{CONFIG}[hooks]\nalert_command = \"{}\"\n",
        program.display()
    );
    fs::write(root.join("etc/two-node-ha.toml"), config).unwrap();
    let output = machine.call(&["split-brain"], &DRBDADM_84);
    assert_eq!(output.status.code(), Some(0));
    assert!(!proof.exists());
    let records = machine.records();
    assert!(
        records
            .iter()
            .any(|record| record["MESSAGE"].contains("was not run: inside a handler")),
        "{records:?}"
    );
}
