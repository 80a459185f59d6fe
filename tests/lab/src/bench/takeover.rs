//! From what makes the other node take over to the first write that it accepts, and back to two nodes.

use super::fill::Filler;
use super::sampler::{self, Samples};
use super::table::{self, Measure, Table};
use super::{Case, Order, Recovery};
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::demo::timeline::{Record, epoch, first, journal};
use crate::demo::writer::{Writer, longest_gap};
use crate::scenario::{COMMAND, SETTLE, Stage, in_sync, neighbours, service, switch_on};
use crate::{agent, demo, progress};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, SystemTime};

const CONFIG: &str = "/etc/two-node-ha.toml";

/// The unit with which Pacemaker gives and takes the voter role.
const FAILOVER: &str = "two-node-ha-k8s-failover.service";

/// A start of the agent, which ends once it has looked around.
const RESTART: Duration = Duration::from_secs(180);

/// Corosync's consensus where it is not configured, as a multiple of the token.
const USUAL_CONSENSUS: f64 = 1.2;

/// Measures all that is asked for on a settled lab, and prints a table for each size.
///
/// # Errors
/// When something is lost, or is not there. What was measured until then is printed.
pub fn run(stage: &mut Stage, order: &Order) -> Result<()> {
    let configuration = stage
        .lab
        .read(Node::One, CONFIG)?
        .context("haone has no configuration")?;
    let mut filler = Filler::default();
    for mb in order.sizes() {
        filler.fill(&stage.lab, mb)?;
        let mut table = Table::default();
        let measured = order.recoveries().into_iter().try_for_each(|recovery| {
            configure(stage, &configuration, recovery)?;
            order.cases().into_iter().try_for_each(|case| {
                let name = format!("{}, {mb} MB, {}", case.name(), recovery.name());
                let found = progress::step(&name, || take_over(stage, case))?;
                // The table comes at the end, and only then.
                eprintln!("{name}: {}", table::words(&found));
                table.add(case, recovery, &found);
                anyhow::Ok(())
            })
        });
        println!("{}", table.lines(mb));
        println!("{}", machine());
        measured?;
    }
    Ok(())
}

/// What the numbers were measured on.
fn machine() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().take(3).collect::<Vec<_>>();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "on {cores} processors, with a load of {} (1, 5 and 15 minutes)",
        load.join(", ")
    )
}

/// Lets both agents recover databases this way.
fn configure(stage: &mut Stage, configuration: &str, recovery: Recovery) -> Result<()> {
    let name = recovery.name();
    progress::step(&format!("setting recovery = {name:?}"), || {
        ensure!(
            !configuration.contains("[k8s]"),
            "the lab's configuration has a [k8s] of its own"
        );
        let text = format!("{configuration}\n[k8s]\nrecovery = {name:?}\n");
        NODES.into_iter().try_for_each(|node| {
            stage.lab.write(node, CONFIG, text.as_bytes())?;
            let script = "two-node-ha check && systemctl daemon-reload && \
                          systemctl restart two-node-ha-k8s";
            stage.lab.sh(node, script, RESTART).map(drop)
        })?;
        stage.settle()
    })
}

fn take_over(stage: &mut Stage, case: Case) -> Result<Vec<(Measure, f64)>> {
    let voter = agent::voter(&stage.lab, SETTLE)?;
    agent::spare(&stage.lab, voter.peer(), SETTLE)?;
    in_sync(&stage.lab, voter)?;
    match case {
        Case::Move => moved(stage, voter),
        Case::Cut => cut(stage, voter, false),
        Case::Dropped => cut(stage, voter, true),
    }
}

