//! The demonstration: the primary loses its power under a stream of writes, and the survivor serves
//! every acknowledged one.

pub mod http;
pub mod timeline;
pub mod writer;

use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use anyhow::{Result, bail};
use std::time::{Duration, Instant, SystemTime};
use timeline::epoch;
use writer::{Ack, Writer};

/// Acknowledged writes before the cut.
const BEFORE: usize = 200;

/// Acknowledged writes after the failover, to show that the survivor goes on.
const AFTER: usize = 20;

/// From the cut to the first accepted write. Far above what it takes: a time-out, not a goal.
const FAILOVER_LIMIT: Duration = Duration::from_secs(420);

/// From then to the last word about it: the voter is confirmed after its first write at times.
const LAST_STEP: Duration = Duration::from_secs(60);

/// What one power cut did.
pub struct Outcome {
    /// The node that took over.
    pub survivor: Node,
    /// The moment of the cut.
    pub cut: SystemTime,
    /// Writes under way at the cut.
    pub in_flight: usize,
    /// All acknowledged writes.
    pub acks: Vec<Ack>,
    /// The first write that the survivor accepted.
    pub first: Ack,
    /// Keys of acknowledged writes that the survivor does not have.
    pub lost: Vec<String>,
}

/// Cuts the power of the voter under writes, waits for the survivor, reads everything back.
///
/// # Errors
/// When there is no voter, or the survivor does not serve in time.
pub fn fail_over(lab: &Lab) -> Result<Outcome> {
    let supervisor = lab.status()?.supervisor;
    let voter = agent::voter(lab, Duration::from_secs(120))?;
    let survivor = voter.peer();
    let now = SystemTime::now();
    let writer = Writer::start(supervisor, &format!("w{:x}", epoch(now) as u64));
    writer.wait_count(BEFORE, Duration::from_secs(180))?;
    let in_flight = in_flight(&writer)?;
    let cut = SystemTime::now();
    let dead = lab.cut(voter)?;
    eprintln!("the power of {voter}, the voter, is cut; {in_flight} writes are under way");
    // A write sent before the cut may be answered by nobody or by the dying node: neither shows the
    // survivor at work.
    let first = writer.wait_after(dead, FAILOVER_LIMIT)?;
    let more = writer.count() + AFTER;
    writer.wait_count(more, Duration::from_secs(120))?;
    let acks = writer.stop();
    let lost = writer::missing(supervisor, survivor, &acks)?;
    Ok(Outcome {
        survivor,
        cut,
        in_flight,
        acks,
        first,
        lost,
    })
}

/// Waits for a moment with writes under way: the interesting ones are those that a cut interrupts.
fn in_flight(writer: &Writer) -> Result<usize> {
    for _ in 0..10_000 {
        let now = writer.in_flight();
        if now > 0 {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    bail!("the writers stand still")
}

/// The steps of the failover. The last of them may come after the first write.
fn whole(lab: &Lab, outcome: &Outcome) -> Result<Vec<(&'static str, f64)>> {
    let until = Instant::now() + LAST_STEP;
    loop {
        let records = timeline::journal(lab, outcome.survivor, outcome.cut)?;
        let steps = timeline::steps(&records, outcome.cut);
        let missing = timeline::missing(&steps);
        if missing.is_empty() {
            return Ok(steps);
        }
        anyhow::ensure!(
            Instant::now() < until,
            "the survivor's journal has no word of: {}",
            missing.join(", ")
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Prints the timeline and the verdict; the exit code.
///
/// # Errors
/// When the survivor's journal cannot be read.
pub fn report(lab: &Lab, outcome: &Outcome) -> Result<i32> {
    let mut steps = whole(lab, outcome)?;
    steps.push(("first write accepted", epoch(outcome.first.acked)));
    anyhow::ensure!(
        outcome.first.by == outcome.survivor,
        "a dead node acknowledged a write"
    );
    // Clocks are one, but records are not written in order.
    steps.sort_by(|a, b| a.1.total_cmp(&b.1));
    let cut = epoch(outcome.cut);
    let mut last = cut;
    println!("\n{:>8}  {:>8}", "since", "step");
    println!("{:>8}  {:>8}", "the cut", "took");
    println!(
        "{:8.2}  {:8.2}  power cut, {} writes under way",
        0.0, 0.0, outcome.in_flight
    );
    for (name, at) in steps {
        println!("{:8.2}  {:8.2}  {name}", at - cut, at - last);
        last = at;
    }
    let acknowledged = outcome.acks.len();
    let lost = outcome.lost.len();
    for key in outcome.lost.iter().take(20) {
        println!("LOST: {key}");
    }
    println!(
        "\nacknowledged {acknowledged}, surviving {}, lost {lost}, failover {:.1} s",
        acknowledged - lost,
        epoch(outcome.first.acked) - cut
    );
    Ok(i32::from(lost > 0 || acknowledged < BEFORE))
}
