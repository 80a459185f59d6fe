//! The real program, called as the kernel, drbdadm and udev call it, with a journal of the test's
//! own.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::machine::{CONFIG, DRBDADM_84, HOOK, Machine};

const ALL: [&str; 14] = [
    "before-resync-target",
    "before-resync-source",
    "after-resync-target",
    "split-brain",
    "initial-split-brain",
    "fence-peer",
    "unfence-peer",
    "local-io-error",
    "pri-lost",
    "pri-lost-after-sb",
    "pri-on-incon-degr",
    "out-of-sync",
    "quorum-lost",
    "disconnected",
];

#[test]
fn every_handler_answers_its_neutral_code_and_leaves_one_event_and_one_record() {
    for name in ALL {
        let machine = Machine::configured(CONFIG);
        let output = machine.call(&[name], &DRBDADM_84);
        let code = if name == "fence-peer" { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{name}");
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{name}: {output:?}"
        );

        let [event] = &machine.events()[..] else {
            panic!("{name}: not one event")
        };
        assert_eq!(event.handler.as_str(), name);
        assert_eq!(event.resource.as_deref(), Some("r0"));
        assert_eq!(event.peer.as_deref(), Some("beta"));
        assert_eq!(
            (&event.minors[..], &event.volumes[..]),
            (&[0][..], &[0][..])
        );
        assert_eq!(event.exit_code, code);
        assert!(!event.reason.is_empty());
        assert_eq!(event.env["DRBD_LL_DISK"], "/dev/lodrbd");

        let [record] = &machine.records()[..] else {
            panic!("{name}: not one record")
        };
        assert!(record["MESSAGE"].starts_with(&format!("{name} of r0 (peer beta): ")));
        assert_eq!(record["SYSLOG_IDENTIFIER"], "two-node-ha-hook");
        assert_eq!(record["TWO_NODE_HA_HANDLER"], name);
        assert_eq!(record["TWO_NODE_HA_EXIT_CODE"], code.to_string());
        assert_eq!(record["TWO_NODE_HA_DECISION"], event.decision.as_str());
        assert_eq!(record["MESSAGE_ID"].len(), 32);
        assert!(!record.contains_key("TWO_NODE_HA_CONFIG"), "{record:?}");
    }
}

#[test]
fn as_usermode_helper_a_minor_finds_its_resource_in_the_configuration() {
    let machine = Machine::configured(CONFIG);
    let env = [
        ("HOME", "/"),
        ("TERM", "linux"),
        ("PATH", "/sbin:/usr/sbin:/bin:/usr/bin"),
        ("DRBD_PEER_AF", "ipv6"),
        (
            "DRBD_PEER_ADDRESS",
            "fd00:0000:0000:0000:0000:0000:0000:0002",
        ),
    ];
    let output = machine.call(&["before-resync-target", "minor-0"], &env);
    assert_eq!(output.status.code(), Some(0));
    let [event] = &machine.events()[..] else {
        panic!("not one event")
    };
    assert_eq!(event.resource.as_deref(), Some("r0"));
    assert_eq!(event.minors, [0]);
    assert_eq!(event.peer.as_deref(), Some("fd00::2"));
    // There is no such backing file.
    assert_eq!(event.decision.as_str(), "no-copy");

    machine.call(&["split-brain", "minor-0"], &env);
    assert_eq!(machine.events()[1].resource.as_deref(), Some("r0"));
}

#[test]
fn it_answers_without_any_open_file_descriptor_as_the_kernel_calls_it() {
    let machine = Machine::configured(CONFIG);
    let script = format!("exec {HOOK} fence-peer r0 <&- >&- 2>&-");
    let status = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("TWO_NODE_HA_ROOT", machine.root.path())
        .env("DRBD_PEER_ADDRESS", "10.0.0.2")
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(machine.events().len(), 1);
    assert_eq!(machine.records().len(), 1);
}

