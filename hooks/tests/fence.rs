//! fence-peer and unfence-peer: the real program and the real cibadmin, on a CIB in a file. What
//! needs a running cluster (the peer's controller, the fencer) is a stand-in, and so is cibadmin
//! where the point is how it fails.
#![allow(clippy::unwrap_used)]

mod machine;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use machine::{CONFIG, DRBDADM_84, Machine};
use two_node_ha_command::{Call, Output, Runner, System};
use two_node_ha_pacemaker::fence::{self, ChangeError};
use two_node_ha_pacemaker::{FencingConstraint, query};

const CIB: &str = include_str!("../../crates/pacemaker/tests/fixtures/cib.2.1.5.xml");
const ID: &str = "drbd-fence-by-handler-r0-drbd_master_slave";

const STONITH: &str = r#"
[fencing]
mode = "stonith"
[[fencing.device]]
node = "alpha"
agent = "fence_ipmilan"
[[fencing.device]]
node = "beta"
agent = "fence_ipmilan"
"#;

/// What crmadmin of Pacemaker 2.1 prints of a peer that answers (`xml/api/crmadmin-2.4.rng`).
const ALIVE: &str = "echo '<pacemaker-result api-version=\"2.25\" request=\"crmadmin\"><crmd node_name=\"beta\" \
                     state=\"S_NOT_DC\" result=\"ok\"/><status code=\"0\" message=\"OK\"/></pacemaker-result>'";
const SILENT: &str = "echo '<pacemaker-result api-version=\"2.25\" request=\"crmadmin\"><status code=\"124\" \
                      message=\"Timeout occurred\"><errors><error>error: no reply</error></errors></status>\
                      </pacemaker-result>'; exit 124";
const FENCED: &str = "echo '<pacemaker-result api-version=\"2.25\" request=\"stonith_admin\">\
                      <fence_event target=\"beta\" action=\"reboot\" delegate=\"alpha\" client=\"c\" origin=\"alpha\" \
                      status=\"success\" completed=\"2026-11-24 12:00:00Z\"/><status code=\"0\" message=\"OK\"/>\
                      </pacemaker-result>'";

/// A node named alpha whose DRBD resource r0 and Pacemaker are what the test says.
struct Node {
    machine: Machine,
}

impl Node {
    fn new(mode: &str, deadline: &str) -> Self {
        let fencing = if mode == "stonith" {
            STONITH.to_owned()
        } else {
            format!("[fencing]\nmode = \"{mode}\"\n")
        };
        let nodes = CONFIG.split("[fencing]").next().unwrap();
        let hooks = format!("[hooks]\nfence_peer_deadline = \"{deadline}\"\n");
        let machine = Machine::configured(&format!("{nodes}{fencing}{hooks}"));
        let node = Self { machine };
        node.file("proc/sys/kernel/hostname", "alpha\n");
        node.file("sys/module/drbd/version", "8.4.11\n");
        node.drbd("WFConnection", "UpToDate/DUnknown");
        node.file("cib.xml", CIB);
        node.program("crmadmin", ALIVE);
        node.program("stonith_admin", FENCED);
        node
    }

