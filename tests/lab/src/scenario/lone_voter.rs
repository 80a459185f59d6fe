//! The voter's node is dead, and what is sent to it is answered by nobody, not even by its router; or
//! its clock was ahead when it died. Programs that ask each member in turn wait for it.

use super::{COMMAND, SETTLE, Scenario, Stage, link, ports, return_as_spare, service};
use crate::agent;
use crate::client::Lab;
use crate::cluster::{LINKS, Node};
use crate::demo::writer::Writer;
use crate::progress;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant, SystemTime};

pub const SCENARIO: Scenario = Scenario {
    name: "lone-voter",
    proves: "a lone voter is confirmed in seconds by its own datastore: the dead one's packets dropped, its clock ahead, the agent started anew",
    run,
};

/// From the first accepted write, or the start of the agent, to a confirmed voter. A confirmation that
/// needs the dead node's answer gives up after 93 s.
const BOUND: Duration = Duration::from_secs(60);

/// How the dead voter makes it hard for the survivor.
#[derive(Clone, Copy)]
struct Hardship {
    /// Packets to it are sent, and dropped: no ARP says that there is nobody.
    dropped: bool,
    /// Its clock was five minutes ahead.
    ahead: bool,
    name: &'static str,
}

fn run(stage: &mut Stage) -> Result<()> {
    let both = Hardship {
        dropped: true,
        ahead: true,
        name: "both",
    };
    if stage.length.choose(0, 1) == 1 {
        for alone in [
            Hardship {
                ahead: false,
                name: "dropped",
                ..both
            },
            Hardship {
                dropped: false,
                name: "ahead",
                ..both
            },
        ] {
            dies(stage, alone)?;
        }
    }
    dies(stage, both)
}

fn dies(stage: &mut Stage, hardship: Hardship) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let survivor = voter.peer();
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, hardship.name);
    writer.wait_count(20, Duration::from_secs(120))?;
    if hardship.ahead {
        lab.sh(voter, "date --set=@$(($(date +%s) + 300))", COMMAND)?;
        // k8sd stamps its members every 10 s: at least one stamp has to lie in the future.
        progress::step("leaving the voter's clock five minutes ahead", || {
            std::thread::sleep(Duration::from_secs(15));
            Ok(())
        })?;
    }
    if hardship.dropped {
        neighbours(lab, survivor, voter, true)?;
    }
    let dead = lab.cut(voter)?;
    let confirmed = confirmed(lab, survivor, &writer, dead);
    // What comes next would wait for the dead as well.
    let answered = if hardship.dropped {
        neighbours(lab, survivor, voter, false)
    } else {
        Ok(())
    };
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    confirmed?;
    answered?;
    return_as_spare::switch_on(lab, voter)?;
    super::whole_again(lab, survivor, &before, 1)?;
    ports::open(lab, survivor)?;
    stage.check_writes()
}

fn confirmed(lab: &Lab, survivor: Node, writer: &Writer, dead: SystemTime) -> Result<()> {
    let first = writer.wait_after(dead, SETTLE)?;
    ensure!(first.by == survivor, "{} took the first write", first.by);
    soon_the_voter(lab, survivor, "the first write")?;
    link::dead_before_answer(lab, survivor, dead)?;
    ports::refused(lab, survivor)?;
    let failed = lab.run(survivor, &["crm_mon", "-1", "--output-as=xml"], COMMAND)?;
    let failed = failed
        .lines()
        .find(|line| line.contains("<failure ") && line.contains("ha_k8s_failover_service"));
    ensure!(
        failed.is_none(),
        "the voter was confirmed only after a failure: {}",
        failed.unwrap_or_default().trim()
    );
    lab.run(survivor, &["systemctl", "restart", service::AGENT], COMMAND)?;
    soon_the_voter(lab, survivor, "the agent's start")?;
    // The one that ended has taken its rules away; this one has asked Pacemaker.
    ports::refused(lab, survivor)?;
    let again = writer.wait_after(SystemTime::now(), Duration::from_secs(60))?;
    ensure!(again.by == survivor, "{} took a write", again.by);
    Ok(())
}

fn soon_the_voter(lab: &Lab, node: Node, since: &str) -> Result<()> {
    let start = Instant::now();
    agent::wait_for(lab, node, "the voter", BOUND, agent::Status::is_voter)?;
    eprintln!(
        "{node} was confirmed {} after {since}",
        progress::seconds(start.elapsed())
    );
    Ok(())
}

/// Whether the node knows where to send what is for the other, whoever is there.
///
/// # Errors
/// When the node's kernel refuses.
pub fn neighbours(lab: &Lab, node: Node, other: Node, known: bool) -> Result<()> {
    for (link, net) in LINKS.iter().enumerate() {
        let number = other.number();
        let address = format!("{net}.{number} dev vec{link}");
        let script = if known {
            // The address that the supervisor gives its interface.
            format!(
                "ip neigh replace {address} lladdr 02:00:00:00:{link:02x}:{number:02x} nud permanent"
            )
        } else {
            format!("ip neigh del {address}")
        };
        lab.sh(node, &script, COMMAND)?;
    }
    Ok(())
}