#[test]
fn the_name_that_it_is_called_by_is_the_handler() {
    let machine = Machine::configured(CONFIG);
    let status = machine
        .command(&[], &DRBDADM_84)
        .arg0("/usr/lib/drbd/fence-peer")
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
    let link = machine.root.path().join("out-of-sync");
    std::os::unix::fs::symlink(HOOK, &link).unwrap();
    let status = Command::new(&link)
        .env_clear()
        .env("TWO_NODE_HA_ROOT", machine.root.path())
        .envs(DRBDADM_84)
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
    let handlers: Vec<_> = machine
        .events()
        .into_iter()
        .map(|event| event.handler.to_string())
        .collect();
    assert_eq!(handlers, ["fence-peer", "out-of-sync"]);
}

#[test]
fn split_brain_is_critical_and_runs_the_alert_with_the_resource() {
    let machine = Machine::new();
    let told = machine.root.path().join("told");
    let script = format!(
        "echo \"$# $1 $DRBD_PEER $TWO_NODE_HA_HANDLER\" > {0}\ncat \
                          \"$TWO_NODE_HA_EVENT\" >> {0}",
        told.display()
    );
    let config = machine.alert(&script);
    fs::write(machine.root.path().join("etc/two-node-ha.toml"), config).unwrap();
    let output = machine.call(&["split-brain"], &DRBDADM_84);
    assert_eq!(output.status.code(), Some(0));
    let told = fs::read_to_string(told).unwrap();
    assert!(
        told.starts_with("1 r0 beta split-brain\n{\"format\":1,"),
        "{told}"
    );
    let [record] = &machine.records()[..] else {
        panic!("not one record")
    };
    assert_eq!(record["PRIORITY"], "2");
    assert!(
        record["MESSAGE"].contains("two-node-ha split-brain show"),
        "{}",
        record["MESSAGE"]
    );
}

#[test]
fn an_alert_that_fails_is_recorded_and_changes_nothing() {
    let machine = Machine::new();
    let config = machine.alert("echo no paper >&2; exit 3");
    fs::write(machine.root.path().join("etc/two-node-ha.toml"), config).unwrap();
    let output = machine.call(&["split-brain"], &DRBDADM_84);
    assert_eq!(output.status.code(), Some(0));
    let records = machine.records();
    assert_eq!(records.len(), 2);
    assert!(
        records[1]["MESSAGE"].contains("exit code 3: no paper"),
        "{:?}",
        records[1]
    );
    assert_eq!(machine.events().len(), 1);
}

#[test]
fn an_invalid_configuration_is_named_and_the_handler_answers_all_the_same() {
    for (text, part) in [
        ("[volume]\nbakcing_file = 1\n", "two-node-ha check"),
        ("\u{7f}", ""),
    ] {
        let machine = Machine::configured(text);
        let output = machine.call(&["fence-peer", "r0"], &DRBDADM_84);
        assert_eq!(output.status.code(), Some(1));
        let [record] = &machine.records()[..] else {
            panic!("not one record")
        };
        assert!(
            record["TWO_NODE_HA_CONFIG"].contains("is invalid"),
            "{record:?}"
        );
        assert!(record["TWO_NODE_HA_CONFIG"].contains(part), "{record:?}");
        assert_eq!(machine.events().len(), 1);
    }
    let machine = Machine::new();
    assert_eq!(
        machine.call(&["pri-lost"], &DRBDADM_84).status.code(),
        Some(0)
    );
    assert!(machine.records()[0]["TWO_NODE_HA_CONFIG"].contains("is not there"));
}

#[test]
fn a_fifo_in_the_place_of_the_configuration_does_not_hold_up_the_answer() {
    let machine = Machine::new();
    let path = machine.root.path().join("etc/two-node-ha.toml");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let output = machine.call(&["fence-peer", "r0"], &DRBDADM_84);
    assert_eq!(output.status.code(), Some(1));
    let record = &machine.records()[0];
    assert!(record["TWO_NODE_HA_CONFIG"].contains("not a regular file"));
    assert_ne!(record["TWO_NODE_HA_DECISION"], "deadline");
}

