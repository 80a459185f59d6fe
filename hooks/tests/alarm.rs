//! What a split brain and a loss leave and set in motion, by the real program below a root of its
//! own: its programs are the test's, and its `/proc/sysrq-trigger` is a file.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use two_node_ha_events::{Event, take_all};
use two_node_ha_evidence::{Evidence, Noted};
use two_node_ha_planner::Step;
use two_node_ha_planner::record::Journal;
use two_node_ha_sample::UNFENCED;

const EVENTS2: &str = "\
exists resource name:r0 role:Primary suspended:no
exists connection name:r0 peer-node-id:0 conn-name:peer connection:StandAlone role:Unknown
exists device name:r0 volume:0 minor:0 disk:UpToDate
exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off peer-disk:DUnknown resync-suspended:no
exists -
";

struct Machine(TempDir);

impl Machine {
    fn new(hooks: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for (path, content) in [
            (
                "etc/two-node-ha.toml",
                format!("{UNFENCED}[hooks]\n{hooks}"),
            ),
            ("sys/module/drbd/version", "8.4.11\n".into()),
            ("proc/drbd", " 0: cs:StandAlone ro:Primary/Unknown\n".into()),
            ("proc/sys/kernel/hostname", "alpha\n".into()),
            ("proc/sysrq-trigger", String::new()),
            ("dev/kmsg", String::new()),
            (
                "var/lib/two-node-ha/journal.json",
                serde_json::to_string(&journal()).unwrap(),
            ),
        ] {
            let path = machine.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("usr/bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Each program notes its arguments in `said/NAME`.
    fn listening(&self, name: &str) {
        fs::create_dir_all(self.path("said")).unwrap();
        let to = self.path("said").join(name);
        self.program(name, &format!("echo \"$@\" > {}", to.display()));
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.path("said").join(name)).unwrap_or_default()
    }

    fn call(&self, handler: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_two-node-ha-hook"))
            .args([handler, "minor-0"])
            .env_clear()
            .env("TWO_NODE_HA_ROOT", self.0.path())
            .envs([("DRBD_RESOURCE", "r0"), ("DRBD_PEER", "beta")])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn event(&self) -> Event {
        let mut taken = take_all(&self.path("var/lib/two-node-ha/events")).unwrap();
        assert_eq!(taken.events.len(), 1);
        taken.events.remove(0).event
    }

    fn evidence(&self) -> Vec<Evidence> {
        let dir = self.path("var/lib/two-node-ha/evidence");
        let list = two_node_ha_evidence::list(&dir).unwrap();
        list.iter()
            .map(|path| two_node_ha_evidence::read(path).unwrap())
            .collect()
    }

    fn trigger(&self) -> String {
        fs::read_to_string(self.path("proc/sysrq-trigger")).unwrap()
    }
}

fn journal() -> Journal {
    let mut journal = Journal::new("alpha");
    journal.highest_epoch = 6;
    journal.note(Some(&Step::StartServices));
    journal
}

#[test]
fn a_journal_of_a_newer_version_is_evidence_as_it_is_and_is_named_as_a_problem() {
    let machine = Machine::new("");
    let newer = r#"{"format": 99, "nodes": ["alpha"]}"#;
    fs::write(machine.path("var/lib/two-node-ha/journal.json"), newer).unwrap();
    assert_eq!(machine.call("split-brain").status.code(), Some(0));
    let evidence = machine.evidence().pop().unwrap();
    let as_it_is = serde_json::from_str(newer).unwrap();
    assert_eq!(evidence.journal, Some(Noted::Unknown(as_it_is)));
    let problems = evidence.problems.join("\n");
    assert!(
        problems.contains("journal.json: has format 99, and this version knows 2: upgrade"),
        "{problems}"
    );
}

#[test]
fn a_split_brain_leaves_evidence_of_what_was_passed_of_drbd_and_of_the_epoch() {
    let machine = Machine::new("");
    machine.program("drbdsetup", &format!("cat <<'END'\n{EVENTS2}END"));
    for handler in ["initial-split-brain", "split-brain"] {
        assert_eq!(machine.call(handler).status.code(), Some(0));
    }
    let all = machine.evidence();
    assert_eq!(all.len(), 2);
    let last = &all[1];
    assert_eq!(last.handler.as_str(), "split-brain");
    assert_eq!(
        (last.host.as_str(), last.resource.as_deref()),
        ("alpha", Some("r0"))
    );
    assert_eq!(last.peer.as_deref(), Some("beta"));
    assert_eq!(last.env["DRBD_PEER"], "beta");
    let drbd = last.drbd.as_ref().unwrap();
    assert!(drbd.resource("r0").unwrap().is_primary_uptodate());
    assert!(last.proc_drbd.as_ref().unwrap().contains("cs:StandAlone"));
    assert_eq!(last.journal.as_ref().unwrap(), &Noted::Known(journal()));
    assert_eq!(last.problems, Vec::<String>::new());
}

#[test]
fn a_split_brain_is_told_to_the_terminals_the_operator_s_command_and_pacemaker() {
    let machine = Machine::new("alert_attribute = \"alarm\"\n");
    for name in ["wall", "attrd_updater"] {
        machine.listening(name);
    }
    machine.call("split-brain");
    assert!(machine.said("wall").contains("SPLIT BRAIN of DRBD r0"));
    assert!(
        machine
            .said("wall")
            .contains("two-node-ha split-brain show")
    );
    assert_eq!(
        machine.said("attrd_updater").trim_end(),
        "--name alarm --update split-brain"
    );
}

#[test]
fn a_drbd_a_terminal_and_a_pacemaker_that_hang_do_not_keep_the_evidence_nor_the_answer() {
    let machine = Machine::new("alert_attribute = \"alarm\"\n");
    for name in ["drbdsetup", "wall", "attrd_updater"] {
        machine.program(name, "sleep 60");
    }
    let started = Instant::now();
    assert_eq!(machine.call("split-brain").status.code(), Some(0));
    let took = started.elapsed();
    // 2 s for DRBD, 3 s for the others together; a busy machine takes its own.
    assert!(took < Duration::from_secs(13), "{took:?}");
    assert_eq!(machine.event().handler.as_str(), "split-brain");
    let evidence = machine.evidence();
    assert!(evidence[0].problems[0].contains("had not ended"));
    assert!(evidence[0].proc_drbd.is_some());
}

#[test]
fn by_default_no_loss_sets_anything_in_motion() {
    for handler in [
        "local-io-error",
        "pri-lost",
        "pri-lost-after-sb",
        "pri-on-incon-degr",
        "out-of-sync",
        "quorum-lost",
    ] {
        let machine = Machine::new("");
        machine.call(handler);
        assert_eq!(machine.event().decision.as_str(), "recorded", "{handler}");
        assert_eq!(machine.trigger(), "", "{handler}");
        assert!(machine.evidence().is_empty(), "{handler}");
    }
}

#[test]
fn each_loss_asks_for_a_demotion_or_resets_the_node_where_its_own_key_says_so() {
    for (handler, key) in [
        ("local-io-error", "on_local_io_error"),
        ("pri-lost", "on_pri_lost"),
        ("pri-lost-after-sb", "on_pri_lost_after_sb"),
        ("pri-on-incon-degr", "on_pri_on_incon_degr"),
        ("out-of-sync", "on_out_of_sync"),
        ("quorum-lost", "on_quorum_lost"),
    ] {
        let machine = Machine::new(&format!("{key} = \"demote\"\n"));
        assert_eq!(machine.call(handler).status.code(), Some(0));
        assert_eq!(machine.event().decision.as_str(), "demote", "{handler}");
        assert_eq!(machine.trigger(), "", "{handler}");

        let machine = Machine::new(&format!("{key} = \"reboot\"\n"));
        machine.call(handler);
        assert_eq!(machine.event().decision.as_str(), "reboot", "{handler}");
        assert_eq!(machine.trigger(), "b", "{handler}");
        let console = fs::read_to_string(machine.path("dev/kmsg")).unwrap();
        assert!(console.contains("is being reset now"), "{console}");
    }
}

#[test]
fn a_node_is_reset_although_the_disk_of_the_event_is_gone() {
    let machine = Machine::new("on_local_io_error = \"reboot\"\n");
    // A file where the directory should be.
    fs::write(machine.path("var/lib/two-node-ha/events"), "").unwrap();
    machine.call("local-io-error");
    assert_eq!(machine.trigger(), "b");
}
