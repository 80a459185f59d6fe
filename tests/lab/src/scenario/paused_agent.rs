//! An agent that is about to take the constraint of DRBD's handler away is paused, the link is lost
//! meanwhile, and the agent goes on with what it knew.

use super::link::{self, CUT, HEAL};
use super::{COMMAND, SETTLE, Scenario, Stage, service};
use crate::agent;
use crate::demo::writer::Writer;
use crate::progress;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const SCENARIO: Scenario = Scenario {
    name: "paused-agent",
    proves: "an agent that is paused at random under a flapping link never takes the constraint away while the copies differ",
    run,
};

/// In CI, and in a campaign.
const FLAPS: [u32; 2] = [4, 50];

/// For one flap, which takes some 25 s.
const FLAP: Duration = Duration::from_secs(90);

fn run(stage: &mut Stage) -> Result<()> {
    let lab = &stage.lab;
    let voter = agent::voter(lab, SETTLE)?;
    let before = lab.status()?;
    let writer = Writer::start(before.supervisor, "paused");
    writer.wait_count(20, Duration::from_secs(120))?;
    stage.acks.extend(writer.stop());
    let lab = &stage.lab;
    let count = stage.length.choose(FLAPS[0], FLAPS[1]);
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |d| d.as_secs() % 32768);
    let end = link::end_of_journal(lab, voter)?;
    let held = progress::step(
        &format!("{count} flaps of DRBD's link with the agent paused, seed {seed}"),
        || {
            link::hastily(lab, || {
                lab.sh(voter, UNFENCE_OFF, COMMAND)?;
                let argv = ["bash", "-euc", &script(count, seed), "flaps"];
                let held = lab.run(voter, &argv, FLAP * count);
                // Where a flap has failed it may still be cut, and the agent still be paused.
                let _ = lab.sh(voter, HEAL, COMMAND);
                lab.sh(voter, RESUME, COMMAND)?;
                lab.sh(voter, UNFENCE_ON, COMMAND)?;
                held
            })
        },
    );
    let held = held?;
    eprintln!("{}", held.trim());
    // How each sweep ended that was stopped, and how often.
    let ends = lab.sh(
        voter,
        &format!(
            "journalctl -q -o cat --no-pager --after-cursor='{end}' -u {} \
             | grep -oE 'could not take the (fencing )?constraint.*|took the constraint away' | sort | uniq -c",
            service::AGENT
        ),
        COMMAND,
    )?;
    eprintln!("{}", ends.trim_end());
    ensure!(
        met(&held)? > 0,
        "the agent was never paused between its reading of a constraint and its deleting it: \
         nothing was tried"
    );
    super::whole_again(&stage.lab, voter, &before, 0)?;
    stage.check_writes()
}

/// How many pauses met a constraint, by what the script says at its end.
fn met(said: &str) -> Result<u32> {
    said.lines()
        .find_map(|line| line.strip_prefix("met "))
        .and_then(|met| met.trim().parse().ok())
        .with_context(|| format!("no counts in {said:?}"))
}

const RESUME: &str = "agent=$(systemctl show -P MainPID two-node-ha-k8s)
    kill -CONT $agent $(pgrep -P $agent) || true";

/// DRBD's handler takes the constraint away at the end of a resync, and leaves nothing for the agent:
/// what is left to it is what the handler could not do.
const UNFENCE_OFF: &str =
    "sed -i.kept 's/unfence-peer \"[^\"]*\"/unfence-peer \"true\"/' /etc/drbd.d/r0.res
    grep -q 'unfence-peer \"true\"' /etc/drbd.d/r0.res";

/// Ends [`UNFENCE_OFF`].
const UNFENCE_ON: &str = "mv /etc/drbd.d/r0.res.kept /etc/drbd.d/r0.res";

