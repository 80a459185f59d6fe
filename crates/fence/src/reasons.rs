//! The reasons of fence-peer's answers: for somebody who reads the journal at three in the morning,
//! so each says what is known, what was answered, and what to type where something is wrong.

use two_node_ha_config::FencingMode;
use two_node_ha_pacemaker::{FencingConstraint, PeerNode};

use crate::disks::Disks;
use crate::situation::{Removal, Situation};
use crate::view::{Subject, View};

/// What the answer does to writes where nothing is claimed, and the way out.
fn consequence(subject: &Subject) -> String {
    let Subject {
        resource,
        peer,
        mode,
        ..
    } = subject;
    match mode {
        FencingMode::Stonith => format!(
            "Answered 1, nothing is claimed about {peer}: if this node is the primary, its I/O \
             stays suspended until the replication link is back, or until the agent sees that {peer} \
             was fenced, and has DRBD ask again. If you know that {peer} is powered off: \
             `stonith_admin --confirm {peer}`"
        ),
        FencingMode::Constraint | FencingMode::None => format!(
            "Answered 1, nothing is claimed about {peer}, and {peer} may be promoted with older \
             data: look at `crm_mon -1` and `drbdadm status {resource}` on both nodes"
        ),
    }
}

/// `fencing.mode = "none"`
pub fn no_fencing(subject: &Subject) -> String {
    let Subject { resource, peer, .. } = subject;
    format!(
        "fencing.mode is \"none\": answered 1, nothing is claimed about {peer}. DRBD asks only \
         where its `fencing` is not `dont-care`: install what `two-node-ha render drbd` prints on \
         both nodes and run `drbdadm adjust {resource}`; `drbdadm resume-io {resource}` where I/O \
         is suspended"
    )
}

/// The peer is connected and up to date.
pub fn not_needed(s: &Situation<'_>) -> String {
    let peer = &s.subject.peer;
    let constraint = match (s.done.removal, &s.done.trouble) {
        (Removal::NotTried, _) => String::new(),
        (Removal::Settled | Removal::Failed, None) => {
            "; the constraint was taken away again".to_owned()
        }
        (Removal::Settled | Removal::Failed, Some(trouble)) => {
            format!("; the constraint could not be taken away ({trouble}), the agent will")
        }
    };
    format!(
        "{peer} is connected and up to date again, there is nothing to fence: answered \
         1{constraint}"
    )
}

/// The resource is not up.
pub fn not_up(subject: &Subject) -> String {
    let Subject { resource, peer, .. } = subject;
    format!(
        "the DRBD resource {resource} is not up on this node: answered 1, nothing is claimed \
         about {peer}. See `drbdadm status {resource}`"
    )
}

/// DRBD knows the peer's disk.
pub fn known(subject: &Subject, state: &str) -> String {
    format!(
        "DRBD knows already that {} is {state}, and would not let it be promoted",
        subject.peer
    )
}

/// This node's own data is unusable.
pub fn unusable(subject: &Subject, disks: &Disks) -> String {
    let Subject { resource, peer, .. } = subject;
    format!(
        "this node's own data is {}: {peer} is not fenced for it, answered 1. Bring {peer} back, \
         or see `drbdadm status {resource}`",
        Disks::words(&disks.local)
    )
}

/// The peer is down, and this node's data may be older than its.
pub fn stale(subject: &Subject, disks: &Disks) -> String {
    let Subject { resource, peer, .. } = subject;
    format!(
        "{peer} is not there, and this node's data is only {}: {peer}'s may be newer, so this \
         node is not to be promoted; answered 1. Bring {peer} back. If its data is lost for good: \
         `drbdadm primary --force {resource}` takes this node's as they are",
        Disks::words(&disks.local)
    )
}

/// Pacemaker does not run here.
pub fn no_cluster(s: &Situation<'_>, why: &str) -> String {
    format!(
        "the cluster cannot be asked ({why}), so nothing keeps {} from being promoted. {}. \
         `systemctl status pacemaker corosync` tells why",
        s.subject.peer,
        consequence(s.subject)
    )
}

/// The resource is none of Pacemaker's.
pub fn no_clone(subject: &Subject) -> String {
    let resource = &subject.resource;
    format!(
        "Pacemaker has no clone with a primitive whose drbd_resource is {resource}, so there is \
         nothing to put a constraint on. {}. Compare `two-node-ha render pacemaker` with \
         `cibadmin --query --scope resources`",
        consequence(subject)
    )
}

/// A name is not one of the cluster's.
pub fn no_node(subject: &Subject, name: &str) -> String {
    format!(
        "Pacemaker has no node named {name}: a constraint with that name would forbid promotion on \
         both. {}. Compare `crm_node --list` with the names in /etc/two-node-ha.toml and with \
         `uname -n`",
        consequence(subject)
    )
}

