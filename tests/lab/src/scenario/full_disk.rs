//! The voter cannot write a byte onto its own disk, and has to be left.

use super::{COMMAND, SETTLE, Scenario, Stage, return_as_spare};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use crate::progress;
use crate::trouble;
use crate::wait::{self, Seen};
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "full-disk",
    proves: "a voter whose / is full is left by a planned move, one whose / is read-only by a power cut, and nothing is lost",
    run,
};

/// The unit and the file that keep / full.
const FULL: &str = "two-node-ha-lab-full.service";

fn run(stage: &mut Stage) -> Result<()> {
    full(stage)?;
    if stage.length.choose(0, 1) == 1 {
        read_only(stage, Leave::Move)?;
    }
    read_only(stage, Leave::PowerCut)
}

/// How a voter is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    Move,
    PowerCut,
}

fn full(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let to = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "full");
    writer.wait_count(20, Duration::from_secs(120))?;
    trouble::fill(lab, voter, "/")?;
    let moved = keep_full(lab, voter).and_then(|()| moved(lab, to, &writer));
    let emptied = empty(lab, voter);
    moved?;
    let fenced = &lab.status()?.fencings[before.fencings.len()..];
    ensure!(
        fenced.is_empty(),
        "{voter}, which was full, could not be left and was fenced: {fenced:?}"
    );
    emptied?;
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    super::whole_again(lab, to, &before, 0)?;
    stage.check_writes()
}

/// Takes each block that becomes free: whoever replaces a file, and journald when it is told that the
/// disk is full, gives some back.
pub(super) fn keep_full(lab: &Lab, node: Node) -> Result<()> {
    let script = format!(
        "while :; do dd if=/dev/zero of=/{FULL} oflag=append conv=notrunc bs=4096; sleep 0.1; done 2>/dev/null"
    );
    let unit = format!("--unit={FULL}");
    lab.run(
        node,
        &["systemd-run", "--collect", &unit, "sh", "-c", &script],
        COMMAND,
    )?;
    let write = "dd if=/dev/zero of=/var/lib/two-node-ha/x bs=4096 count=1 2>&1
        rm -f /var/lib/two-node-ha/x";
    wait::quietly("the last block of / to be taken", COMMAND, || {
        let said = lab.try_run(node, &["sh", "-c", write], COMMAND)?.out;
        Ok(if said.contains("No space left") {
            Seen::Ready(())
        } else {
            Seen::NotYet(said)
        })
    })
}

/// Ends it, and what filled / before.
pub(super) fn empty(lab: &Lab, node: Node) -> Result<()> {
    lab.run(node, &["systemctl", "stop", FULL], COMMAND)?;
    lab.run(node, &["rm", "-f", &format!("/{FULL}")], COMMAND)?;
    trouble::unfill(lab, node, "/")
}

fn read_only(stage: &mut Stage, leave: Leave) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let to = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "readonly");
    writer.wait_count(20, Duration::from_secs(120))?;
    make_read_only(lab, voter)?;
    let left = match leave {
        Leave::Move => moved(lab, to, &writer),
        Leave::PowerCut => lab
            .cut(voter)
            .and_then(|dead| writer.wait_after(dead, SETTLE).map(drop)),
    };
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    left?;
    if leave == Leave::Move {
        // Only a reboot makes it writable again.
        cut_until_fenced(lab, voter)?;
    }
    agent::wait_for(lab, to, "the voter", SETTLE, agent::Status::is_voter)?;
    return_as_spare::switch_on(lab, voter)?;
    agent::spare(lab, voter, SETTLE)?;
    return_as_spare::in_sync(lab, to)?;
    stage.check_writes()
}

/// What ext4 does by itself when it meets an error: nobody remounts a / that is being written.
pub(super) fn make_read_only(lab: &Lab, node: Node) -> Result<()> {
    let refused = lab.sh(
        node,
        "mount -o remount,errors=remount-ro /
        echo two-node-ha-lab >/sys/fs/ext4/ubda/trigger_fs_error
        ! touch /var/lib/two-node-ha/written 2>&1",
        COMMAND,
    )?;
    ensure!(refused.contains("Read-only"), "/ can be written: {refused}");
    Ok(())
}

/// The spare's power is cut. Nobody waits for it, so that it could be on again before it is fenced.
pub(super) fn cut_until_fenced(lab: &Lab, spare: Node) -> Result<()> {
    let before = lab.status()?.fencings.len();
    lab.cut(spare)?;
    wait::until(&format!("{spare} to be fenced"), SETTLE, || {
        let fencings = lab.status()?.fencings;
        Ok(if fencings.len() > before {
            Seen::Ready(())
        } else {
            Seen::NotYet("nobody was".to_owned())
        })
    })
}

fn moved(lab: &Lab, to: Node, writer: &Writer) -> Result<()> {
    progress::step(&format!("moving the voter to {to}"), || {
        lab.run(to, &["two-node-ha", "move", to.name()], SETTLE)
            .map(drop)
    })?;
    agent::wait_for(lab, to, "the voter", SETTLE, agent::Status::is_voter)?;
    writer.wait_after(SystemTime::now(), SETTLE).map(drop)
}
