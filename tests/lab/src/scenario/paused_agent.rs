//! An agent that is about to take the constraint of DRBD's handler away is paused, the link is lost
//! meanwhile, and the agent goes on with what it knew.

use super::link::{self, CUT, HEAL};
use super::{COMMAND, SETTLE, Scenario, Stage};
use crate::agent;
use crate::demo::writer::Writer;
use crate::progress;
use anyhow::Result;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const SCENARIO: Scenario = Scenario {
    name: "paused-agent",
    proves: "an agent that is paused at random under a flapping link never takes the constraint away while the copies differ",
    run,
};

/// In CI, and in a campaign.
const FLAPS: [u32; 2] = [5, 50];

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "paused");
    writer.wait_count(20, Duration::from_secs(120))?;
    // Nothing is to be written while the link is away for the first time: see below.
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let count = stage.length.choose(FLAPS[0], FLAPS[1]);
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |d| d.as_secs() % 32768);
    let resume = "agent=$(systemctl show -P MainPID two-node-ha-k8s)
        kill -CONT $agent $(pgrep -P $agent) || true";
    let held = progress::step(
        &format!("{count} flaps of DRBD's link with the agent paused, seed {seed}"),
        || {
            link::hastily(lab, || {
                let argv = ["bash", "-euc", &script(count, seed), "flaps"];
                let held = lab.run(voter, &argv, Duration::from_secs(1800));
                // Where a flap has failed it may still be cut, and the agent still be paused.
                let _ = lab.sh(voter, HEAL, COMMAND);
                lab.sh(voter, resume, COMMAND)?;
                held
            })
        },
    );
    eprintln!("{}", held?.trim());
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

/// Each flap is two. The link is away while nobody can write: DRBD 8.4 calls no handler when it is back with
/// nothing to sync, the constraint stays, and it is for the agent to take it away. The agent is stopped
/// somewhere on its way to that, the link goes again, the handler answers, there is a write, the agent
/// goes on. From there until the link is healed nothing but the constraint keeps the other copy, which
/// misses that write, from being promoted.
fn script(count: u32, seed: u64) -> String {
    format!(
        "RANDOM={seed}
        agent=$(systemctl show -P MainPID two-node-ha-k8s)
        state() {{ grep -o 'cs:[A-Za-z]* ro:[^ ]* ds:[^ ]* . [^ ]*' /proc/drbd; }}
        until_() {{
            n=0
            until state | grep -q \"$@\"; do
                n=$((n + 1))
                [ $n -lt 2400 ] || {{ echo \"flap $flap: waited for $*, and it is $(state)\" >&2; exit 1; }}
                sleep 0.05
            done
        }}
        stands() {{ cibadmin -Q -o constraints | grep -q drbd-fence-by-handler; }}
        paused=0
        trap 'fsfreeze -u /mnt/drbd0 2>/dev/null || true' EXIT
        for flap in $(seq {count}); do
            # The stand-ins write every few seconds without being asked.
            fsfreeze -f /mnt/drbd0
            {CUT}
            # Frozen (s) until the handler has answered.
            until_ 'ro:Primary/Unknown ds:UpToDate/Outdated . r'
            {HEAL}
            until_ 'cs:Connected .* ds:UpToDate/UpToDate'
            fsfreeze -u /mnt/drbd0
            # Its programs are those that read and change the CIB: from their first sight on.
            n=0
            until pgrep -P $agent >/dev/null || [ $n -ge 60 ]; do n=$((n + 1)); sleep 0.05; done
            sleep 0.$((RANDOM % 10))
            kill -STOP $agent $(pgrep -P $agent) 2>/dev/null || true
            stood=no; ! stands || stood=yes
            {CUT}
            until_ 'ro:Primary/Unknown ds:UpToDate/Outdated . r'
            echo $flap >/mnt/drbd0/.flap
            sync /mnt/drbd0/.flap
            kill -CONT $agent $(pgrep -P $agent) 2>/dev/null || true
            [ $stood = no ] || paused=$((paused + 1))
            # Time for the agent to do what it had in mind. The link stays cut: the copies differ.
            sleep 2
            stands || {{
                echo \"flap $flap: no constraint keeps the other from promotion: $(state)\" >&2
                exit 1
            }}
            {HEAL}
            until_ 'cs:Connected .* ds:UpToDate/UpToDate'
        done
        rm /mnt/drbd0/.flap
        echo \"the agent was paused in {count} flaps, in $paused of them beside a constraint that stood\""
    )
}
