//! How long a handler waits: for the fencer, for a peer that is silent, for a program that hangs, for
//! another handler; and what it answers then.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::node::{CIB, Node, SILENT};

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

/// A cibadmin that does this first with a change; `real` is the one that is installed.
fn cibadmin(node: &Node, change: &str) {
    let script = format!(
        "real() {{ /usr/sbin/cibadmin \"$@\"; }}; {change}\nexec /usr/sbin/cibadmin \"$@\""
    );
    node.program("cibadmin", &script);
}

#[test]
fn a_call_that_gives_up_takes_its_constraint_away_although_the_first_tries_meet_no_dc() {
    let node = Node::new("stonith", "16s");
    node.program("crmadmin", SILENT);
    let tries = node.path("tries");
    cibadmin(
        &node,
        &format!(
            "case $1 in --delete) echo x >> {0}; [ $(wc -l < {0}) -gt 2 ] || exit 124;; esac",
            tries.display()
        ),
    );
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(1), "undecided"));
    assert_eq!(node.constraint(), None, "{reason}");
    assert_eq!(fs::read_to_string(tries).unwrap().lines().count(), 3);
    assert!(!reason.contains("may still be there"), "{reason}");
}

#[test]
fn a_constraint_that_was_made_although_no_dc_answered_does_not_outlive_a_call_that_gives_up() {
    let node = Node::new("stonith", "12s");
    let old = node.path("old.xml");
    fs::copy(node.path("cib.xml"), &old).unwrap();
    // The first is made and not answered, and this node's copy of the CIB never shows it.
    cibadmin(
        &node,
        &format!(
            "case $1 in --create) real \"$@\" || exit $?; exit 124;; \
             --query) export CIB_file={};; esac",
            old.display()
        ),
    );
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(1), "undecided"));
    assert_eq!(node.constraint(), None, "{reason}");
}

#[test]
fn a_call_that_could_not_take_its_constraint_away_says_so_in_time() {
    let node = Node::new("stonith", "8s");
    node.program("crmadmin", SILENT);
    cibadmin(&node, "case $1 in --delete) exit 124;; esac");
    let since = Instant::now();
    let (code, decision, reason) = node.call("fence-peer");
    assert_eq!((code, decision.as_str()), (Some(1), "undecided"));
    assert!(since.elapsed() < Duration::from_secs(8), "the watchdog's");
    assert!(
        reason.contains("may still be there and keep beta from being promoted"),
        "{reason}"
    );
    assert!(
        reason.contains("`cibadmin --delete --xml-text '<rsc_location "),
        "{reason}"
    );
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