fn moved(stage: &mut Stage, from: Node) -> Result<Vec<(Measure, f64)>> {
    let lab = &stage.lab;
    let to = from.peer();
    let began = SystemTime::now();
    let writer = Writer::start(lab.status()?.supervisor, &prefix(began));
    writer.wait_count(50, Duration::from_secs(120))?;
    let ordered = SystemTime::now();
    lab.run(to, &["two-node-ha", "move", to.name()], SETTLE)?;
    agent::wait_for(lab, to, "the voter", SETTLE, agent::Status::is_voter)?;
    let after = writer.wait_after(SystemTime::now(), SETTLE)?;
    ensure!(after.by == to, "{} took a write after the move", after.by);
    let acks = writer.stop();
    let (last, next) = longest_gap(&acks).context("there is no write before and after the move")?;
    let (last, next) = (epoch(last), epoch(next));
    stage.acks.extend(acks);
    let lab = &stage.lab;
    let records = journal(lab, to, ordered)?;
    let loading = loading(&records, mounted(&records, epoch(ordered))?)?;
    let stopping = unit_stopped(&journal(lab, from, ordered)?, epoch(ordered))
        .with_context(|| format!("the failover unit was not stopped on {from}"))?;
    let starting = first(&records, epoch(ordered), |r| {
        r.unit_is("Starting", FAILOVER)
    })
    .with_context(|| format!("the failover unit was not started on {to}"))?;
    agent::spare(lab, from, SETTLE)?;
    let mut found = vec![
        (Measure::Outage, next - last),
        (Measure::Loading, loading.loaded - loading.started),
        (Measure::Looking, loading.listens - loading.loaded),
        (
            Measure::OutageOfOurs,
            stopping + (next - starting) - loading.took(),
        ),
    ];
    found.extend(rejoined(lab, from, ordered)?);
    stage.check_writes()?;
    Ok(found)
}

fn cut(stage: &mut Stage, voter: Node, dropped: bool) -> Result<Vec<(Measure, f64)>> {
    let lab = &stage.lab;
    let survivor = voter.peer();
    if dropped {
        neighbours(lab, survivor, voter, true)?;
    }
    sampler::start(lab, survivor)?;
    let outcome = demo::fail_over(lab);
    let samples = sampler::stop(lab, survivor);
    // What comes next would wait for the dead as well.
    let answered = if dropped {
        neighbours(lab, survivor, voter, false)
    } else {
        Ok(())
    };
    let (outcome, samples) = (outcome?, samples?);
    answered?;
    ensure!(
        outcome.survivor == survivor && outcome.lost.is_empty(),
        "{} acknowledged writes are lost on {}",
        outcome.lost.len(),
        outcome.survivor
    );
    agent::wait_for(lab, survivor, "the voter", SETTLE, agent::Status::is_voter)?;
    let records = journal(lab, survivor, outcome.cut)?;
    let mut found = times(lab, &records, &outcome, &samples)?;
    let pid = service::pid(lab, survivor, service::AGENT)?;
    let status = lab.read(survivor, &format!("/proc/{pid}/status"))?;
    let peak = peak(&status.unwrap_or_default()).context("no VmHWM of the agent")?;
    found.push((Measure::Memory, peak));

    // User Mode Linux sometimes dies before its first program runs: that is nothing of ours, and an hour
    // of measuring is not to end with it.
    switch_on(lab, voter).or_else(|error| {
        eprintln!("{error:#}; once more");
        switch_on(lab, voter)
    })?;
    agent::spare(lab, voter, SETTLE)?;
    found.extend(rejoined(lab, voter, outcome.cut)?);
    stage.acks.extend(outcome.acks);
    stage.check_writes()?;
    Ok(found)
}

/// Of one power cut, by what the survivor and its datastore have said.
fn times(
    lab: &Lab,
    records: &[Record],
    outcome: &demo::Outcome,
    samples: &Samples,
) -> Result<Vec<(Measure, f64)>> {
    let (cut, written) = (epoch(outcome.cut), epoch(outcome.first.acked));
    let mounted = mounted(records, cut)?;
    let loading = loading(records, mounted)?;
    let corosync = lab.read(outcome.survivor, "/etc/corosync/corosync.conf")?;
    let patience = patience(&corosync.unwrap_or_default()).context("Corosync has no token")?;
    let fencing = fencing(records, cut).context("the journal has no fencing that succeeded")?;
    let (volume, disk) = samples
        .between(mounted, loading.started)
        .context("there are no samples of what was written")?;
    let of_ours = written - mounted - loading.took();
    Ok(vec![
        (Measure::Mounted, mounted - cut),
        (Measure::MountedOfOurs, mounted - cut - patience - fencing),
        (Measure::Write, written - mounted),
        (Measure::Loading, loading.loaded - loading.started),
        (Measure::Looking, loading.listens - loading.loaded),
        (Measure::WriteOfOurs, of_ours),
        (
            Measure::Reloading,
            reloading(records, (mounted, loading.started)),
        ),
        (Measure::OnVolume, volume as f64),
        (Measure::OnDisk, disk as f64),
    ])
}

