//! The agent while nothing happens.

use super::{COMMAND, Scenario, Stage};
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "idle-agent",
    proves: "a settled agent is woken in 60 s for nothing but a read of its voter's datastore, once per interval",
    run,
};

/// The span that the claim is about; the one place where the lab waits for a time.
const SPAN: Duration = Duration::from_secs(60);

/// The agent's thread that reads the datastore of a voter; nobody reads a spare's.
const READER: &str = "datastore";
/// How often it does so by default (`agent.health_interval`).
const INTERVAL: Duration = Duration::from_secs(10);
/// How often a thread may wait within one read: for its time, and for each of the few pieces in which
/// the answer comes.
const WAITS: u64 = 8;

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let mut before = BTreeMap::new();
    for node in NODES {
        before.insert(node, quiet(lab, node)?);
    }
    crate::progress::step("leaving both agents alone for 60 s", || {
        std::thread::sleep(SPAN);
        Ok(())
    })?;
    let reads = SPAN.as_secs() / INTERVAL.as_secs() + 1;
    let mut reading = Vec::new();
    for node in NODES {
        let after = threads(lab, node)?;
        let mut woken = Vec::new();
        for (thread, count) in after {
            let times = count - before[&node].get(&thread).copied().unwrap_or(0).min(count);
            if times > 0 && thread.ends_with(&format!("({READER})")) && times <= reads * WAITS {
                eprintln!("{node}: {thread} waited {times} times, for {reads} reads at most");
                reading.push(node);
            } else if times > 0 {
                woken.push(format!("{thread} {times} times"));
            }
        }
        ensure!(
            woken.is_empty(),
            "the agent on {node} was woken: {}",
            woken.join(", ")
        );
    }
    ensure!(
        reading.len() == 1,
        "the datastore of the voter is read, and no other; it was on {reading:?}"
    );
    Ok(())
}

/// A count that did not change between two looks, so that the end of what went before (a client
/// that hung up, a last event) is not taken for a wake-up. An agent that is never quiet is counted
/// from the last look on.
fn quiet(lab: &Lab, node: Node) -> Result<BTreeMap<String, u64>> {
    let mut last = threads(lab, node)?;
    for _ in 0..10 {
        let now = threads(lab, node)?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// Voluntary context switches of each thread of the agent: each wake-up ends in one more
/// (proc_pid_status(5)). Threads are named by id and name.
fn threads(lab: &Lab, node: Node) -> Result<BTreeMap<String, u64>> {
    let script = "pid=$(systemctl show -P MainPID two-node-ha-k8s.service)
        test \"$pid\" -gt 0
        grep -H -E '^(Name|voluntary_ctxt_switches):' /proc/$pid/task/*/status";
    let text = lab.sh(node, script, COMMAND)?;
    let mut names = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let (file, rest) = line.split_once(":").context("an odd line of grep")?;
        let id = file
            .split('/')
            .nth(4)
            .context("an odd path in /proc")?
            .to_owned();
        match rest.split_once(':') {
            Some(("Name", name)) => drop(names.insert(id, name.trim().to_owned())),
            Some((_, count)) => drop(counts.insert(id, count.trim().parse::<u64>()?)),
            None => {}
        }
    }
    ensure!(!counts.is_empty(), "the agent on {node} has no threads");
    Ok(counts
        .into_iter()
        .map(|(id, n)| {
            (
                format!(
                    "thread {id} ({})",
                    names.get(&id).map_or("", String::as_str)
                ),
                n,
            )
        })
        .collect())
}
