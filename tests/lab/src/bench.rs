//! Our fence handlers against drbd-utils', on a running cluster, in turns in one run.
//!
//! DRBD's link is cut, Corosync's is not, and the handlers are called as drbdadm calls them. The
//! constraint is taken away, or put there, before each call. How many processes each starts,
//! tests/bench/fence counts.

use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::scenario::{SETTLE, link};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

const RUNS: u32 = 7;

/// Prints, for `$1` = "fence" or "unfence" and `$2` = "none" or "placed", the microseconds of a
/// call of ours and of theirs, each with its exit code, `$3` times.
const SCRIPT: &str = r##"
peer=$4
id=drbd-fence-by-handler-r0-drbd_master_slave
lift() { cibadmin -D -X "<rsc_location id=\"$id\"/>" >/dev/null 2>&1 || true; }
place() {
    cibadmin -C -o constraints -X "<rsc_location rsc=\"drbd_master_slave\" id=\"$id\">
        <rule role=\"Promoted\" score=\"-INFINITY\" id=\"drbd-fence-by-handler-r0-rule-drbd_master_slave\">
        <expression attribute=\"#uname\" operation=\"ne\" value=\"$(uname -n)\" type=\"string\"
            id=\"drbd-fence-by-handler-r0-expr-29-drbd_master_slave\"/></rule></rsc_location>" >/dev/null
}
call() {
    lift
    [ "$what" = none ] || place
    began=${EPOCHREALTIME/./}
    code=0
    env -i HOME=/ TERM=linux PATH=/sbin:/usr/sbin:/bin:/usr/bin DRBD_RESOURCE=r0 DRBD_CONF=/etc/drbd.conf \
        DRBD_PEER="$peer" DRBD_PEERS="$peer" DRBD_MINOR=0 DRBD_VOLUME=0 DRBD_LL_DISK=/dev/lodrbd \
        "$@" >/dev/null 2>&1 || code=$?
    echo "$who $((${EPOCHREALTIME/./} - began)) $code"
}
handler=$1 what=$2
for run in $(seq "$3"); do
    who=ours call /usr/sbin/two-node-ha-hook "$handler-peer" r0
    who=theirs call "/usr/lib/drbd/crm-$handler-peer.sh"
done
lift
"##;

/// Measures on a settled lab and prints a table.
///
/// # Errors
/// When a handler does not do its work, so that its time means nothing.
pub fn run(lab: &Lab) -> Result<()> {
    let voter = agent::voter(lab, SETTLE)?;
    link::cut(lab, voter.peer())?;
    crate::wait::until("DRBD to see that its link is cut", SETTLE, || {
        let found = link::constraints(lab, voter)?;
        Ok(match found.contains(voter.name()) {
            true => crate::wait::Seen::Ready(()),
            false => crate::wait::Seen::NotYet(found),
        })
    })?;
    let placed = measure(
        lab,
        voter,
        "peer alive, constraint to place",
        "fence",
        "none",
        4,
    )
    .and_then(|()| {
        measure(
            lab,
            voter,
            "peer alive, constraint there",
            "fence",
            "placed",
            4,
        )
    });
    link::heal(lab, voter.peer())?;
    placed?;
    crate::scenario::in_sync(lab, voter)?;
    measure(
        lab,
        voter,
        "unfence, constraint there",
        "unfence",
        "placed",
        0,
    )?;
    measure(lab, voter, "unfence, nothing there", "unfence", "none", 0)
}

fn measure(
    lab: &Lab,
    voter: Node,
    case: &str,
    handler: &str,
    what: &str,
    expected: i32,
) -> Result<()> {
    let runs = RUNS.to_string();
    let argv = [
        "bash",
        "-euc",
        SCRIPT,
        "bash",
        handler,
        what,
        &runs,
        voter.peer().name(),
    ];
    let printed = lab.run(voter, &argv, Duration::from_secs(600))?;
    let mut medians = Vec::new();
    for who in ["ours", "theirs"] {
        let mut times = Vec::new();
        for line in printed.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, time, code] = words[..] else {
                continue;
            };
            if name == who {
                ensure!(
                    code.parse() == Ok(expected),
                    "{case}: {who} answered {code} and not {expected}"
                );
                times.push(time.parse::<f64>().context("a time")? / 1000.0);
            }
        }
        times.sort_by(f64::total_cmp);
        let median = *times.get(times.len() / 2).context("no run")?;
        println!("{case:<34} {who:<7} {median:>9.1} ms");
        medians.push(median);
    }
    println!("{case:<34} ratio   {:>9.2}", medians[0] / medians[1]);
    Ok(())
}