    fn path(&self, path: &str) -> PathBuf {
        self.machine.root.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // In one step: a handler may be reading it.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        self.file(
            &format!("programs/{name}"),
            &format!("#!/bin/sh\n{script}\n"),
        );
        let path = self.path(&format!("programs/{name}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn drbd(&self, connection: &str, disks: &str) {
        self.drbd_with(connection, "Primary/Unknown", disks);
    }

    fn drbd_with(&self, connection: &str, roles: &str, disks: &str) {
        let text = format!(
            "version: 8.4.11 (api:1/proto:86-101)\n 0: cs:{connection} ro:{roles} ds:{disks} C \
             s-----\n"
        );
        self.file("proc/drbd", &text);
    }

    fn peer(&self, attributes: &str) {
        let text: String = CIB
            .lines()
            .map(
                |line| match line.contains("<node_state") && line.contains("\"beta\"") {
                    true => format!("<node_state id=\"2\" uname=\"beta\" {attributes}/>\n"),
                    false => format!("{line}\n"),
                },
            )
            .collect();
        self.file("cib.xml", &text);
    }

    fn command(&self, handler: &str) -> Command {
        let mut command = self.machine.command(&[handler, "r0"], &DRBDADM_84);
        command
            .env("TWO_NODE_HA_HOOK_PROGRAMS", self.path("programs"))
            .env("TWO_NODE_HA_HOOK_CIB", self.path("cib.xml"));
        command
    }

    /// Calls a handler; its exit code, decision and reason.
    fn call(&self, handler: &str) -> (Option<i32>, String, String) {
        let status = self.command(handler).status().unwrap();
        let event = self.machine.events().pop().unwrap();
        assert_eq!(Some(event.exit_code), status.code());
        (status.code(), event.decision, event.reason)
    }

    /// What the agent does to take the constraint away, in its three steps.
    fn agent(&self) -> Agent {
        Agent {
            cib: self.path("cib.xml"),
            proc: self.path("proc/drbd"),
            read: None,
            ready: None,
        }
    }

    /// The real cibadmin.
    fn cibadmin(&self, args: &[&str]) -> bool {
        let status = Command::new("cibadmin")
            .args(args)
            .env("CIB_file", self.path("cib.xml"))
            .stdout(Stdio::null())
            .status();
        status
            .unwrap_or_else(|e| {
                panic!("cibadmin does not start ({e}): install pacemaker-cli-utils")
            })
            .success()
    }

    fn constraint(&self) -> Option<String> {
        let text = fs::read_to_string(self.path("cib.xml")).unwrap();
        let from = text.find(&format!("id=\"{ID}\""))?;
        let end = text[from..].find("</rsc_location>").unwrap();
        Some(text[from..from + end].to_owned())
    }
}

/// The agent's sweep, as it is in `act/sweep.rs`: it can be left alone after each step.
struct Agent {
    cib: PathBuf,
    proc: PathBuf,
    read: Option<FencingConstraint>,
    ready: Option<FencingConstraint>,
}

/// The real programs, on the CIB in a file.
#[derive(Debug)]
struct Programs(PathBuf);

impl Runner for Programs {
    fn run(&self, call: &Call) -> Result<Output, two_node_ha_command::Error> {
        System::new().run(&call.clone().env("CIB_file", &self.0))
    }

    fn read(&self, path: &std::path::Path) -> std::io::Result<Vec<u8>> {
        fs::read(path)
    }
}

impl Agent {
    fn step(&mut self) -> Option<Result<(), ChangeError>> {
        let programs = Programs(self.cib.clone());
        if let Some(read) = self.ready.take() {
            return Some(fence::remove_and_look(
                &programs,
                &read,
                Duration::from_secs(5),
            ));
        }
        if let Some(read) = self.read.take() {
            let proc = fs::read_to_string(&self.proc).unwrap();
            self.ready = proc.contains("UpToDate/UpToDate").then_some(read);
            return None;
        }
        self.read = query::fencing_constraints(&programs, "r0").unwrap().pop();
        None
    }
}

/// What drbd-utils' crm-fence-peer.sh places, from its source.
fn of_the_script(node: &str) -> String {
    format!(
        "<rsc_location rsc=\"drbd_master_slave\" id=\"{ID}\">\n <rule role=\"Master\" \
         score=\"-INFINITY\" id=\"drbd-fence-by-handler-r0-rule-drbd_master_slave\">\n  <expression \
         attribute=\"#uname\" operation=\"ne\" value=\"{node}\" \
         id=\"drbd-fence-by-handler-r0-expr-drbd_master_slave\"/>\n </rule>\n</rsc_location>"
    )
}

#[test]
fn a_cut_link_is_fenced_in_the_cib_and_unfenced_once_both_are_up_to_date() {
    let node = Node::new("stonith", "20s");
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(4), "excluded"), "{reason}");
    let constraint = node.constraint().unwrap();
    assert!(constraint.contains("role=\"Promoted\""), "{constraint}");
    assert!(constraint.contains("value=\"alpha\""), "{constraint}");
    // Again, with the constraint there.
    assert_eq!(node.call("fence-peer").0, Some(4));

    node.drbd("SyncSource", "UpToDate/Inconsistent");
    let (code, decision, _) = node.call("unfence-peer");
    assert_eq!((code, decision.as_str()), (Some(0), "recorded"));
    assert!(node.constraint().is_some(), "taken away too soon");
    node.drbd("Connected", "UpToDate/UpToDate");
    let (code, decision, reason) = node.call("unfence-peer");
    assert_eq!((code, decision.as_str()), (Some(0), "unfenced"), "{reason}");
    assert_eq!(node.constraint(), None);
    // Again, with nothing there.
    assert!(
        node.call("unfence-peer")
            .2
            .contains("there is no constraint")
    );
}