/// The rejoin of a node since then, by its own journal and the bundle on the volume.
fn rejoined(lab: &Lab, node: Node, since: SystemTime) -> Result<[(Measure, f64); 2]> {
    let records = journal(lab, node, since)?;
    let took = rejoin(&records).with_context(|| format!("{node} has not said that it rejoined"))?;
    let bundle = lab.sh(
        node.peer(),
        "find /mnt/drbd0/.two-node-ha/bundle-* -type f -printf '%s\\n'",
        COMMAND,
    )?;
    let sizes = bundle.lines().map(str::parse::<f64>);
    let bundle: f64 = sizes.sum::<Result<f64, _>>()?;
    ensure!(bundle > 0.0, "{} keeps no bundle for {node}", node.peer());
    Ok([(Measure::Rejoin, took), (Measure::Bundle, bundle)])
}

/// Seconds from the step's beginning to its last word; of the last one, where the first failed.
fn rejoin(records: &[Record]) -> Option<f64> {
    let ended = records.iter().rfind(|r| {
        r.message
            .starts_with("this node is ready to be the spare of")
    })?;
    let began = records
        .iter()
        .rfind(|r| r.at <= ended.at && r.step.starts_with("Rejoin("))?;
    Some(ended.at - began.at)
}

fn mounted(records: &[Record], from: f64) -> Result<f64> {
    first(records, from, Record::mounted).context("the journal has no mount of the volume")
}

/// Seconds that the failover unit's first stop since then took.
fn unit_stopped(records: &[Record], from: f64) -> Option<f64> {
    let began = first(records, from, |r| r.unit_is("Stopping", FAILOVER))?;
    let ended = first(records, began, |r| r.unit_is("Stopped", FAILOVER))?;
    Some(ended - began)
}

/// Seconds between these two in which systemd read its units anew, by its own words.
fn reloading(records: &[Record], (from, to): (f64, f64)) -> f64 {
    let within = records.iter().filter(|r| r.at >= from && r.at <= to);
    within
        .filter(|r| r.by == "systemd")
        .filter_map(|r| r.message.strip_prefix("Reloading finished in "))
        .filter_map(|took| took.split(' ').next()?.parse::<f64>().ok())
        .fold(0.0, |sum, ms| sum + ms / 1000.0)
}

/// When k8s-dqlite's unit was started, had loaded the database, and listened.
struct Loading {
    started: f64,
    loaded: f64,
    listens: f64,
}

impl Loading {
    fn took(&self) -> f64 {
        self.listens - self.started
    }
}

fn loading(records: &[Record], mounted: f64) -> Result<Loading> {
    let started = first(records, mounted, Record::datastore_started)
        .context("k8s-dqlite was not started after the mount")?;
    let loaded = first(records, started, Record::datastore_loaded)
        .context("k8s-dqlite has not said that its engine runs")?;
    let listens = first(records, loaded, Record::datastore_listens)
        .context("k8s-dqlite has not said that it listens")?;
    Ok(Loading {
        started,
        loaded,
        listens,
    })
}

/// Seconds that Corosync waits before it believes that a node is gone.
fn patience(configuration: &str) -> Option<f64> {
    let value = |name: &str| {
        let mut lines = configuration.lines().map(str::trim);
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().parse::<f64>().ok()
    };
    let token = value("token")?;
    let consensus = value("consensus").unwrap_or(token * USUAL_CONSENSUS);
    Some((token + consensus) / 1000.0)
}

/// Seconds from the order to the fence agent, its configured delay in it, to its success.
fn fencing(records: &[Record], cut: f64) -> Option<f64> {
    // Pacemaker puts a record's severity before its words.
    let said = |r: &Record, words: [&str; 2]| {
        r.by == "pacemaker-fenced" && words.iter().all(|word| r.message.contains(word))
    };
    let ended = first(records, cut, |r| {
        said(r, ["Operation '", " targeting "]) && r.message.contains(" returned 0")
    })?;
    let ordered = records
        .iter()
        .rfind(|r| r.at <= ended && said(r, ["Requesting that ", " action targeting "]))?;
    Some(ended - ordered.at)
}

/// Bytes of memory that a process had at most, by its `/proc/PID/status`.
fn peak(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib = line.trim().strip_suffix(" kB")?;
    Some(kib.parse::<f64>().ok()? * 1024.0)
}

