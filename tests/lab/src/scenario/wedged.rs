//! The voter's k8s-dqlite is there, holds its sockets, and does nothing any more.

use super::{SETTLE, Scenario, Stage, service};
use crate::agent;
use crate::demo::writer::Writer;
use crate::progress;
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "wedged",
    proves: "a voter's k8s-dqlite that is stopped and not dead is found by its reads; the voter serves again, and nothing is lost",
    run,
};

/// Three reads in vain, 10 s apart, the way down and up again on either node. Far above what it takes
/// on a machine that does nothing else.
const BOUND: Duration = Duration::from_secs(240);

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "wedged");
    writer.wait_count(20, Duration::from_secs(120))?;
    service::signal(lab, voter, service::DATASTORE, "STOP")?;
    let stopped = SystemTime::now();
    let first = writer.wait_after(stopped, BOUND);
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let first = match first {
        Ok(first) => first,
        Err(error) => {
            // For whoever goes on with this lab.
            let _ = service::signal(lab, voter, service::DATASTORE, "CONT");
            return Err(error);
        }
    };
    eprintln!(
        "writes stood still for {}",
        progress::seconds(first.acked.duration_since(stopped).unwrap_or_default())
    );
    let now = agent::voter(lab, SETTLE)?;
    // Killed on the way down, stopped as it was, so that nobody had to be fenced for it.
    super::whole_again(lab, now, &before, 0)?;
    ensure!(
        lab.status()?.nodes.iter().all(|node| node.on),
        "a node is off"
    );
    stage.check_writes()
}
