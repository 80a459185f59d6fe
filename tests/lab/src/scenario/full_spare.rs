//! The spare cannot write a byte onto its own disk when it is to take over.

use super::{COMMAND, SETTLE, Scenario, Stage, full_disk, link, return_as_spare};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::{Ack, Writer};
use crate::members;
use crate::progress;
use crate::trouble;
use crate::wait::{self, Seen};
use anyhow::Result;
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "full-spare",
    proves: "a spare whose / is full or read-only when the voter dies is no loss: both nodes serve again once its disk is mended",
    run,
};

/// Until somebody serves, where both nodes may have to boot for it.
const LIMIT: Duration = Duration::from_secs(600);

/// What ails the spare's /.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ailment {
    Full,
    ReadOnly,
}

fn run(stage: &mut Stage) -> Result<()> {
    voter_dies(stage, Ailment::ReadOnly)?;
    voter_dies(stage, Ailment::Full)
}

/// The spare's disk takes nothing, and the voter's node loses its power. Corosync ends there with the
/// next change of the membership, which it could not store: then nobody is left to fence anybody, and
/// somebody has to come. Where Corosync could store it, the spare's agent cannot note what it is about to
/// do, says so, and leaves the role to the other node, which boots after its fencing. Nothing is lost
/// either way.
fn voter_dies(stage: &mut Stage, ailment: Ailment) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let spare = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, &format!("spare-{ailment:?}"));
    writer.wait_count(20, Duration::from_secs(120))?;
    match ailment {
        Ailment::Full => {
            trouble::fill(lab, spare, "/").and_then(|()| full_disk::keep_full(lab, spare))?;
        }
        Ailment::ReadOnly => full_disk::make_read_only(lab, spare)?,
    }
    // The replica lies in a file on the same disk, so that the very write that tells DRBD of its loss is on
    // the voter's disk alone. That the voter dies in that moment is another matter: two disks at once.
    writer.wait_count(writer.count() + 50, SETTLE)?;
    let replica = lab.read(voter, "/proc/drbd")?.unwrap_or_default();
    let replica = replica.lines().find(|line| line.contains("cs:"));
    eprintln!("{voter}: {}", replica.unwrap_or("no device").trim());
    lab.auto_boot(true)?;
    let dead = lab.cut(voter)?;
    let end = end(lab, spare, &writer, dead)?;
    lab.auto_boot(false)?;
    tell(&end, dead);
    mend(lab, ailment, spare, &end)?;
    let first = writer.wait_after(dead, SETTLE);
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    tell(&End::Served(first?), dead);
    members::united(lab, SETTLE)?;
    lab.sh(spare, "crm_resource --cleanup", COMMAND)?;
    let now = agent::voter(lab, SETTLE)?;
    agent::spare(lab, now.peer(), SETTLE)?;
    return_as_spare::in_sync(lab, now)?;
    link::none_left(lab, now)?;
    stage.check_writes()
}

/// What comes of it.
enum End {
    /// A write was accepted.
    Served(Ack),
    /// The spare has no cluster any more.
    NoCorosync,
}

/// What comes of it, and what the agent that cannot write a byte says until then.
fn end(lab: &Lab, spare: Node, writer: &Writer, dead: SystemTime) -> Result<End> {
    let mut said = String::new();
    wait::until("the first accepted write", LIMIT, || {
        if let Some(first) = writer.first_after(dead) {
            return Ok(Seen::Ready(End::Served(first)));
        }
        // It may be fenced as well.
        let now = agent::status(lab, spare).map_or_else(|e| format!("{e:#}"), |s| s.words());
        if now != said {
            eprintln!("{spare}: {now}");
            said.clone_from(&now);
        }
        let corosync = ["systemctl", "is-failed", "--quiet", "corosync"];
        Ok(match lab.try_run(spare, &corosync, COMMAND) {
            Ok(output) if output.code == 0 => Seen::Ready(End::NoCorosync),
            Ok(_) | Err(_) => Seen::NotYet(now),
        })
    })
}

fn tell(end: &End, dead: SystemTime) {
    match end {
        End::Served(first) => eprintln!(
            "{} took a write {} after the cut",
            first.by,
            progress::seconds(first.acked.duration_since(dead).unwrap_or_default())
        ),
        End::NoCorosync => eprintln!(
            "Corosync on the spare has ended {} after the cut, since it cannot store its ring id",
            progress::seconds(dead.elapsed().unwrap_or_default())
        ),
    }
}

/// What somebody would do who has come for it.
fn mend(lab: &Lab, ailment: Ailment, spare: Node, end: &End) -> Result<()> {
    let voter = spare.peer();
    match (ailment, end) {
        (Ailment::Full, End::Served(_)) => {
            return_as_spare::switch_on(lab, spare)?;
            full_disk::empty(lab, spare)?;
        }
        (Ailment::Full, End::NoCorosync) => {
            full_disk::empty(lab, spare)?;
            lab.sh(spare, "systemctl restart corosync pacemaker", SETTLE)?;
        }
        // Only a reboot makes it writable again.
        (Ailment::ReadOnly, End::Served(first)) => {
            if first.by == spare {
                return_as_spare::switch_on(lab, voter)?;
                agent::spare(lab, voter, SETTLE)?;
                return_as_spare::in_sync(lab, spare)?;
            }
            full_disk::cut_until_fenced(lab, spare)?;
            agent::wait_for(lab, voter, "the voter", SETTLE, agent::Status::is_voter)?;
            return_as_spare::switch_on(lab, spare)?;
        }
        (Ailment::ReadOnly, End::NoCorosync) => {
            lab.cut(spare)?;
            return_as_spare::switch_on(lab, spare)?;
        }
    }
    return_as_spare::switch_on(lab, voter)
}