/// Keeps the keys of several writers apart.
fn prefix(now: SystemTime) -> String {
    format!("m{:x}", epoch(now) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: f64, by: &str, step: &str, message: &str) -> Record {
        Record {
            at,
            by: by.to_owned(),
            message: message.to_owned(),
            step: step.to_owned(),
        }
    }

    #[test]
    fn corosync_waits_for_token_and_consensus_whether_both_are_configured_or_one() {
        let both = "totem {\n    token: 10000\n    consensus: 2000\n}";
        assert_eq!(patience(both), Some(12.0));
        assert_eq!(patience("totem {\n\ttoken: 10000\n}"), Some(22.0));
        assert_eq!(patience("totem {\n  token_retransmits: 4\n}"), None);
    }

    #[test]
    fn a_fencing_is_timed_from_the_order_that_led_to_it_to_the_agents_success() {
        let fenced = |at, words: &str| {
            let message = format!(" notice: {words}");
            said(at, "pacemaker-fenced", "", &message)
        };
        let records = [
            fenced(
                1.0,
                "Requesting that hatwo perform 'reboot' action targeting haone",
            ),
            fenced(
                2.0,
                "Operation 'reboot' [4933] targeting haone using fence_haone returned 1",
            ),
            fenced(
                3.0,
                "Requesting that hatwo perform 'reboot' action targeting haone",
            ),
            fenced(
                4.5,
                "Operation 'reboot' [4940] targeting haone using fence_haone returned 0",
            ),
            fenced(
                5.0,
                "Operation 'reboot' targeting haone by hatwo for x@hatwo: OK (Done)",
            ),
        ];
        assert_eq!(fencing(&records, 0.0), Some(1.5));
        assert_eq!(fencing(&records[..2], 0.0), None);
    }

    #[test]
    fn the_stop_of_the_failover_unit_is_timed_by_systemds_own_words() {
        let systemd = |at, words: &str| said(at, "systemd", "", words);
        let records = [
            systemd(1.0, "Stopped two-node-ha-k8s-failover.service - of before."),
            systemd(2.0, "Stopping two-node-ha-k8s.service - Two-node HA..."),
            systemd(
                3.0,
                "Stopping two-node-ha-k8s-failover.service - The voter...",
            ),
            systemd(7.5, "Stopped two-node-ha-k8s-failover.service - The voter."),
        ];
        assert_eq!(unit_stopped(&records, 0.5), Some(4.5));
        assert_eq!(unit_stopped(&records[..3], 0.5), None);
    }

    #[test]
    fn systemds_reloads_are_counted_between_the_mount_and_the_start_of_the_datastore() {
        let records = [
            said(1.0, "systemd", "", "Reloading finished in 900 ms."),
            said(3.0, "systemd", "", "Reloading..."),
            said(5.5, "systemd", "", "Reloading finished in 2500 ms."),
            said(5.6, "sshd", "", "Reloading finished in 7 ms."),
            said(6.0, "systemd", "", "Reloading finished in 250 ms."),
            said(9.0, "systemd", "", "Reloading finished in 40 ms."),
        ];
        assert_eq!(reloading(&records, (2.0, 8.0)), 2.75);
        assert_eq!(reloading(&records, (7.0, 8.0)), 0.0);
    }

    #[test]
    fn a_rejoin_is_timed_by_the_attempt_that_succeeded() {
        let agent = |at, step, message| said(at, "two-node-ha", step, message);
        let records = [
            agent(1.0, "Rejoin(4)", "rejoin as the spare of epoch 4"),
            agent(2.0, "Rejoin(4)", "cannot rejoin as the spare of epoch 4"),
            agent(5.0, "Rejoin(4)", "rejoin as the spare of epoch 4"),
            agent(5.5, "", "this node is ready to be the spare of epoch 4"),
            agent(6.0, "StartServices", "start the k8s services"),
        ];
        assert_eq!(rejoin(&records), Some(0.5));
        assert_eq!(rejoin(&records[..3]), None);
    }

    #[test]
    fn the_peak_of_a_process_is_its_high_water_mark() {
        let status = "VmPeak:\t  999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(peak(status), Some(2048.0 * 1024.0));
        assert_eq!(peak("Name:\tzombie\n"), None);
    }
}