#[test]
fn unfence_looks_at_the_stored_cib_first_and_starts_no_program_where_nothing_is_there() {
    const STORED: &str = "var/lib/pacemaker/cib/cib.xml";
    // Pacemaker keeps no status on the disk.
    let stored = |cib: &str| {
        let (start, rest) = cib.split_once("<status").unwrap();
        let (_, end) = rest.split_once("</status>").unwrap();
        format!("{start}{end}")
    };
    let node = Node::new("stonith", "20s");
    assert_eq!(node.call("fence-peer").0, Some(4));
    let fenced = fs::read_to_string(node.path("cib.xml")).unwrap();
    node.drbd("Connected", "UpToDate/UpToDate");

    // Behind by a moment: the constraint is not on the disk yet. It stays; nothing is started.
    node.file(STORED, &stored(CIB));
    node.program("cibadmin", "touch \"$(dirname \"$0\")/started\"; exit 1");
    let (code, decision, reason) = node.call("unfence-peer");
    assert_eq!((code, decision.as_str()), (Some(0), "recorded"), "{reason}");
    assert!(!node.path("programs/started").exists(), "cibadmin was run");
    fs::remove_file(node.path("programs/cibadmin")).unwrap();
    assert!(node.constraint().is_some());

    node.file(STORED, &stored(&fenced));
    assert_eq!(node.call("unfence-peer").1, "unfenced");
    assert_eq!(node.constraint(), None);
    // Gone already, and still on the disk.
    assert_eq!(node.call("unfence-peer").1, "unfenced");

    // What is no CIB is not believed.
    node.file("cib.xml", &fenced);
    node.file(STORED, "<cib>");
    assert_eq!(node.call("unfence-peer").1, "unfenced");
    assert_eq!(node.constraint(), None);
}

#[test]
fn the_constraint_of_drbds_own_script_is_known_and_its_unfence_knows_ours() {
    let node = Node::new("stonith", "20s");
    assert!(node.cibadmin(&["-C", "-o", "constraints", "-X", &of_the_script("alpha")]));
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(4), "excluded"), "{reason}");
    node.drbd("Connected", "UpToDate/UpToDate");
    assert_eq!(node.call("unfence-peer").1, "unfenced");
    assert_eq!(node.constraint(), None);

    node.drbd("WFConnection", "UpToDate/DUnknown");
    assert_eq!(node.call("fence-peer").0, Some(4));
    // As its `remove_constraint` does.
    let element = format!("<rsc_location rsc=\"drbd_master_slave\" id=\"{ID}\"/>");
    assert!(node.cibadmin(&["-D", "-X", &element]));
    assert_eq!(node.constraint(), None);

    assert!(node.cibadmin(&["-C", "-o", "constraints", "-X", &of_the_script("beta")]));
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(1), "rejected"), "{reason}");
    assert!(reason.contains(ID), "{reason}");
}

#[test]
fn an_old_schema_gets_the_old_word() {
    let node = Node::new("stonith", "20s");
    // Which knows it nowhere.
    let old = CIB
        .replace("pacemaker-3.9", "pacemaker-3.5")
        .replace("\"Promoted\"", "\"Master\"")
        .replace("\"Unpromoted\"", "\"Slave\"");
    node.file("cib.xml", &old);
    assert_eq!(node.call("fence-peer").0, Some(4));
    let constraint = node.constraint().unwrap();
    assert!(constraint.contains("role=\"Master\""), "{constraint}");
}

#[test]
fn a_peer_is_waited_for_until_it_is_fenced_and_then_the_answer_is_seven() {
    for (lost, down) in [
        (
            "in_ccm=\"false\" crmd=\"offline\" join=\"down\" expected=\"member\"",
            "in_ccm=\"false\" crmd=\"offline\" join=\"down\" expected=\"down\"",
        ),
        // Pacemaker 2.1.7 and later.
        (
            "in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"member\"",
            "in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"down\"",
        ),
    ] {
        let node = Node::new("stonith", "60s");
        node.peer(lost);
        let mut child = node.command("fence-peer").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(700));
        assert!(child.try_wait().unwrap().is_none(), "did not wait");
        assert_eq!(node.constraint(), None, "placed without need");
        let since = Instant::now();
        node.peer(down);
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "slept through it"
        );
        assert!(node.constraint().is_some());
        let records = node.machine.records();
        let waiting = &records[0]["MESSAGE"];
        assert!(waiting.contains("waiting: beta is lost"), "{waiting}");
        assert!(records[1]["MESSAGE"].contains("12:00:00"), "{records:?}");
    }
}

