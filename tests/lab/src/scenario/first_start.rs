//! The first start of a freshly configured pair.

use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::cluster::{NODES, Node};
use crate::demo::writer::{Writer, missing};
use crate::{agent, form};
use anyhow::{Result, bail, ensure};
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "first-start",
    proves: "the first start moves both databases onto the volume, and the cluster serves",
    run,
};

const STATES: [&str; 2] = [
    "/var/snap/k8s/common/var/lib/k8s-dqlite",
    "/var/snap/k8s/common/var/lib/k8sd/state",
];

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    for node in NODES {
        let kinds = lab.sh(node, &format!("stat -c %F {}", STATES.join(" ")), COMMAND)?;
        ensure!(
            kinds == "directory\ndirectory\n",
            "{node} has started before: {kinds}"
        );
    }
    if !stage.started {
        form::first_start(lab)?;
        stage.started = true;
    }
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    if voter != Node::One {
        bail!("{voter} became the voter; the data is on {}", Node::One);
    }
    agent::spare(lab, voter.peer(), SETTLE)?;
    for (node, expected) in [
        (voter, "/mnt/drbd0/"),
        (voter.peer(), "/var/lib/two-node-ha/spare/"),
    ] {
        for state in STATES {
            let target = lab.sh(node, &format!("readlink {state}"), COMMAND)?;
            ensure!(
                target.starts_with(expected),
                "{node}: {state} leads to {}, not below {expected}",
                target.trim()
            );
        }
    }
    // The first synchronisation of all overwrote nothing, and no copy of nothing was made.
    let copies = lab.run(
        voter.peer(),
        &["two-node-ha", "copies", "list", "--json"],
        COMMAND,
    )?;
    let copies: serde_json::Value = serde_json::from_str(&copies)?;
    ensure!(
        copies["copies"].as_array().is_some_and(Vec::is_empty),
        "{} was never used, and has copies: {copies}",
        voter.peer()
    );
    let epoch = lab.read(voter, "/mnt/drbd0/epoch.json")?;
    ensure!(epoch.is_some(), "there is no epoch.json on the volume");

    let supervisor = lab.status()?.supervisor;
    let writer = Writer::start(supervisor, "first");
    writer.wait_count(50, Duration::from_secs(120))?;
    stage.acks.extend(writer.stop());
    ensure!(
        missing(supervisor, voter, &stage.acks)?.is_empty(),
        "the voter lacks what it acknowledged"
    );
    stage.check_writes()
}
