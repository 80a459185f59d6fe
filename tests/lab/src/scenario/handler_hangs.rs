//! Pacemaker's tools hang, or refuse, while a fence handler needs them and the database's I/O stands
//! still.

use super::{COMMAND, SETTLE, Scenario, Stage, link};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

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

/// The handlers read the configuration at each call.
const DEADLINE: &str = "\n[hooks]\nfence_peer_deadline = \"10s\"\n";

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let before = lab.status()?;
    let configuration = lab
        .read(voter, "/etc/two-node-ha.toml")?
        .unwrap_or_default();
    lab.write(
        voter,
        "/etc/two-node-ha.toml",
        format!("{configuration}{DEADLINE}").as_bytes(),
    )?;
    let writer = Writer::start(before.supervisor, "hangs");
    writer.wait_count(20, Duration::from_secs(120))?;
    let mut result = Ok(());
    for (what, body) in TROUBLES {
        result = trouble(lab, voter, what, body).and_then(|()| {
            // DRBD lets the I/O go on when the peer is back, whatever the handler could not say.
            writer.wait_after(SystemTime::now(), SETTLE).map(drop)
        });
        if result.is_err() {
            break;
        }
    }
    lab.write(voter, "/etc/two-node-ha.toml", configuration.as_bytes())?;
    result?;
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
        ["deadline", "undecided", "no-cluster"].contains(&said.as_str()),
        "a cibadmin that {what}: the handler has claimed something: {said}"
    );
    Ok(())
}
