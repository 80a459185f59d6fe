//! Pacemaker's tools hang, or refuse, while a fence handler needs them and the database's I/O stands
//! still.

use super::return_as_spare::in_sync;
use super::{COMMAND, SETTLE, Scenario, Stage, hooks, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};
use two_node_ha_drbd::Decision;

pub const SCENARIO: Scenario = Scenario {
    name: "handler-hangs",
    proves: "a cibadmin that hangs or refuses does not hold up fence-peer beyond its deadline; nothing is claimed or lost",
    run,
};

/// In place of the program.
const TROUBLES: [(&str, &str); 2] = [
    ("hangs", "exec sleep 600"),
    (
        "refuses",
        "echo 'Could not connect to the CIB API' >&2; exit 102",
    ),
];

const DEADLINE: &str = "fence_peer_deadline = \"10s\"";

fn run(stage: &mut Stage) -> Result<()> {
    let voter = agent::voter(&stage.lab, SETTLE)?;
    let before = stage.lab.status()?;
    let writer = Writer::start(before.supervisor, "hangs");
    writer.wait_count(20, Duration::from_secs(120))?;
    hooks::with(stage, voter, DEADLINE, |stage| {
        TROUBLES.into_iter().try_for_each(|(what, body)| {
            // Writes go on before the link is back, where DRBD has asked once more and was answered; and a
            // link that is not there yet cannot be lost.
            in_sync(&stage.lab, voter)?;
            trouble(&stage.lab, voter, what, body)?;
            // DRBD lets the I/O go on when the peer is back, whatever the handler could not say.
            writer.wait_after(SystemTime::now(), SETTLE).map(drop)
        })
    })?;
    stage.acks.extend(writer.stop());
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.settle()
}

/// Cuts DRBD's link while the program is another one, until the handler has answered.
fn trouble(lab: &Lab, voter: Node, what: &str, body: &str) -> Result<()> {
    let replace = format!(
        "mv /usr/sbin/cibadmin /usr/sbin/cibadmin.real
         printf '#!/bin/sh\\n%s\\n' \"{body}\" >/usr/sbin/cibadmin
         chmod 755 /usr/sbin/cibadmin"
    );
    lab.sh(voter, &replace, COMMAND)?;
    // The agent may have had DRBD ask once more after the last trouble.
    let end = link::end_of_journal(lab, voter)?;
    let answered = link::cut(lab, voter.peer()).and_then(|()| {
        let what = format!("fence-peer to answer although cibadmin {what}");
        link::answered_behind(lab, voter, &what, &end)
    });
    lab.sh(
        voter,
        "mv /usr/sbin/cibadmin.real /usr/sbin/cibadmin",
        COMMAND,
    )?;
    link::heal(lab, voter.peer())?;
    let said = answered?.decision;
    ensure!(
        matches!(
            said,
            Decision::Deadline | Decision::Undecided | Decision::NoCluster
        ),
        "a cibadmin that {what}: the handler has claimed something: {said}"
    );
    Ok(())
}
