//! Fencing is off, the nodes are cut from each other under writes, and both become the voter.

use super::{COMMAND, SETTLE, Scenario, Stage, fencing, return_as_spare};
use crate::agent;
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::writer::{Ack, Writer, missing};
use crate::wait::{self, Seen};
use anyhow::{Result, bail, ensure};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "split-brain",
    proves: "a split brain ends with one command, killed half-way and given again on the other node; each side's writes are kept, or are in the copy",
    run,
};

/// What the administrator of a cluster without fencing writes.
const WITHOUT_FENCING: &str = "[fencing]\nmode = \"none\"\npromote_without_fencing = true\n";

fn run(stage: &mut Stage) -> Result<()> {
    fencing::instead(stage, WITHOUT_FENCING, split)
}

fn split(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let old = agent::voter(lab, SETTLE)?;
    let new = old.peer();
    agent::spare(lab, new, SETTLE)?;
    let supervisor = lab.status()?.supervisor;
    let writer = Writer::start(supervisor, "together");
    writer.wait_count(50, Duration::from_secs(120))?;
    let together = writer.stop();

    lab.partition(None)?;
    agent::wait_for(lab, new, "a second voter", SETTLE, agent::Status::is_voter)?;
    agent::wait_for(lab, old, "the first voter", SETTLE, agent::Status::is_voter)?;
    let apart = SystemTime::now();
    let writer = Writer::start(supervisor, "apart");
    wait::until("both voters to take writes", SETTLE, || {
        let count = writer.count();
        Ok(match (count >= 100, writer.first_after(apart)) {
            (true, Some(_)) => Seen::Ready(()),
            _ => Seen::NotYet(format!("{count} writes")),
        })
    })?;
    let written = writer.stop();
    let by = |node: Node| -> Vec<Ack> {
        let of = written.iter().filter(|ack| ack.by == node);
        of.cloned().collect()
    };
    // The first voter is kept: it has the lower epoch, so that the higher one must be given up.
    let (kept, given_up) = (by(old), by(new));
    ensure!(
        !kept.is_empty() && !given_up.is_empty(),
        "{} writes on {old}, {} on {new}: this is no split brain",
        kept.len(),
        given_up.len()
    );

    lab.heal()?;
    reported(lab)?;
    let shown = lab.try_run(old, &["two-node-ha", "split-brain", "show"], COMMAND)?;
    eprintln!("{}", shown.out);
    let resolve = [
        "two-node-ha",
        "split-brain",
        "resolve",
        "--keep",
        old.name(),
        "--yes",
    ];
    let would = lab.run(new, &[&resolve[..5], &["--dry-run"][..]].concat(), COMMAND)?;
    eprintln!("{would}");
    killed(lab, old, &resolve)?;
    // What was begun on one node goes on from the other.
    let said = crate::progress::step("resolving the split brain", || {
        lab.run(new, &resolve, SETTLE)
    })?;
    eprintln!("{said}");

    agent::wait_for(lab, old, "the voter", SETTLE, agent::Status::is_voter)?;
    agent::spare(lab, new, SETTLE)?;
    return_as_spare::in_sync(lab, old)?;
    let rules = lab.run(old, &["cibadmin", "-Q", "-o", "constraints"], COMMAND)?;
    ensure!(
        !rules.contains("split-brain"),
        "the constraint is left behind:\n{rules}"
    );
    let over = lab.try_run(old, &["two-node-ha", "split-brain", "show"], COMMAND)?;
    ensure!(
        over.out.contains("no split brain"),
        "it is not over:\n{}",
        over.out
    );
    for node in NODES {
        let lost = missing(supervisor, node, &kept)?;
        ensure!(lost.is_empty(), "{node} lost {} kept writes", lost.len());
    }
    in_the_copy(lab, new, &given_up)?;
    stage.acks.extend(together);
    stage.acks.extend(kept);
    stage.check_writes()
}

/// Begins on this node, and is killed when the data of the other is about to be copied.
fn killed(lab: &Lab, node: Node, resolve: &[&str]) -> Result<()> {
    let script = "log=$(mktemp); \"$@\" >\"$log\" 2>&1 & \
        until grep -q 'copy the data of' \"$log\"; do \
            kill -0 $! || { cat \"$log\"; exit 1; }; sleep 0.02; \
        done; \
        kill -KILL $!; code=0; wait $! || code=$?; cat \"$log\"; rm \"$log\"; [ $code = 137 ]";
    let argv = [&["bash", "-euc", script, "killed"], resolve].concat();
    let said = crate::progress::step(
        "resolving the split brain, and killing that half-way",
        || lab.run(node, &argv, SETTLE),
    )?;
    eprintln!("{said}");
    Ok(())
}

/// DRBD has found out, and both agents say so.
fn reported(lab: &Lab) -> Result<()> {
    wait::until("DRBD to report the split brain", SETTLE, || {
        for node in NODES {
            let evidence = lab.sh(
                node,
                "cat /var/lib/two-node-ha/evidence/*-split-brain.json 2>/dev/null || true",
                COMMAND,
            )?;
            if evidence.contains("\"sides\":[{") {
                return Ok(Seen::Ready(()));
            }
        }
        Ok(Seen::NotYet(
            lab.read(NODES[0], "/proc/drbd")?.unwrap_or_default(),
        ))
    })
}

/// Every write that was given up is in a copy on the node that gave it up.
fn in_the_copy(lab: &Lab, node: Node, acks: &[Ack]) -> Result<()> {
    // Read-only, without replaying a journal: a copy is looked at, not changed. dqlite writes pages
    // into its log as they are.
    let found = lab.sh(
        node,
        "mkdir -p /run/copy; for image in /opt/.two-node-ha-copies/*.img; do \
           two-node-ha copies mount \"$(basename \"$image\" .img)\" /run/copy >&2 || exit; \
           { grep -ahoE 'apart-[0-9]{6}' -r /run/copy/k8s-dqlite || true; }; \
           umount /run/copy || exit; \
         done",
        Duration::from_secs(120),
    )?;
    let found: HashSet<&str> = found.lines().collect();
    let lost: Vec<&str> = acks
        .iter()
        .map(|ack| ack.key.as_str())
        .filter(|key| !found.contains(key))
        .collect();
    if !lost.is_empty() {
        bail!(
            "{} of {} writes of {node} are neither kept nor in a copy, {} the first",
            lost.len(),
            acks.len(),
            lost[0]
        );
    }
    Ok(())
}