/// The peer's constraint stands.
pub fn rejected(subject: &Subject, constraint: &FencingConstraint) -> String {
    let Subject { resource, peer, .. } = subject;
    let FencingConstraint { id, .. } = constraint;
    let allowed = match constraint.allowed.as_slice() {
        [] => "no node".to_owned(),
        names => names.join(" and "),
    };
    format!(
        "the constraint {id} lets {allowed} be promoted and not this node: {peer} has fenced it, \
         and may hold newer data. {}. Should `drbdadm status {resource}` show both nodes UpToDate \
         later on, the agent takes the constraint away; if {peer} is lost for good: `cibadmin \
         --delete --xml-text '{}'`",
        consequence(subject),
        constraint.name()
    )
}

/// A constraint stands that binds nobody.
pub fn loose(subject: &Subject, constraint: &FencingConstraint) -> String {
    format!(
        "the constraint {} stands and does not keep {} from being promoted, so somebody has \
         changed it. {}. Take it away: `cibadmin --delete --xml-text '{}'`",
        constraint.id,
        subject.peer,
        consequence(subject),
        constraint.name()
    )
}

/// The replication link alone is gone.
pub fn alive(s: &Situation<'_>, view: &View) -> String {
    format!(
        "{} is alive in the cluster and only the replication link is gone: the constraint {} keeps \
         it from being promoted until it is up to date again, so DRBD may take it as outdated{}",
        s.subject.peer,
        view.id(),
        maintenance(view)
    )
}

/// The peer left, or was fenced and nobody remembers.
pub fn down(s: &Situation<'_>, view: &View, why: &str) -> String {
    format!(
        "the cluster knows that {} is down and not expected{why}: the constraint {} keeps it from \
         being promoted when it comes back, so DRBD may take it as outdated{}",
        s.subject.peer,
        view.id(),
        maintenance(view)
    )
}

/// The peer was fenced.
pub fn fenced(s: &Situation<'_>, view: &View, how: &str) -> String {
    format!(
        "{} was fenced ({how}), and the constraint {} keeps it from being promoted until it is up \
         to date again",
        s.subject.peer,
        view.id()
    )
}

/// The constraint is older than this call.
pub fn before(s: &Situation<'_>, view: &View) -> String {
    format!(
        "the constraint {} has kept {} from being promoted since before this call",
        view.id(),
        s.subject.peer
    )
}

/// Why the peer's state is not known, for `waiting` and for the end of it.
pub fn lost(subject: &Subject, view: &View) -> String {
    let peer = &subject.peer;
    match view.peer {
        PeerNode::UncleanOffline if view.fencing_enabled => {
            format!("{peer} is lost and has not been fenced yet")
        }
        PeerNode::UncleanOffline => format!(
            "{peer} is lost, and the cluster's fencing is disabled (stonith-enabled), so nobody \
             will power it off"
        ),
        PeerNode::Pending => format!("{peer} is joining or leaving the cluster"),
        PeerNode::Unknown => "there is no DC yet".to_owned(),
        PeerNode::Online | PeerNode::CleanOffline => format!("{peer}'s state is not settled"),
    }
}

/// The policy says that a lost peer is a dead one.
pub fn assumed(s: &Situation<'_>, view: &View, why: &str) -> String {
    format!(
        "{why}; by fencing.mode = \"constraint\" it is taken as outdated, which nobody has checked. \
         The constraint {} keeps it from being promoted where it can be heard of. If {} still \
         writes, its writes will be lost",
        view.id(),
        s.subject.peer
    )
}

/// The time is up.
pub fn undecided(s: &Situation<'_>, why: &str) -> String {
    let Subject { peer, mode, .. } = s.subject;
    let trouble = s.done.trouble.as_deref().unwrap_or("no reason was given");
    let placing = match (s.done.removal, &s.done.trouble) {
        (Removal::Failed, _) => {
            let by_hand = s.done.tried.first().map_or_else(String::new, |tried| {
                format!(
                    "; by hand: `cibadmin --delete --xml-text '{}'`",
                    tried.name()
                )
            });
            format!(
                ". The constraint that this call has placed may still be there and keep {peer} from \
                 being promoted ({trouble}): the agent takes it away once both copies are the same \
                 again{by_hand}"
            )
        }
        (Removal::NotTried | Removal::Settled, None) => String::new(),
        (Removal::NotTried | Removal::Settled, Some(trouble)) => {
            format!(" (the last change of the CIB: {trouble})")
        }
    };
    let look = match mode {
        FencingMode::Stonith => {
            format!(
                ". `stonith_admin --verbose --history {peer}` and `crm_mon -1` tell how fencing went"
            )
        }
        FencingMode::Constraint | FencingMode::None => String::new(),
    };
    format!(
        "after {:.0} s {why}{placing}. {}{look}",
        s.elapsed.as_secs_f64(),
        consequence(s.subject)
    )
}

fn maintenance(view: &View) -> &'static str {
    if view.maintenance {
        "; the cluster is in maintenance mode, and promotes nobody before that is over"
    } else {
        ""
    }
}
