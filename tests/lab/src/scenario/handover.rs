//! Somebody kills the voter's k8s-dqlite with a plain `kill`: on SIGTERM it hands its role over to the
//! spare, which acknowledges writes on its own disk from then on.

use super::{COMMAND, SETTLE, Scenario, Stage, link, return_as_spare, service};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use crate::progress;
use crate::wait::{self, Seen};
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "handover",
    proves: "after a plain kill of the voter's k8s-dqlite raft is brought back onto the volume; a power cut before that loses nothing",
    run,
};

/// In a campaign writes go on for so long after the kill, as when it was first seen that they were lost.
const SPAN: u32 = 45;

fn run(stage: &mut Stage) -> Result<()> {
    noticed(stage)?;
    cut_at_once(stage)
}

/// While both live.
fn noticed(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "handed");
    writer.wait_count(50, Duration::from_secs(120))?;
    handed_over(lab, voter)?;
    let killed = SystemTime::now();
    let span = stage.length.choose(0, SPAN);
    progress::step(&format!("writing on for {span} s"), || {
        std::thread::sleep(Duration::from_secs(span.into()));
        Ok(())
    })?;
    wait::until("raft's voter to be on the volume again", SETTLE, || {
        let voters = service::voters(lab, voter, "/mnt/drbd0/k8s-dqlite");
        let own = format!("{}:9000", voter.address());
        Ok(match voters {
            Ok(voters) if voters == [own] => Seen::Ready(()),
            Ok(voters) => Seen::NotYet(format!("the voters are {}", voters.join(", "))),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })?;
    agent::wait_for(lab, voter, "the voter", SETTLE, agent::Status::is_voter)?;
    agent::spare(lab, voter.peer(), SETTLE)?;
    let after = writer.wait_after(SystemTime::now(), SETTLE)?;
    eprintln!(
        "{} took a write {} after the kill",
        after.by,
        progress::seconds(killed.elapsed().unwrap_or_default())
    );
    stage.acks.extend(writer.stop());
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

/// Before anybody can have noticed: the newest log is the survivor's own, and no longer the volume's.
fn cut_at_once(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let survivor = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "behind");
    writer.wait_count(50, Duration::from_secs(120))?;
    handed_over(lab, voter)?;
    let handed = SystemTime::now();
    let alone = writer.wait_after(handed, Duration::from_secs(60))?;
    let dead = lab.cut(voter)?;
    eprintln!(
        "{} took {} after the handover; the power of {voter} was cut {} later",
        alone.by,
        alone.key,
        progress::seconds(dead.duration_since(alone.acked).unwrap_or_default())
    );
    let taken_over = agent::wait_for(lab, survivor, "the voter", SETTLE, agent::Status::is_voter);
    let first = taken_over.and_then(|_| writer.wait_after(SystemTime::now(), SETTLE));
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let first = first?;
    ensure!(first.by == survivor, "{} took the first write", first.by);
    link::dead_before_answer(lab, survivor, handed)?;
    return_as_spare::switch_on(lab, voter)?;
    super::whole_again(lab, survivor, &before, 1)?;
    stage.check_writes()
}

/// The plain kill, until the process has ended: the role is the spare's then.
fn handed_over(lab: &Lab, voter: Node) -> Result<()> {
    let pid = service::pid(lab, voter, service::DATASTORE)?;
    lab.sh(
        voter,
        &format!("kill {pid}; n=0; while [ -e /proc/{pid} ]; do n=$((n + 1)); [ $n -lt 600 ]; sleep 0.05; done"),
        COMMAND,
    )?;
    let said = lab.sh(
        voter,
        &format!("journalctl -b -q --no-pager -o cat _PID={pid}"),
        COMMAND,
    )?;
    ensure!(
        said.contains("handing over dqlite leadership"),
        "k8s-dqlite has ended without a handover: {said}"
    );
    Ok(())
}
