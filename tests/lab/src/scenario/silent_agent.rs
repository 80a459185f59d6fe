//! One of the two agents is gone for good, and its node is alive: online for Corosync, silent for its
//! peer.

use super::{COMMAND, SETTLE, Scenario, Stage, return_as_spare, service};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use crate::progress;
use crate::up;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "silent-agent",
    proves: "an agent that is gone for good, the voter's or the spare's, ends in a fencing and a takeover, and waits for nobody",
    run,
};

/// Two nodes are fenced and one boots meanwhile.
const LIMIT: Duration = Duration::from_secs(600);

fn run(stage: &mut Stage) -> Result<()> {
    of_the_voter(stage)?;
    of_the_spare(stage)
}

/// The voter's agent is gone, and the voter is to move: the other node waits for a word of it, in vain.
fn of_the_voter(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let to = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "mute");
    writer.wait_count(20, Duration::from_secs(120))?;
    lab.auto_boot(true)?;
    let silent = SystemTime::now();
    silence(lab, voter)?;
    // Pacemaker may be moving it already, since the failover unit misses its agent.
    let moved = lab.try_run(to, &["two-node-ha", "move", to.name()], LIMIT)?;
    eprintln!("move: exit {}: {}{}", moved.code, moved.out, moved.err);
    let taken_over = agent::wait_for(lab, to, "the voter", LIMIT, agent::Status::is_voter)
        .and_then(|_| writer.wait_after(SystemTime::now(), SETTLE));
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let first = taken_over?;
    eprintln!(
        "{} took a write {} after the agent of {voter} was gone",
        first.by,
        progress::seconds(first.acked.duration_since(silent).unwrap_or_default())
    );
    back(lab, voter)?;
    lab.auto_boot(false)?;
    lab.try_run(to, &["crm_resource", "--clear", "-r", "fs_res"], COMMAND)?;
    super::whole_again(lab, to, &before, 1)?;
    stage.check_writes()
}

/// The spare's agent is gone, and the voter's node loses its power. The survivor cannot take over: there
/// is nobody to take the role. What ends the outage is the node that was cut, which boots again.
fn of_the_spare(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let spare = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "deaf");
    writer.wait_count(20, Duration::from_secs(120))?;
    silence(lab, spare)?;
    lab.auto_boot(true)?;
    let cut = lab.cut(voter)?;
    let first = writer.wait_after(cut, LIMIT);
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let first = first?;
    eprintln!(
        "{} took a write {} after the cut",
        first.by,
        progress::seconds(first.acked.duration_since(cut).unwrap_or_default())
    );
    let now = agent::voter(lab, SETTLE)?;
    ensure!(
        now == voter,
        "{now} has become the voter, although its agent was masked"
    );
    let fenced = lab.status()?.fencings.split_off(before.fencings.len());
    ensure!(
        fenced.iter().any(|f| f.target == voter.name()),
        "{voter} lost its power and was not fenced: {fenced:?}"
    );
    wake(lab, spare)?;
    lab.auto_boot(false)?;
    super::whole_again(lab, voter, &before, fenced.len())?;
    stage.check_writes()
}

/// Until the next boot.
fn silence(lab: &Lab, node: Node) -> Result<()> {
    lab.run(
        node,
        &["systemctl", "mask", "--now", "--runtime", service::AGENT],
        Duration::from_secs(240),
    )
    .map(drop)
}

/// The node has booted, with its agent, and is the spare.
fn back(lab: &Lab, node: Node) -> Result<()> {
    return_as_spare::switch_on(lab, node)?;
    up::hands(lab, node)?;
    agent::spare(lab, node, SETTLE).map(drop)
}

/// Somebody has found out what ailed the agent, and starts it. Its failed starts as the voter must not
/// decide the next scenario.
fn wake(lab: &Lab, node: Node) -> Result<()> {
    up::hands(lab, node)?;
    let agent = service::AGENT;
    let script = format!(
        "systemctl unmask --runtime {agent}; systemctl start {agent}; crm_resource --cleanup"
    );
    lab.sh(node, &script, COMMAND)?;
    agent::spare(lab, node, SETTLE).map(drop)
}
