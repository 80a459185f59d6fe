//! DRBD's link alone, Corosync's apart.

use super::{COMMAND, SETTLE};
use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::wait::{self, Seen};
use anyhow::{Context, Result, ensure};
use std::time::{SystemTime, UNIX_EPOCH};
use two_node_ha_drbd::Decision;

/// In the node's kernel: what goes to and comes from DRBD's port is dropped, as by a pulled cable.
/// (Its nf_tables has no table for IP.)
pub const CUT: &str = "tc qdisc add dev vec0 clsact
    for way in ingress egress; do
        for port in sport dport; do
            tc filter add dev vec0 $way protocol ip u32 match ip protocol 6 0xff \
                match ip $port 7788 0xffff action drop
        done
    done";

/// Ends [`CUT`].
pub const HEAL: &str = "tc qdisc del dev vec0 clsact";

/// Cuts it.
///
/// # Errors
/// When the node's kernel refuses.
pub fn cut(lab: &Lab, node: Node) -> Result<()> {
    lab.sh(node, CUT, COMMAND).map(drop)
}

/// Ends [`cut`].
///
/// # Errors
/// When it is not cut.
pub fn heal(lab: &Lab, node: Node) -> Result<()> {
    lab.sh(node, HEAL, COMMAND).map(drop)
}

/// DRBD's defaults would take some ten seconds to see that the link is gone, and as many to try it
/// again.
const HASTE: &str = "timeout 10; ping-int 2; ping-timeout 5; connect-int 2;";

/// Runs it while DRBD sees within seconds that its link is gone, or back.
///
/// # Errors
/// When what is run fails, or DRBD does not take the options.
pub fn hastily<T>(lab: &Lab, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let options = |edit: String| {
        NODES.into_iter().try_for_each(|node| {
            let script = format!("sed -i '{edit}' /etc/drbd.d/r0.res && drbdadm adjust r0");
            lab.sh(node, &script, COMMAND).map(drop)
        })
    };
    options(format!("s/protocol C;/& {HASTE}/"))?;
    let result = run();
    options(format!("s/ {HASTE}//"))?;
    result
}

/// The constraints of DRBD's handlers, as XML.
///
/// # Errors
/// When there is no CIB to be read.
pub fn constraints(lab: &Lab, node: Node) -> Result<String> {
    lab.sh(
        node,
        "cibadmin -Q -o constraints | sed -n '/drbd-fence-by-handler/,/<.rsc_location>/p'",
        COMMAND,
    )
}

/// Waits until the last of them is gone.
///
/// # Errors
/// When one stays.
pub fn none_left(lab: &Lab, node: Node) -> Result<()> {
    wait::until("the last constraint to go", SETTLE, || {
        let found = constraints(lab, node)?;
        Ok(if found.trim().is_empty() {
            Seen::Ready(())
        } else {
            Seen::NotYet(found)
        })
    })
}

/// What fence-peer has answered.
pub struct Answered {
    /// Its decision.
    pub decision: Decision,
    /// Its exit code.
    pub code: String,
    /// When it said so, in seconds since 1970 by the node's clock.
    pub at: f64,
}

impl Answered {
    /// It has let the node go on since its peer is down: by the fencer's word, or, where that does not
    /// name a fencing that succeeded (yet), by the cluster's.
    ///
    /// # Errors
    /// When it has answered something else.
    pub fn let_it_go_on(&self, node: Node) -> Result<()> {
        ensure!(
            matches!(
                (&self.decision, self.code.as_str()),
                (Decision::Fenced, "7") | (Decision::Excluded, "4")
            ),
            "fence-peer on {node} has answered {} ({})",
            self.code,
            self.decision
        );
        Ok(())
    }
}

/// What fence-peer has answered since then, once it has.
///
/// # Errors
/// When it does not.
pub fn answered(lab: &Lab, node: Node, what: &str, since: SystemTime) -> Result<Answered> {
    last_answer(lab, node, what, || {
        let seconds = since.elapsed().unwrap_or_default().as_secs() + 2;
        format!("--since=-{seconds}s")
    })
}

