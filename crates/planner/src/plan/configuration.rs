//! The configuration itself: what is wrong with this node's, and whether the peer's is another.

use two_node_ha_config::Difference;

use super::Decision;
use crate::observation::{Asked, Observation};

/// More keys than these say only that it is another file.
const MOST: usize = 4;

/// Adds what should be known of the configuration, whatever the decision is.
pub(super) fn warn(o: &Observation, decision: &mut Decision) {
    if let Some(trouble) = &o.configuration {
        decision.warnings.push(trouble.clone());
    }
    if !o.differences.is_empty() {
        let consequence = if matter(o).is_empty() {
            ""
        } else {
            ", and while they do the role is not taken over from a node that lives"
        };
        decision.warnings.push(format!(
            "the two nodes' configurations differ{consequence}: {}. {}",
            in_words(o.differences.iter(), &o.peer),
            remedy(&o.peer)
        ));
    }
}

/// Blocked where a node is about to become a voter, or for the first time a spare, beside a peer that
/// lives and runs with another configuration in something that matters: each would act on its own
/// idea of who is who and which device is meant. A peer that does not answer is another question
/// (`peer::verdict`), and what runs already is not stopped by a difference.
pub(super) fn parted(o: &Observation) -> Option<Decision> {
    let lives = match &o.peer_report {
        Asked::Answer(_) => true,
        Asked::NotYet | Asked::Silent(_) => false,
    };
    let matter = matter(o);
    (lives && !matter.is_empty()).then(|| {
        Decision::blocked(
            format!(
                "{} runs with another configuration, and with both of them there could be two \
                 voters, or a wrong device: {}",
                o.peer,
                in_words(matter.into_iter(), &o.peer)
            ),
            remedy(&o.peer),
        )
    })
}

/// The differences that keep a voter from being made.
fn matter(o: &Observation) -> Vec<&Difference> {
    o.differences.iter().filter(|d| d.matters).collect()
}

/// "`KEY` is A here and B on the peer", for the first of them, those that matter before the others.
pub fn in_words<'d>(differences: impl Iterator<Item = &'d Difference>, peer: &str) -> String {
    let (first, rest): (Vec<_>, Vec<_>) = differences.partition(|d| d.matters);
    let all: Vec<String> = first
        .into_iter()
        .chain(rest)
        .map(|d| format!("{} is {} here and {} on {peer}", d.key, d.mine, d.theirs))
        .collect();
    let more = match all.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}", all[..all.len().min(MOST)].join("; "))
}

fn remedy(peer: &str) -> String {
    format!(
        "Make /etc/two-node-ha.toml the same here and on {peer} (`two-node-ha check` on both), then \
         `systemctl daemon-reload` and `systemctl restart two-node-ha-k8s` where it was changed"
    )
}