/// The link is back, the copies are the same again, the constraint still stands, and the agent is stopped
/// somewhere on its way to take it away. The link goes again, the handler answers, there is a write, the
/// agent goes on. From there until the link is healed nothing but the constraint keeps the other copy,
/// which misses that write, from being promoted.
///
/// Where the agent is, its children tell: it reads the constraint by one `cibadmin --query`, and deletes
/// it by a `cibadmin --delete`. A third of the pauses begins at random after the link is back, a third
/// at random after a query has begun, a third with the delete.
fn script(count: u32, seed: u64) -> String {
    format!(
        r#"RANDOM={seed}
        agent=$(systemctl show -P MainPID two-node-ha-k8s)
        procs=/sys/fs/cgroup$(systemctl show -P ControlGroup two-node-ha-k8s)/cgroup.procs
        # What looks and waits starts no program: here that takes as long as what is to be caught.
        exec {{idle}}<> <(:)
        nap() {{ read -rt "$1" -u $idle || true; }}
        now() {{ now=${{EPOCHREALTIME/./}}; }}
        state() {{
            mapfile -t lines </proc/drbd
            for line in "${{lines[@]}}"; do [[ $line != *cs:* ]] || state=$line; done
        }}
        until_() {{
            now; local end=$((now + 60000000))
            until state; [[ $state =~ $1 ]]; do
                now
                ((now < end)) || {{ echo "flap $flap: waited for $1, and it is $state" >&2; exit 1; }}
                nap 0.02
            done
        }}
        # Fails when the agent runs no such program in 15 s.
        runs() {{
            now; local end=$((now + 15000000)) pids pid words
            while ((now < end)); do
                mapfile -t pids <$procs
                for pid in "${{pids[@]}}"; do
                    mapfile -d '' -t words 2>/dev/null </proc/$pid/cmdline || continue
                    [[ "${{words[*]}}" != cibadmin\ $1* ]] || return 0
                done
                nap 0.01
                now
            done
            return 1
        }}
        programs() {{
            local pids
            mapfile -t pids <$procs
            for pid in "${{pids[@]}}"; do
                [ $pid = $agent ] || kill -$1 $pid 2>/dev/null || true
            done
        }}
        stands() {{ cibadmin -Q -o constraints | grep -q drbd-fence-by-handler; }}
        kept() {{
            stands || {{
                echo "flap $flap, $moment: $1, no constraint keeps the other from promotion: $state" >&2
                exit 1
            }}
        }}
        # Up to so many milliseconds.
        hesitate() {{ local ms; printf -v ms '%04d' $((RANDOM % $1)); nap "${{ms:0:1}}.${{ms:1}}"; }}
        cut() {{
            {CUT}
            # Suspended (s) until the handler has answered.
            until_ 'ro:Primary/Unknown ds:UpToDate/Outdated . r'
        }}
        heal() {{ {HEAL}; until_ 'cs:Connected .* ds:UpToDate/UpToDate'; }}
        pauses=0 met=0 flap=0
        cut
        heal
        for flap in $(seq {count}); do
            caught=yes
            case $((RANDOM % 3)) in
            0) moment='waiting'; hesitate 3000 ;;
            1) moment='reading'; if runs --query; then hesitate 1500; else caught=no; fi ;;
            2) moment='deleting'; if runs --delete; then hesitate 300; else caught=no; fi ;;
            esac
            kill -STOP $agent
            # What it has just started may go on, and hand it what was true then.
            if [ $moment = deleting ] || ((RANDOM % 2)); then programs STOP; fi
            stood=no; ! stands || stood=yes
            cut
            kept "the handler has answered"
            echo $flap >/mnt/drbd0/.flap
            sync /mnt/drbd0/.flap
            # Or go on sooner than it does: it would end what has taken too long.
            programs CONT
            if ((RANDOM % 3)); then nap 2; fi
            kill -CONT $agent
            # Time for the agent to do what it had in mind. The link stays cut: the copies differ.
            nap 3
            kept "the agent has gone on"
            echo "flap $flap: paused $moment (seen: $caught), beside a constraint: $stood"
            [ $caught = no ] || pauses=$((pauses + 1))
            [ $stood = no ] || met=$((met + 1))
            heal
        done
        rm /mnt/drbd0/.flap
        echo "flaps {count}"
        echo "paused at the moment that was meant $pauses"
        echo "met $met"
        "#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_pauses_met_a_constraint_is_read_from_what_the_script_says_last() {
        let said =
            "flap 1: paused reading\nflaps 1\npaused at the moment that was meant 1\nmet 1\n";
        assert_eq!(met(said).unwrap(), 1);
        assert!(met("flaps 1").is_err());
    }

    #[test]
    fn the_script_is_one_that_bash_can_parse() {
        let checked = std::process::Command::new("bash")
            .args(["-n", "-c", &script(5, 1)])
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}
