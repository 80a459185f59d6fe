//! Our fence handlers against drbd-utils', on a running cluster, in turns in one run.
//!
//! DRBD's link is cut, Corosync's is not, and the handlers are called as drbdadm calls them. The
//! constraint is taken away, or put there as the handler itself writes it, before each call. With
//! the times goes how many processes and threads the node has started meanwhile, all of Pacemaker's
//! own in it; how many a handler starts by itself, tests/bench/fence counts.

use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::scenario::{COMMAND, SETTLE, in_sync, link};
use crate::wait::{self, Seen};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// How often each is called; but one that takes longer than this, once.
const RUNS: u32 = 7;
const SLOW: Duration = Duration::from_secs(30);

/// What drbdadm gives a handler, besides the peer. Given to the whole script, so that the time has no
/// `env` in it.
const ENVIRONMENT: [&str; 10] = [
    "env",
    "-i",
    "HOME=/",
    "TERM=linux",
    "PATH=/sbin:/usr/sbin:/bin:/usr/bin",
    "DRBD_RESOURCE=r0",
    "DRBD_CONF=/etc/drbd.conf",
    "DRBD_MINOR=0",
    "DRBD_VOLUME=0",
    "DRBD_LL_DISK=/dev/lodrbd",
];

/// One call. `$1` is "fence" or "unfence", `$2` "none" or "placed", `$3` "ours" or "theirs", `$4` the
/// peer. Prints the microseconds, the processes that were started, and the exit code.
const SCRIPT: &str = r##"
handler=$1 what=$2 who=$3
export DRBD_PEER=$4 DRBD_PEERS=$4
id=drbd-fence-by-handler-r0-drbd_master_slave
case $who in
ours) role=Promoted number='' command=(/usr/sbin/two-node-ha-hook "$handler-peer" r0) ;;
theirs) role=Master number=29- command=("/usr/lib/drbd/crm-$handler-peer.sh") ;;
esac
rule="<rsc_location rsc=\"drbd_master_slave\" id=\"$id\">
    <rule role=\"$role\" score=\"-INFINITY\" id=\"drbd-fence-by-handler-r0-rule-drbd_master_slave\">
    <expression attribute=\"#uname\" operation=\"ne\" value=\"$(uname -n)\"
        id=\"drbd-fence-by-handler-r0-expr-${number}drbd_master_slave\"/></rule></rsc_location>"
cibadmin -D -X "<rsc_location id=\"$id\"/>" >/dev/null 2>&1 || true
if [ "$what" = placed ]; then
    cibadmin -C -o constraints -X "$rule" >/dev/null
fi
# Until it is on the disk, too, and the controller has drawn its conclusions.
until [ "$(grep -c "id=\"$id\"" /var/lib/pacemaker/cib/cib.xml)" = "$([ "$what" = placed ] && echo 1 || echo 0)" ]; do
    sleep 0.05
done
crm_resource --wait --timeout 20 >/dev/null 2>&1 || true
started() { sed -n 's/^processes //p' /proc/stat; }
code=0
before=$(started)
began=${EPOCHREALTIME/./}
"${command[@]}" >/dev/null 2>&1 || code=$?
took=$((${EPOCHREALTIME/./} - began))
after=$(started)
# Without its own, and that of reading the number.
echo "$took $((after - before - 2)) $code"
"##;

/// What is measured.
struct Case {
    name: &'static str,
    handler: &'static str,
    what: &'static str,
    /// What ours has to answer. Theirs is told with its time.
    answer: i32,
}

const CUT: [Case; 2] = [
    Case {
        name: "peer alive, constraint to place",
        handler: "fence",
        what: "none",
        answer: 4,
    },
    Case {
        name: "peer alive, constraint there",
        handler: "fence",
        what: "placed",
        answer: 4,
    },
];
const WHOLE: [Case; 2] = [
    Case {
        name: "unfence, constraint there",
        handler: "unfence",
        what: "placed",
        answer: 0,
    },
    Case {
        name: "unfence, nothing there",
        handler: "unfence",
        what: "none",
        answer: 0,
    },
];

/// Measures on a settled lab, and prints it.
///
/// # Errors
/// When ours does not do its work, so that its time means nothing.
pub fn run(lab: &Lab) -> Result<()> {
    let voter = agent::voter(lab, SETTLE)?;
    link::cut(lab, voter.peer())?;
    wait::until("DRBD to see that its link is cut", SETTLE, || {
        let found = link::constraints(lab, voter)?;
        Ok(if found.contains(voter.name()) {
            Seen::Ready(())
        } else {
            Seen::NotYet("there is no constraint".to_owned())
        })
    })?;
    let measured = CUT.iter().try_for_each(|case| measure(lab, voter, case));
    link::heal(lab, voter.peer())?;
    measured?;
    in_sync(lab, voter)?;
    WHOLE
        .iter()
        .try_for_each(|case| measure(lab, voter, case))?;
    lift(lab, voter)
}

/// What one call took, in milliseconds, how many processes, and its answer.
struct Call {
    time: f64,
    processes: i64,
    code: i32,
}

fn measure(lab: &Lab, voter: Node, case: &Case) -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    crate::progress::step(case.name, || {
        for _ in 0..RUNS {
            for (who, calls) in [("ours", &mut ours), ("theirs", &mut theirs)] {
                let slow = SLOW.as_secs_f64() * 1000.0;
                if calls.first().is_some_and(|call: &Call| call.time > slow) {
                    continue;
                }
                calls.push(call(lab, voter, case, who)?);
            }
        }
        anyhow::Ok(())
    })?;
    for call in &ours {
        ensure!(
            call.code == case.answer,
            "{}: ours answered {} and not {}",
            case.name,
            call.code,
            case.answer
        );
    }
    let (ours, theirs) = (median(ours)?, median(theirs)?);
    for (who, call) in [("ours", &ours), ("theirs", &theirs)] {
        println!(
            "{:<34} {who:<7} {:>9.1} ms  {:>4} processes  answer {}",
            case.name, call.time, call.processes, call.code
        );
    }
    println!("{:<34} ratio   {:>9.2}", case.name, ours.time / theirs.time);
    Ok(())
}

fn call(lab: &Lab, voter: Node, case: &Case, who: &str) -> Result<Call> {
    let script = [
        "bash",
        "-euc",
        SCRIPT,
        "bash",
        case.handler,
        case.what,
        who,
        voter.peer().name(),
    ];
    let argv = [&ENVIRONMENT[..], &script].concat();
    let printed = lab.run(voter, &argv, Duration::from_secs(300))?;
    let mut words = printed.split_whitespace();
    let mut word = || words.next().with_context(|| format!("{who}: {printed:?}"));
    Ok(Call {
        time: word()?.parse::<f64>()? / 1000.0,
        processes: word()?.parse()?,
        code: word()?.parse()?,
    })
}

/// The call of the median time.
fn median(mut calls: Vec<Call>) -> Result<Call> {
    calls.sort_by(|a, b| a.time.total_cmp(&b.time));
    let middle = calls.len() / 2;
    calls.into_iter().nth(middle).context("no run")
}

/// Takes away what the last call was given.
fn lift(lab: &Lab, voter: Node) -> Result<()> {
    let element = "<rsc_location id=\"drbd-fence-by-handler-r0-drbd_master_slave\"/>";
    lab.try_run(voter, &["cibadmin", "-D", "-X", element], COMMAND)
        .map(drop)
}