#[test]
fn while_the_configuration_is_broken_or_gone_the_accepted_one_holds_and_the_record_says_so() {
    let accepted = CONFIG.replace("[volume]", "[volume]\nresource = \"accepted\"");
    let others = CONFIG.replace("alpha", "gamma");
    for text in [
        Some("nonsense\npassword = \"correct horse\"\n"),
        Some(others.as_str()),
        None,
    ] {
        let machine = Machine::new();
        let at = |path: &str| machine.root.path().join(path);
        fs::create_dir_all(at("proc/sys/kernel")).unwrap();
        fs::write(at("proc/sys/kernel/hostname"), "alpha\n").unwrap();
        if let Some(text) = text {
            fs::write(at("etc/two-node-ha.toml"), text).unwrap();
        }
        fs::create_dir(at("var/lib/two-node-ha")).unwrap();
        fs::write(at("var/lib/two-node-ha/accepted.toml"), &accepted).unwrap();
        // The minor alone: only the configuration tells whose it is.
        let output = machine.call(&["pri-lost"], &[("DRBD_MINOR", "0")]);
        assert_eq!(output.status.code(), Some(0));
        let [record] = &machine.records()[..] else {
            panic!("not one record")
        };
        assert_eq!(record["TWO_NODE_HA_RESOURCE"], "accepted", "{record:?}");
        let said = &record["TWO_NODE_HA_CONFIG"];
        assert!(said.contains("was accepted on"), "{said}");
        assert!(!format!("{record:?}").contains("correct horse"));

        fs::write(at("etc/two-node-ha.toml"), CONFIG).unwrap();
        machine.call(&["pri-lost"], &[("DRBD_MINOR", "0")]);
        let record = &machine.records()[0];
        assert_eq!(record["TWO_NODE_HA_RESOURCE"], "r0");
        assert!(!record.contains_key("TWO_NODE_HA_CONFIG"), "{record:?}");
    }
}

#[test]
fn a_damaged_accepted_configuration_is_none_and_the_handler_answers_all_the_same() {
    let machine = Machine::configured("nonsense");
    let state = machine.root.path().join("var/lib/two-node-ha");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("accepted.toml"), &CONFIG[..CONFIG.len() / 2]).unwrap();
    let output = machine.call(&["fence-peer", "r0"], &DRBDADM_84);
    assert_eq!(output.status.code(), Some(1));
    let record = &machine.records()[0];
    assert!(record["TWO_NODE_HA_CONFIG"].contains("accepted.toml is invalid"));
}

#[test]
fn without_a_journal_the_kernels_log_takes_the_message() {
    let machine = Machine::configured(CONFIG);
    fs::remove_file(machine.root.path().join("run/systemd/journal/socket")).unwrap();
    let log = machine.root.path().join("dev/kmsg");
    fs::write(&log, "").unwrap();
    assert_eq!(
        machine.call(&["fence-peer"], &DRBDADM_84).status.code(),
        Some(1)
    );
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.starts_with("<3>two-node-ha-hook: fence-peer of r0 (peer beta): "),
        "{text}"
    );
    // Nor without that.
    fs::remove_file(&log).unwrap();
    assert_eq!(
        machine.call(&["fence-peer"], &DRBDADM_84).status.code(),
        Some(1)
    );
    assert_eq!(machine.events().len(), 2);
}

#[test]
fn an_event_that_cannot_be_kept_is_in_the_journal_and_the_answer_stands() {
    let machine = Machine::configured(CONFIG);
    fs::write(machine.root.path().join("var/lib/two-node-ha"), "a file").unwrap();
    assert_eq!(
        machine.call(&["fence-peer"], &DRBDADM_84).status.code(),
        Some(1)
    );
    let records = machine.records();
    assert_eq!(records.len(), 2);
    assert!(records[1]["MESSAGE"].contains("the agent will not hear of fence-peer of r0"));
}

#[test]
fn a_handler_that_hangs_is_answered_for_at_its_deadline() {
    for (handler, code) in [("fence-peer", 1), ("before-resync-target", 0)] {
        let machine = Machine::new();
        let mut child = machine
            .command(&[handler], &DRBDADM_84)
            .env("TWO_NODE_HA_HOOK_HANG", "1")
            .env("TWO_NODE_HA_HOOK_DEADLINE_MS", "300")
            .spawn()
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{handler}");
        let [event] = &machine.events()[..] else {
            panic!("{handler}: not one event")
        };
        assert_eq!(event.decision.as_str(), "deadline");
        assert_eq!(event.exit_code, code);
        let [record] = &machine.records()[..] else {
            panic!("{handler}: not one record")
        };
        assert_eq!(record["TWO_NODE_HA_DECISION"], "deadline");
    }
}

