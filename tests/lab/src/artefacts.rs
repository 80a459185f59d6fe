//! What is left of a failure for a person to read: journals, consoles, states.

use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::host;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMIT: Duration = Duration::from_secs(40);

/// What each node is asked; file name and shell line.
const QUESTIONS: [(&str, &str); 8] = [
    (
        "journal.txt",
        "journalctl --no-pager -o short-iso-precise -b",
    ),
    (
        "journal-of-the-boot-before.txt",
        "journalctl --no-pager -o short-iso-precise -b -1",
    ),
    (
        "cluster.txt",
        "timeout 20 crm_mon -1 -A -f -r -n 2>&1; timeout 20 cibadmin -Ql",
    ),
    (
        "drbd.txt",
        "cat /proc/drbd; timeout 10 drbdsetup status --verbose --statistics",
    ),
    (
        "units.txt",
        "systemctl --no-pager --failed; systemctl --no-pager list-jobs; systemctl --no-pager list-units '*k8s*' '*two-node*' pacemaker corosync",
    ),
    (
        "agent.txt",
        "timeout 20 two-node-ha status 2>&1; timeout 20 two-node-ha plan 2>&1",
    ),
    (
        "processes.txt",
        "ps axfww -o pid,stat,wchan:20,etime,args; df -h; free -m",
    ),
    (
        "files.txt",
        "ls -laR /var/lib/two-node-ha /run/two-node-ha /mnt/drbd0 /var/snap/k8s/common 2>&1",
    ),
];

/// Collects from both nodes into a new directory under `.lab/artefacts`, and says where. Goes on
/// through errors: half of the evidence is better than none.
pub fn collect(lab: &Lab, why: &str) {
    let places = lab.places();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    let dir = places
        .repo
        .join(".lab/artefacts")
        .join(format!("{why}-{now}"));
    for node in NODES {
        let own = dir.join(node.name());
        if let Err(error) = fs::create_dir_all(&own) {
            eprintln!("no artefacts: {}: {error}", own.display());
            return;
        }
        let from = places.node(node.name());
        let _ = fs::copy(from.join("console.log"), own.join("console.txt"));
        let on = lab.status().is_ok_and(|s| s.node(node).on);
        if on {
            ask(lab, node, &own)
        } else {
            dig(&from.join("disk.img"), &own)
        }
    }
    let _ = fs::copy(places.supervisor_log(), dir.join("supervisor.txt"));
    eprintln!("journals and states of both nodes: {}", dir.display());
}

fn ask(lab: &Lab, node: Node, dir: &Path) {
    // All at once: a node that hangs would let each of them wait to its limit.
    std::thread::scope(|scope| {
        for (file, question) in QUESTIONS {
            scope.spawn(move || {
                let text = match lab.try_run(node, &["sh", "-c", question], LIMIT) {
                    Ok(output) => format!("{}{}", output.out, output.err),
                    Err(error) => format!("{error:#}\n"),
                };
                let _ = fs::write(dir.join(file), text);
            });
        }
    });
}

/// The journal of a node that is off, from its disk into `DIR/journal/journal`.
pub fn dig(disk: &Path, dir: &Path) {
    if host::find("debugfs").is_some() {
        let to: PathBuf = dir.join("journal");
        let _ = fs::create_dir_all(&to);
        let request = format!("rdump /var/log/journal {}", to.display());
        let _ = host::run(
            "debugfs",
            &["-R".as_ref(), request.as_ref(), disk.as_os_str()],
        );
    }
}
