//! What Pacemaker's scheduler does with the rendered cluster (`crm_simulate`), without a cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{case, program, render, told};

/// A cluster of two nodes as a CIB in a file; each step leaves another.
struct Cluster {
    dir: tempfile::TempDir,
    cib: PathBuf,
    steps: usize,
}

impl Cluster {
    /// Both nodes up, DRBD's data good on both, nothing running yet. `change` alters the rendered
    /// configuration.
    fn new(config: &Path, change: impl FnOnce(String) -> String) -> Self {
        let rendered = change(render(config, &["pacemaker"]));
        let (_, configuration) = rendered.split_once("<configuration>").unwrap();
        let state = |id: u8, name: &str| {
            format!(
                "<node_state id=\"{id}\" uname=\"{name}\" in_ccm=\"true\" crmd=\"online\" join=\"member\" expected=\"member\">\
                 <transient_attributes id=\"{id}\"><instance_attributes id=\"status-{id}\">\
                 <nvpair id=\"status-{id}-drbd\" name=\"master-drbd_res\" value=\"10000\"/>\
                 </instance_attributes></transient_attributes>\
                 <lrm id=\"{id}\"><lrm_resources/></lrm></node_state>"
            )
        };
        let cib = format!(
            "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.7\" epoch=\"1\" num_updates=\"0\" admin_epoch=\"0\" have-quorum=\"1\">\
             <configuration><nodes><node id=\"1\" uname=\"haone\"/><node id=\"2\" uname=\"hatwo\"/></nodes>{configuration}\
             <status>{}{}</status></cib>",
            state(1, "haone"),
            state(2, "hatwo")
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0.xml");
        fs::write(&file, cib).unwrap();
        Self {
            dir,
            cib: file,
            steps: 0,
        }
    }

    /// Lets the scheduler act until nothing is left to do; `event` comes first. Answers with the
    /// cluster's status afterwards.
    fn step(&mut self, event: &[&str]) -> String {
        let mut status = self.simulate(event);
        // A failure is seen in one transition and dealt with in the next.
        for _ in 0..2 {
            status = self.simulate(&[]);
        }
        status
    }

    fn simulate(&mut self, event: &[&str]) -> String {
        self.steps += 1;
        let next = self.dir.path().join(format!("{}.xml", self.steps));
        let out = program(
            Command::new("crm_simulate")
                .arg("-x")
                .arg(&self.cib)
                .arg("-S")
                .arg("-O")
                .arg(&next)
                .args(event),
            "pacemaker-cli-utils",
        );
        assert!(out.status.success(), "{}", told(&out));
        self.cib = next;
        let text = String::from_utf8(out.stdout).unwrap();
        let (_, status) = text.split_once("Revised Cluster Status").unwrap();
        status.to_owned()
    }
}

/// Where the volume and the voter are.
fn runs(status: &str, what: &str, node: &str) -> bool {
    status
        .lines()
        .any(|l| l.contains(&format!("* {what}\t")) && l.ends_with(&format!("Started {node}")))
}

fn is_voter(status: &str, node: &str) {
    for what in ["fs_res", "ha_k8s_failover_service"] {
        assert!(runs(status, what, node), "{what} is not on {node}:{status}");
    }
    assert!(
        status.contains(&format!("Promoted: [ {node} ]")),
        "{status}"
    );
}

const FAILED_START: [&str; 2] = ["-F", "ha_k8s_failover_service_start_0@haone=1"];

#[test]
fn one_node_becomes_primary_mounts_and_holds_the_role() {
    let mut cluster = Cluster::new(&case("example"), |c| c);
    let status = cluster.step(&[]);
    is_voter(&status, "haone");
    assert!(status.contains("Unpromoted: [ hatwo ]"), "{status}");
}

#[test]
fn each_fence_device_runs_where_it_can_shoot() {
    let mut cluster = Cluster::new(&case("example"), |c| c);
    let status = cluster.step(&[]);
    let on = |device: &str, node: &str| runs(&status, device, node);
    assert!(
        on("fence_haone", "hatwo") && on("fence_hatwo", "haone"),
        "{status}"
    );
}

#[test]
fn the_survivor_of_a_power_cut_takes_over_and_keeps_the_role() {
    let mut cluster = Cluster::new(&case("example"), |c| c);
    cluster.step(&[]);
    let status = cluster.step(&["-f", "haone"]);
    is_voter(&status, "hatwo");
    let status = cluster.step(&["-u", "haone"]);
    is_voter(&status, "hatwo");
    assert!(status.contains("Unpromoted: [ haone ]"), "{status}");
}

#[test]
fn one_failed_start_does_not_drag_the_primary_away() {
    let mut cluster = Cluster::new(&case("example"), |c| c);
    cluster.simulate(&FAILED_START);
    let status = cluster.step(&[]);
    is_voter(&status, "haone");
}

/// The voter can start nowhere.
fn without_a_voter(c: &str) -> String {
    let bans = ["haone", "hatwo"].map(|node| {
        format!("<rsc_location id=\"ban-{node}\" rsc=\"ha_k8s_failover_service\" node=\"{node}\" score=\"-INFINITY\"/>")
    });
    c.replacen(
        "<constraints>",
        &format!("<constraints>{}", bans.concat()),
        1,
    )
}

#[test]
fn a_voter_that_can_start_nowhere_leaves_the_volume_mounted() {
    let mut cluster = Cluster::new(&case("example"), |c| without_a_voter(&c));
    let status = cluster.step(&[]);
    assert!(runs(&status, "fs_res", "haone"), "{status}");
}

/// The guide's colocation, and so what this configuration corrects.
#[test]
fn with_the_guides_colocation_it_would_not_even_be_mounted() {
    let ours = "rsc=\"ha_k8s_failover_service\" with-rsc=\"fs_res\"";
    let guides = "rsc=\"fs_res\" with-rsc=\"ha_k8s_failover_service\"";
    let mut cluster = Cluster::new(&case("example"), |c| {
        assert!(c.contains(ours));
        without_a_voter(&c.replace(ours, guides))
    });
    let status = cluster.step(&[]);
    assert!(
        !runs(&status, "fs_res", "haone") && !runs(&status, "fs_res", "hatwo"),
        "{status}"
    );
}

#[test]
fn after_the_configured_number_of_failures_the_other_node_is_tried() {
    let mut cluster = Cluster::new(&case("example"), |c| c);
    for failure in 1..=3 {
        let status = cluster.simulate(&FAILED_START);
        assert!(
            status.contains("Promoted: [ haone ]"),
            "{failure}: {status}"
        );
    }
    let status = cluster.step(&[]);
    is_voter(&status, "hatwo");
}

#[test]
fn a_voter_that_cannot_be_stopped_is_fenced() {
    let mut cluster = Cluster::new(&case("example"), |c| c);
    cluster.step(&[]);
    let cib = fs::read_to_string(&cluster.cib).unwrap();
    // Asked to go, and failing to.
    let away = "<constraints><rsc_location id=\"away\" rsc=\"fs_res\" node=\"haone\" score=\"-INFINITY\"/>";
    fs::write(&cluster.cib, cib.replacen("<constraints>", away, 1)).unwrap();
    let status = cluster.simulate(&["-F", "ha_k8s_failover_service_stop_0@haone=1"]);
    assert!(status.contains("Node haone: UNCLEAN"), "{status}");
    let status = cluster.step(&[]);
    is_voter(&status, "hatwo");
    assert!(status.contains("OFFLINE: [ haone ]"), "{status}");
}
