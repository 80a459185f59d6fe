//! Only DRBD's link is cut; Corosync's is not: both nodes are alive and know of each other.

use super::link::{self, CUT, HEAL};
use super::return_as_spare::in_sync;
use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::demo::writer::Writer;
use crate::progress;
use crate::wait::{self, Seen};
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};
use two_node_ha_drbd::Decision;

pub const SCENARIO: Scenario = Scenario {
    name: "link-flaps",
    proves: "without DRBD's link the primary writes on and the other is kept from promotion; flap after flap leaves no constraint",
    run,
};

/// In CI, and in a campaign.
const FLAPS: [u32; 2] = [10, 50];

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let spare = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "link");
    writer.wait_count(20, Duration::from_secs(120))?;

    link::cut(lab, spare)?;
    let since = SystemTime::now();
    wait::until("the constraint against the spare", SETTLE, || {
        let found = link::constraints(lab, voter)?;
        Ok(if found.contains(voter.name()) {
            Seen::Ready(())
        } else {
            Seen::NotYet("there is none".to_owned())
        })
    })?;
    writer.wait_after(SystemTime::now(), SETTLE)?;
    let moved = lab.try_run(spare, &["two-node-ha", "move", spare.name()], COMMAND)?;
    ensure!(
        moved.code != 0,
        "{spare} was to be promoted although it misses writes: {}",
        moved.out
    );
    let decision = link::answered(lab, voter, "fence-peer to answer", since)?.decision;
    ensure!(
        decision == Decision::Excluded,
        "fence-peer on {voter} has answered: {decision}"
    );
    link::heal(lab, spare)?;
    in_sync(lab, voter)?;
    link::none_left(lab, voter)?;

    let count = stage.length.choose(FLAPS[0], FLAPS[1]);
    progress::step(&format!("{count} flaps of DRBD's link"), || {
        flaps(lab, spare, count)
    })?;
    stage.acks.extend(writer.stop());
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

/// Cuts the link, waits until both have seen it, and then until the copies are equal again, each time
/// without a pause.
fn flaps(lab: &Lab, spare: Node, count: u32) -> Result<()> {
    let script = format!(
        "state() {{ grep -o 'cs:[A-Za-z]* ro:[^ ]* ds:[^ ]*' /proc/drbd; }}
        until_() {{
            n=0
            until state | grep -q \"$@\"; do
                n=$((n + 1))
                [ $n -lt 1200 ] || {{ echo \"flap $flap: waited for $*, and it is $(state)\" >&2; exit 1; }}
                sleep 0.05
            done
        }}
        for flap in $(seq {count}); do
            {CUT}
            until_ -v cs:Connected
            {HEAL}
            until_ 'cs:Connected .* ds:UpToDate/UpToDate'
        done"
    );
    link::hastily(lab, || {
        let result = lab.sh(spare, &script, Duration::from_secs(1200));
        // Where a flap has failed it may still be cut.
        let _ = lab.sh(spare, HEAL, COMMAND);
        result.map(drop)
    })
}
