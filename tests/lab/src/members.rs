//! The cluster's members, as Pacemaker on each node counts them.

use crate::client::Lab;
use crate::cluster::NODES;
use crate::wait::{self, Seen};
use anyhow::Result;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(60);

/// Waits until each node counts both as members and neither as one to be fenced. DRBD finds its peer
/// again sooner than Corosync: that the writes go on does not say that the cluster is one again.
///
/// # Errors
/// When they do not find each other in time.
pub fn united(lab: &Lab, limit: Duration) -> Result<()> {
    wait::until("the cluster to be one again", limit, || {
        for node in NODES {
            // With an exit code and a word on standard error while there is no answer to be had.
            let seen = lab.try_run(node, &["crm_mon", "-1", "--output-as=xml"], LOOK)?;
            if let Some(why) = apart(&seen.out) {
                return Ok(Seen::NotYet(format!("{node}: {why}")));
            }
        }
        Ok(Seen::Ready(()))
    })
}

/// Why the nodes of this output of crm_mon are not one cluster.
fn apart(xml: &str) -> Option<String> {
    let has = |line: &str, what: &str| line.contains(&format!(" {what} "));
    if !xml
        .lines()
        .any(|line| line.contains("<current_dc ") && has(line, "present=\"true\""))
    {
        return Some("there is no DC".to_owned());
    }
    NODES.into_iter().find_map(|node| {
        let line = xml.lines().find(|line| {
            line.contains(&format!("<node name=\"{}\" ", node.name())) && line.contains(" online=")
        });
        let Some(line) = line else {
            return Some(format!("{node} is not listed"));
        };
        ["online=\"true\"", "pending=\"false\"", "unclean=\"false\""]
            .iter()
            .any(|wanted| !has(line, wanted))
            .then(|| line.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crm_mon(dc: bool, hatwo: &str) -> String {
        let node = |name: &str, state: &str| {
            format!(
                "    <node name=\"{name}\" id=\"1\" {state} health=\"green\" type=\"member\"/>\n"
            )
        };
        format!(
            "<pacemaker-result>\n  <summary>\n    <current_dc present=\"{dc}\" version=\"3.0.0\"/>\n  \
             </summary>\n  <nodes>\n{}{}  </nodes>\n  <resources>\n    \
             <node name=\"hatwo\" id=\"2\" cached=\"true\"/>\n  </resources>\n</pacemaker-result>\n",
            node("haone", WELL),
            node("hatwo", hatwo),
        )
    }

    const WELL: &str = "online=\"true\" standby=\"false\" pending=\"false\" unclean=\"false\"";

    #[test]
    fn two_members_that_are_online_and_clean_are_one_cluster() {
        assert_eq!(apart(&crm_mon(true, WELL)), None);
    }

    #[test]
    fn a_node_that_is_offline_pending_or_unclean_is_apart_and_so_is_a_cluster_without_a_dc() {
        for (word, other) in [
            ("online=\"true\"", "online=\"false\""),
            ("pending=\"false\"", "pending=\"true\""),
            ("unclean=\"false\"", "unclean=\"true\""),
        ] {
            let why = apart(&crm_mon(true, &WELL.replace(word, other)));
            assert!(why.is_some_and(|why| why.contains(other)), "{other}");
        }
        assert_eq!(
            apart(&crm_mon(false, WELL)).as_deref(),
            Some("there is no DC")
        );
        assert!(apart("").is_some());
    }
}
