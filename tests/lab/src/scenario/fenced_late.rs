//! The spare loses its power, no fence agent works, and fence-peer gives up before anybody knows that
//! the spare is down.

use super::{COMMAND, SETTLE, Scenario, Stage, fencing, link, return_as_spare};
use crate::agent;
use crate::demo::writer::Writer;
use crate::progress;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};
use two_node_ha_planner::State;

pub const SCENARIO: Scenario = Scenario {
    name: "fenced-late",
    proves: "a primary that fence-peer has left suspended says so, and goes on once its peer is known to be down",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let voter = agent::voter(&stage.lab, SETTLE)?;
    fencing::out_of_order(stage, voter, |stage| {
        let lab = &stage.lab;
        let spare = voter.peer();
        let before = lab.status()?;
        let writer = Writer::start(before.supervisor, "late");
        writer.wait_count(20, Duration::from_secs(120))?;
        let cut = lab.cut(spare)?;
        fencing::gave_up(lab, voter, cut)?;
        let suspended = agent::wait_for(lab, voter, "a suspended voter", SETTLE, |status| {
            status.warnings.iter().any(|w| w.contains("stands still"))
        })?;
        ensure!(
            !suspended.settled && suspended.state == State::PrimaryRunning,
            "{voter} is {} although its writes stand still",
            suspended.state
        );
        let confirm = format!("stonith_admin --confirm {spare}");
        ensure!(
            suspended.warnings.iter().any(|w| w.contains(&confirm)),
            "nobody is told what to type: {:?}",
            suspended.warnings
        );
        if let Some(ack) = writer.first_after(cut) {
            anyhow::bail!("{} was written while nobody knew of {spare}", ack.key);
        }
        // What the warning says to whoever has pulled the plug.
        lab.sh(voter, &confirm, COMMAND)?;
        let confirmed = SystemTime::now();
        let first = writer.wait_after(confirmed, SETTLE)?;
        let took = first.acked.duration_since(confirmed).unwrap_or_default();
        eprintln!(
            "writes went on {} after the word of a person",
            progress::seconds(took)
        );
        let said = link::answered(lab, voter, "fence-peer's second answer", confirmed)?;
        said.let_it_go_on(voter)?;
        ensure!(first.by == voter, "{} took the first write", first.by);
        agent::wait_for(lab, voter, "the voter", SETTLE, agent::Status::is_voter)?;
        let seconds = cut.elapsed().unwrap_or_default().as_secs() + 2;
        let log = format!(
            "journalctl --since=-{seconds}s -u two-node-ha-k8s -o cat --no-pager \
             | grep -c 'stands still: DRBD' || true"
        );
        let lines = lab.sh(voter, &log, COMMAND)?;
        ensure!(
            lines.trim() == "1",
            "the journal of the agent says {} times that writes stand still",
            lines.trim()
        );
        stage.acks.extend(writer.stop());
        let lab = &stage.lab;
        return_as_spare::switch_on(lab, spare)?;
        super::whole_again(lab, voter, &before, 0)?;
        stage.check_writes()
    })
}