#[test]
fn a_bug_is_answered_with_the_safe_code_and_not_with_a_signal() {
    for (handler, code) in [("fence-peer", 1), ("split-brain", 0)] {
        let machine = Machine::configured(CONFIG);
        let output = machine
            .command(&[handler], &DRBDADM_84)
            .env("TWO_NODE_HA_HOOK_PANIC", "1")
            .output();
        assert_eq!(output.unwrap().status.code(), Some(code), "{handler}");
        let [event] = &machine.events()[..] else {
            panic!("{handler}: not one event")
        };
        assert_eq!((event.decision.as_str(), event.exit_code), ("bug", code));
        assert!(machine.records()[0]["MESSAGE"].contains("please report it"));
    }
}

#[test]
fn an_alert_that_hangs_does_not_hold_up_the_answer_beyond_the_deadline() {
    let machine = Machine::new();
    let pid = machine.root.path().join("pid");
    let config = machine.alert(&format!("echo $$ > {}; exec sleep 1000", pid.display()));
    fs::write(machine.root.path().join("etc/two-node-ha.toml"), config).unwrap();
    let output = machine.call(&["split-brain"], &DRBDADM_84);
    assert_eq!(output.status.code(), Some(0));
    let records = machine.records();
    assert!(records[1]["MESSAGE"].contains("was killed"), "{records:?}");
    let pid = fs::read_to_string(pid).unwrap();
    let alive = fs::read_to_string(format!("/proc/{}/comm", pid.trim()));
    assert!(
        alive.map_or(true, |comm| comm.trim() != "sleep"),
        "the alert survived"
    );
}

#[test]
fn a_handler_of_a_later_drbd_is_answered_zero_and_a_typing_mistake_is_refused() {
    let machine = Machine::configured(CONFIG);
    let output = machine.call(&["before-lunch", "r0"], &DRBDADM_84);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(machine.events()[0].handler.as_str(), "before-lunch");
    for args in [&["fence-pear"][..], &[], &["--frobnicate"]] {
        let output = machine.call(args, &[]);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("usage: two-node-ha-hook")
        );
    }
    assert_eq!(machine.events().len(), 1);
}

#[test]
fn help_and_version_are_answered_without_a_trace() {
    let machine = Machine::new();
    let output = machine.call(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(ALL.iter().all(|name| text.contains(name)), "{text}");
    let output = machine.call(&["--version"], &[]);
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with("two-node-ha-hook ")
    );
    assert!(machine.events().is_empty() && machine.records().is_empty());
}

#[test]
fn a_uevent_is_a_quiet_event_with_its_minor() {
    let machine = Machine::configured(CONFIG);
    let env = [
        ("ACTION", "change"),
        ("DEVNAME", "/dev/drbd0"),
        ("MAJOR", "147"),
        ("MINOR", "0"),
        ("DISK_RO", "0"),
        ("ID_FS_UUID", "d3919ab8"),
    ];
    assert_eq!(machine.call(&["udev"], &env).status.code(), Some(0));
    let [event] = &machine.events()[..] else {
        panic!("not one event")
    };
    assert_eq!(
        (event.handler.as_str(), &event.minors[..]),
        ("udev", &[0][..])
    );
    assert_eq!(event.resource.as_deref(), Some("r0"));
    assert!(!event.env.contains_key("ID_FS_UUID"));
    assert_eq!(machine.records()[0]["PRIORITY"], "7");
}

#[test]
fn event_files_are_private() {
    let machine = Machine::configured(CONFIG);
    machine.call(&["pri-lost"], &DRBDADM_84);
    let dir = machine.root.path().join("var/lib/two-node-ha/events");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(dir.parent().unwrap()), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600);
        let mut first = [0; 1];
        fs::File::open(&path)
            .unwrap()
            .read_exact_at(&mut first, 0)
            .unwrap();
        assert_eq!(&first, b"{");
    }
}