#[test]
fn a_peer_that_is_lost_for_good_is_answered_at_the_deadline_and_by_policy() {
    let lost = "in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"member\"";
    for (mode, code, decision) in [("stonith", 1, "undecided"), ("constraint", 5, "assumed")] {
        let node = Node::new(mode, "4s");
        node.peer(lost);
        let since = Instant::now();
        let answer = node.call("fence-peer");
        assert_eq!(
            (answer.0, answer.1.as_str()),
            (Some(code), decision),
            "{}",
            answer.2
        );
        assert!(since.elapsed() >= Duration::from_millis(1500));
        assert_eq!(node.constraint().is_some(), mode == "constraint");
    }
}

#[test]
fn an_old_entry_of_the_peers_name_that_is_cleanly_down_does_not_make_a_lost_peer_outdated() {
    const TWO: &str =
        include_str!("../../crates/pacemaker/tests/fixtures/two-entries-of-one-name.cib.xml");
    let present = "id=\"2\" uname=\"beta\" in_ccm=\"false\" crmd=\"offline\" join=\"member\" \
                   expected=\"member\"";
    assert!(TWO.contains(present));
    for (cib, code, decision) in [
        (TWO.to_owned(), 1, "undecided"),
        // Once the present one was fenced.
        (
            TWO.replace(present, &present.replace("\"member\"", "\"down\"")),
            7,
            "fenced",
        ),
    ] {
        let node = Node::new("stonith", "4s");
        node.file("cib.xml", &cib);
        let answer = node.call("fence-peer");
        assert_eq!(
            (answer.0, answer.1.as_str()),
            (Some(code), decision),
            "{}",
            answer.2
        );
    }
}

#[test]
fn a_peer_that_only_seems_alive_is_not_claimed_to_be_and_leaves_no_constraint() {
    let node = Node::new("stonith", "4s");
    node.program("crmadmin", SILENT);
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(1), "undecided"));
    assert!(
        reason.contains("does not answer") && reason.contains("no reply"),
        "{reason}"
    );
    assert_eq!(node.constraint(), None);
}

