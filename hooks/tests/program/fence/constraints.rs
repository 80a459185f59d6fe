//! What stands in the CIB after each call, and that nobody takes away what another relies on.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use two_node_ha_command::{Call, Output, Runner, System};
use two_node_ha_pacemaker::fence::{self, ChangeError};
use two_node_ha_pacemaker::{FencingConstraint, query};

use super::node::{CIB, ID, Node, SILENT};

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
    /// What the agent of a node does to take the constraint away, in its three steps.
    fn of(node: &Node) -> Self {
        Self {
            cib: node.path("cib.xml"),
            proc: node.path("proc/drbd"),
            read: None,
            ready: None,
        }
    }

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
fn an_old_entry_of_the_peers_name_that_is_cleanly_down_does_not_make_a_lost_peer_outdated() {
    const TWO: &str =
        include_str!("../../../../crates/pacemaker/tests/fixtures/two-entries-of-one-name.cib.xml");
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
        let mut agent = Agent::of(&node);
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
    let mut agent = Agent::of(&node);
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
fn the_bar_of_a_resolution_that_was_turned_round_is_not_taken_away_by_the_one_before() {
    use two_node_ha_pacemaker::{ban, ban_against};
    let id = "two-node-ha-split-brain-r0";
    let node = Node::new("stonith", "20s");
    let stands = || {
        fs::read_to_string(node.path("cib.xml"))
            .unwrap()
            .contains(id)
    };
    let change = |command: &[&str], xml: &str| {
        let args = [command, &["--scope", "constraints", "--xml-text", xml]].concat();
        assert!(node.cibadmin(&args));
    };
    let place = ["--modify", "--allow-create"];
    change(&place, &ban(id, "drbd_master_slave", "beta"));
    change(&place, &ban(id, "drbd_master_slave", "alpha"));
    change(&["--delete"], &ban_against(id, "beta"));
    assert!(stands());
    change(&["--delete"], &ban_against(id, "alpha"));
    assert!(!stands());
}