/// All that fence-peer has said since then, for whoever has to understand a failure.
///
/// # Errors
/// When the node does not tell.
pub fn words(lab: &Lab, node: Node, since: SystemTime) -> Result<String> {
    let seconds = since.elapsed().unwrap_or_default().as_secs() + 2;
    let script =
        format!("journalctl --since=-{seconds}s -t two-node-ha-hook -o short-precise --no-pager");
    lab.sh(node, &script, COMMAND)
}

/// Where the node's journal ends.
///
/// # Errors
/// When the node does not tell.
pub fn end_of_journal(lab: &Lab, node: Node) -> Result<String> {
    let said = lab.run(node, &["journalctl", "-n0", "--show-cursor"], COMMAND)?;
    let (_, cursor) = said
        .split_once("cursor: ")
        .with_context(|| format!("no cursor: {said:?}"))?;
    Ok(cursor.trim().to_owned())
}

/// What fence-peer has answered behind that end of the journal, once it has: to the moment, where
/// [`answered`] may see a call shortly before.
///
/// # Errors
/// When it does not.
pub fn answered_behind(lab: &Lab, node: Node, what: &str, end: &str) -> Result<Answered> {
    last_answer(lab, node, what, || format!("--after-cursor='{end}'"))
}

fn last_answer(lab: &Lab, node: Node, what: &str, from: impl Fn() -> String) -> Result<Answered> {
    wait::until(what, SETTLE, || {
        let records = lab.sh(
            node,
            &format!(
                "journalctl -o json {} TWO_NODE_HA_HANDLER=fence-peer \
                 --output-fields=TWO_NODE_HA_DECISION,TWO_NODE_HA_EXIT_CODE",
                from()
            ),
            COMMAND,
        )?;
        let last = records
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|record| {
                let field = |name: &str| record[name].as_str().map(str::to_owned);
                Some(Answered {
                    decision: Decision::parse(&field("TWO_NODE_HA_DECISION")?),
                    code: field("TWO_NODE_HA_EXIT_CODE")?,
                    at: field("__REALTIME_TIMESTAMP")?.parse::<f64>().ok()? / 1e6,
                })
            })
            // One that is not needed any more was asked for a link that has come back since.
            .rfind(|answered| answered.decision != Decision::NotNeeded);
        Ok(last.map_or_else(
            || Seen::NotYet("it has said nothing".to_owned()),
            Seen::Ready,
        ))
    })
}

/// How far the node's clock is ahead of this machine's, at most.
///
/// # Errors
/// When the node does not tell.
pub fn clock_ahead(lab: &Lab, node: Node) -> Result<f64> {
    let mut ahead = f64::INFINITY;
    for _ in 0..3 {
        let before = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let there = lab.run(node, &["date", "+%s.%N"], COMMAND)?;
        ahead = ahead.min(there.trim().parse::<f64>().context("a time")? - before);
    }
    Ok(ahead)
}

/// The cluster has fenced this node's peer, and fence-peer has let the writes go on only once the
/// peer's kernel was dead.
///
/// # Errors
/// When it has not.
pub fn dead_before_answer(lab: &Lab, survivor: Node, since: SystemTime) -> Result<()> {
    let said = answered(lab, survivor, "fence-peer to answer", since)?;
    said.let_it_go_on(survivor)?;
    let fencings = lab.status()?.fencings;
    let fenced = fencings.last().context("no node was fenced")?;
    ensure!(
        fenced.target == survivor.peer().name(),
        "{} was fenced last",
        fenced.target
    );
    let (dead, told) = (
        fenced.at + fenced.took,
        said.at - clock_ahead(lab, survivor)?,
    );
    ensure!(
        told > dead,
        "fence-peer has answered {} {:.3} s before {} was dead",
        said.code,
        dead - told,
        fenced.target
    );
    eprintln!(
        "fence-peer answered {} {:.1} s after {} was dead",
        said.code,
        told - dead,
        fenced.target
    );
    Ok(())
}