#[test]
fn a_cibadmin_that_hangs_is_killed_and_the_answer_comes_in_time() {
    let node = Node::new("stonith", "4s");
    let pids = node.path("pids");
    node.program(
        "cibadmin",
        &format!("sleep 1000 & echo $$ $! >> {}; wait", pids.display()),
    );
    let since = Instant::now();
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!(code, Some(1), "{reason}");
    assert!(
        ["undecided", "deadline"].contains(&decision.as_str()),
        "{decision}"
    );
    assert!(since.elapsed() < Duration::from_secs(20));
    // A grandchild is not ours to wait for: on a busy machine it takes a while to die of its signal.
    let patience = Instant::now() + Duration::from_secs(10);
    for pid in fs::read_to_string(pids).unwrap().split_whitespace() {
        loop {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            assert!(Instant::now() < patience, "{pid} survived: {state}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_refused_constraint_is_named_with_what_cibadmin_said() {
    let node = Node::new("stonith", "4s");
    node.program(
        "cibadmin",
        "case $1 in --create) echo 'Call failed: Permission denied' >&2; exit 4;; \
         *) exec /usr/sbin/cibadmin \"$@\";; esac",
    );
    let (code, _, reason) = node.call("fence-peer");
    assert_eq!(code, Some(1));
    assert!(
        reason.contains("exit code 4: Call failed: Permission denied"),
        "{reason}"
    );
}

#[test]
fn a_stale_cib_is_tried_again_at_once() {
    for stale in [103, 205] {
        let node = Node::new("stonith", "60s");
        let script = format!(
            "case $1 in --create) echo x >> {0}; [ $(wc -l < {0}) -gt 2 ] || exit {stale};; esac; \
             exec /usr/sbin/cibadmin \"$@\"",
            node.path("tries").display()
        );
        node.program("cibadmin", &script);
        let since = Instant::now();
        let (code, _, reason) = node.call("fence-peer");
        assert_eq!(code, Some(4), "{reason}");
        assert!(since.elapsed() < Duration::from_secs(30));
        assert!(node.constraint().is_some());
    }
}

#[test]
fn a_constraint_whose_answer_was_lost_is_known_as_its_own() {
    // The DC has made it and its answer did not arrive. The peer then does not answer either: what
    // this call has made it takes away.
    let node = Node::new("stonith", "4s");
    node.program(
        "cibadmin",
        "case $1 in --create) /usr/sbin/cibadmin \"$@\"; exit 124;; *) exec /usr/sbin/cibadmin \"$@\";; esac",
    );
    node.program("crmadmin", SILENT);
    assert_eq!(node.call("fence-peer").0, Some(1));
    assert_eq!(node.constraint(), None);
}

#[test]
fn two_handlers_of_a_resource_take_turns_and_a_killed_one_leaves_no_lock() {
    let node = Node::new("stonith", "60s");
    node.peer("in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"member\"");
    let mut first = node.command("fence-peer").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    first.kill().unwrap();
    first.wait().unwrap();
    node.file("cib.xml", CIB);
    let since = Instant::now();
    assert_eq!(node.call("fence-peer").0, Some(4));
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "waited for the dead"
    );
    // One that holds the lock for too long is not waited for.
    let mut flock = Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(node.path("run/two-node-ha/fence.r0.lock"))
        .args(["sleep", "100"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    node.drbd("Connected", "UpToDate/UpToDate");
    let (code, decision, _) = node.call("unfence-peer");
    flock.kill().unwrap();
    flock.wait().unwrap();
    assert_eq!((code, decision.as_str()), (Some(0), "unfenced"));
    let told = node.machine.records();
    assert!(
        told.iter()
            .any(|r| r["MESSAGE"].contains("goes on without a lock")),
        "{told:?}"
    );
}

#[test]
fn drbd_nine_is_asked_by_events_and_its_answer_is_the_same() {
    let node = Node::new("stonith", "20s");
    node.file("sys/module/drbd/version", "9.2.12\n");
    node.program(
        "drbdsetup",
        "[ \"$*\" = 'events2 --now --statistics' ] || exit 9; cat <<'E'\n\
         exists resource name:r0 role:Primary suspended:fencing\n\
         exists connection name:r0 peer-node-id:2 conn-name:beta connection:Connecting role:Unknown\n\
         exists device name:r0 volume:0 minor:0 disk:UpToDate\n\
         exists peer-device name:r0 peer-node-id:2 conn-name:beta volume:0 replication:Off peer-disk:DUnknown\n\
         exists -\nE",
    );
    let env = [
        ("DRBD_RESOURCE", "r0"),
        ("DRBD_MINOR", "0"),
        ("DRBD_VOLUME", "0"),
        ("DRBD_LL_DISK", "/dev/lodrbd"),
        ("DRBD_MY_NODE_ID", "1"),
        ("DRBD_PEER_NODE_ID", "2"),
        ("DRBD_NODE_ID_1", "alpha"),
        ("DRBD_NODE_ID_2", "beta"),
        ("UP_TO_DATE_NODES", "0x00000002"),
    ];
    let status = node
        .machine
        .command(&["fence-peer", "r0"], &env)
        .env("TWO_NODE_HA_HOOK_PROGRAMS", node.path("programs"))
        .env("TWO_NODE_HA_HOOK_CIB", node.path("cib.xml"))
        .status();
    let event = node.machine.events().pop().unwrap();
    assert_eq!(status.unwrap().code(), Some(4), "{}", event.reason);
}

#[test]
fn a_constraint_that_a_handler_relies_on_stays_wherever_the_agent_was_stopped() {
    let node = Node::new("stonith", "60s");
    assert!(node.cibadmin(&["-C", "-o", "constraints", "-X", &of_the_script("alpha")]));
    let mut renewed = 0;
    for flap in 0..50 {
        node.drbd("Connected", "UpToDate/UpToDate");
        let mut agent = node.agent();
        // Stopped before it has read anything, after that, after it has seen that the copies are the
        // same: by turns.
        for _ in 0..flap % 3 {
            assert!(agent.step().is_none());
        }
        node.drbd("WFConnection", "UpToDate/DUnknown");
        let (code, _, reason) = node.call("fence-peer");
        assert_eq!(code, Some(4), "flap {flap}: {reason}");
        // It goes on while the handler's answer holds.
        for _ in flap % 3..3 {
            match agent.step() {
                None => {}
                Some(result) => {
                    assert!(
                        matches!(result, Err(ChangeError::Renewed)),
                        "flap {flap}: {result:?}"
                    );
                    renewed += 1;
                }
            }
        }
        let stands = node.constraint();
        assert!(stands.is_some(), "flap {flap}: the constraint is gone");
    }
    assert_eq!(renewed, 16);
    // Undisturbed it takes it away.
    node.drbd("Connected", "UpToDate/UpToDate");
    let mut agent = node.agent();
    assert!(agent.step().is_none() && agent.step().is_none());
    assert!(matches!(agent.step(), Some(Ok(()))));
    assert_eq!(node.constraint(), None);
}

#[test]
fn unfence_that_names_an_old_mark_takes_nothing_away_and_says_what_stays() {
    const STORED: &str = "var/lib/pacemaker/cib/cib.xml";
    let node = Node::new("stonith", "20s");
    assert_eq!(node.call("fence-peer").0, Some(4));
    // The file on the disk is behind by one renewal.
    node.file(STORED, &fs::read_to_string(node.path("cib.xml")).unwrap());
    assert_eq!(node.call("fence-peer").0, Some(4));
    let stands = node.constraint().unwrap();
    node.drbd("Connected", "UpToDate/UpToDate");
    let (code, _, reason) = node.call("unfence-peer");
    assert_eq!(code, Some(0));
    assert_eq!(node.constraint(), Some(stands), "{reason}");
    assert!(reason.contains("renewed in this moment stays"), "{reason}");
}

#[test]
fn unfence_leaves_the_constraint_of_a_primary_peer_to_that_peer() {
    let node = Node::new("stonith", "20s");
    assert!(node.cibadmin(&["-C", "-o", "constraints", "-X", &of_the_script("beta")]));
    node.drbd_with("Connected", "Secondary/Primary", "UpToDate/UpToDate");
    let (code, decision, reason) = node.call("unfence-peer");
    assert_eq!((code, decision.as_str()), (Some(0), "recorded"));
    assert!(reason.contains("left to beta"), "{reason}");
    assert!(node.constraint().is_some());
    node.drbd_with("Connected", "Primary/Secondary", "UpToDate/UpToDate");
    assert_eq!(node.call("unfence-peer").1, "unfenced");
    assert_eq!(node.constraint(), None);
}

#[test]
fn a_constraint_that_cannot_be_renewed_supports_no_answer() {
    let node = Node::new("stonith", "4s");
    assert!(node.cibadmin(&["-C", "-o", "constraints", "-X", &of_the_script("alpha")]));
    node.program(
        "cibadmin",
        "case $1 in --replace) echo 'Call failed: Timer expired' >&2; exit 124;; \
         *) exec /usr/sbin/cibadmin \"$@\";; esac",
    );
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(1), "undecided"));
    assert!(
        reason.contains("cannot be renewed") && reason.contains("Timer expired"),
        "{reason}"
    );
    assert!(node.constraint().is_some());
    // One whose answer was lost was renewed all the same, and is known as its own.
    node.program(
        "cibadmin",
        "case $1 in --replace) /usr/sbin/cibadmin \"$@\"; exit 124;; \
         *) exec /usr/sbin/cibadmin \"$@\";; esac",
    );
    assert_eq!(node.call("fence-peer").0, Some(4));
}

#[test]
fn a_stopped_process_that_holds_the_lock_does_not_keep_fence_peer_from_answering_in_time() {
    let node = Node::new("stonith", "12s");
    fs::create_dir_all(node.path("run/two-node-ha")).unwrap();
    let mut holder = Command::new("flock")
        .args(["--exclusive", "--no-fork"])
        .arg(node.path("run/two-node-ha/fence.r0.lock"))
        .args(["sleep", "100"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let stop = Command::new("kill")
        .args(["-STOP", &holder.id().to_string()])
        .status();
    assert!(stop.unwrap().success());
    let since = Instant::now();
    let (code, decision, reason) = node.call("fence-peer");
    let took = since.elapsed();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!((code, decision.as_str()), (Some(4), "excluded"), "{reason}");
    // A quarter of the deadline is waited for the lock; the answer comes before the deadline.
    assert!(took >= Duration::from_secs(3), "{took:?}");
    assert!(took < Duration::from_secs(12), "{took:?}");
}
