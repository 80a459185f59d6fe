//! The primary dies under a stream of writes.

use super::{Scenario, Stage};
use crate::demo;
use anyhow::{Result, ensure};

pub const SCENARIO: Scenario = Scenario {
    name: "power-cut",
    proves: "after a power cut of the primary under writes the survivor has every acknowledged write",
    run,
};

fn run(stage: &mut Stage) -> Result<()> {
    let outcome = demo::fail_over(&stage.lab)?;
    demo::report(&stage.lab, &outcome)?;
    ensure!(
        outcome.lost.is_empty(),
        "{} acknowledged writes are lost",
        outcome.lost.len()
    );
    ensure!(outcome.in_flight > 0, "no write was under way at the cut");
    let fenced = stage
        .lab
        .status()?
        .fencings
        .last()
        .map(|f| f.target.clone());
    ensure!(
        fenced.as_deref() == Some(outcome.survivor.peer().name()),
        "the survivor went on without fencing its peer: {fenced:?}"
    );
    stage.acks.extend(outcome.acks);
    // Leaves the cluster whole for whoever comes next; how it gets there is the next scenario's.
    super::return_as_spare::switch_on(&stage.lab, outcome.survivor.peer())?;
    Ok(())
}
