//! Pacemaker has given this node the voter role: the way from there to a confirmed voter.

use two_node_ha_config::Config;

use super::evidence::{self, Evidence};
use super::peer_is_no_voter::{Verdict, verdict};
use super::{
    Decision, State, Step, Target, configuration, health, stale_constraint, stop_if_needed,
    suspended_io,
};
use crate::Database;
use crate::observation::{
    Asked, Contents, Directories, Known, LinkTarget, Mount, Observation, Role, Services,
};
use crate::record::{Epoch, Phase};

pub(super) fn plan(o: &Observation, config: &Config) -> Decision {
    if let Some(failure) = &o.failure {
        return Decision::blocked(
            format!("this node could not become the voter: {failure}"),
            "Pacemaker decides what happens next (`crm_mon -1rf`); once the cause is gone, \
             `crm_resource --cleanup` lets it try again",
        );
    }
    match &o.mount {
        Mount::ReadWrite => {}
        Mount::None => {
            return Decision::wait(
                State::PrimaryPrep,
                format!(
                    "the failover unit runs, but {} is not mounted yet",
                    config.volume.mount_point.display()
                ),
            );
        }
        Mount::ReadOnly => {
            return Decision::blocked(
                format!(
                    "the volume is mounted read-only on {}",
                    config.volume.mount_point.display()
                ),
                "look for I/O errors in `journalctl -k`; then `crm_resource --restart` the file \
                 system, or move the role to the other node",
            );
        }
        Mount::Foreign(what) => {
            return Decision::blocked(
                format!(
                    "{what} is mounted on {}, and not the volume {}",
                    config.volume.mount_point.display(),
                    config.volume.device.display()
                ),
                "unmount it; compare `findmnt` with /etc/two-node-ha.toml and Pacemaker's file \
                 system resource",
            );
        }
    }
    if o.drbd.role != Role::Primary {
        return Decision::wait(
            State::PrimaryPrep,
            format!("DRBD does not call this node primary: {}", o.drbd.summary),
        );
    }
    if let Some(decision) = suspended_io::plan(o) {
        return decision;
    }
    match &o.epoch {
        Known::Unreadable(why) => Decision::blocked(
            format!("the volume's record cannot be read: {why}"),
            "nothing is started without it; see two-node-ha(8), section EPOCH",
        ),
        Known::Absent => first_start(o),
        Known::Present(epoch) if epoch.epoch < o.journal.highest_epoch => Decision::blocked(
            format!(
                "the volume has epoch {}, and this node has already seen {}: it is an older copy \
                 of the data",
                epoch.epoch, o.journal.highest_epoch
            ),
            format!(
                "do not start anything here. Compare `drbdadm status` on both nodes; the newer data \
                 is most likely on {}",
                o.peer
            ),
        )
        .only_here(),
        Known::Present(epoch) => with_epoch(o, config, epoch),
    }
}

/// The volume is empty: the first day.
fn first_start(o: &Observation) -> Decision {
    if o.journal.highest_epoch > 0 {
        return Decision::blocked(
            format!(
                "the volume has no record, although this node has seen epoch {}: it is not the \
                 volume that held the databases",
                o.journal.highest_epoch
            ),
            "find the right volume (`drbdadm status` on both nodes). To begin anew on purpose, see \
             two-node-ha(8), section STARTING OVER",
        );
    }
    for (database, directories) in &o.databases {
        if let Some(decision) = not_movable(o, *database, directories) {
            return decision;
        }
    }
    match &o.peer_report {
        Asked::NotYet => Decision::act(
            State::PrimaryPrep,
            vec![Step::AskPeer],
            format!(
                "the databases move onto the volume only when {} agrees",
                o.peer
            ),
        ),
        Asked::Silent(why) => Decision::blocked(
            format!(
                "the first start needs both nodes, and {} does not answer: {why}",
                o.peer
            ),
            format!(
                "on {}: `systemctl start two-node-ha-k8s`; if ssh refuses, `two-node-ha peer setup` \
                 on both nodes",
                o.peer
            ),
        ),
        Asked::Answer(report) if report.epoch > 0 => Decision::blocked(
            format!(
                "{} already knows epoch {}, and the volume here is empty",
                o.peer, report.epoch
            ),
            "the databases are on another volume or DRBD has lost its data: compare `drbdadm \
             status` on both nodes before anything else",
        ),
        Asked::Answer(report) if report.original_voter != Some(false) => Decision::blocked(
            match report.original_voter {
                Some(_) => format!(
                    "both nodes' cluster.yaml call their own node the voter ({} too)",
                    o.peer
                ),
                None => format!(
                    "{} cannot say whether its databases are voter or spare",
                    o.peer
                ),
            },
            "the newest data must be on the node that starts first: look at `k8s status` on both \
             nodes, and see two-node-ha(8), section FIRST START",
        ),
        Asked::Answer(report) => {
            if let Some(blocked) = configuration::parted(o) {
                return blocked;
            }
            let mut steps = Vec::new();
            if report.datastore_running && !o.peer_stopped {
                steps.push(Step::StopPeer);
            }
            steps.extend(stop_if_needed(o));
            steps.push(Step::MoveOntoVolume);
            Decision::act(
                State::Recovering,
                steps,
                "first start: this node is the voter, and its databases move onto the volume",
            )
        }
    }
}

/// Why a first day's directory cannot be moved onto the volume.
fn not_movable(o: &Observation, database: Database, d: &Directories) -> Option<Decision> {
    let blocked = |reason: String, remedy: String| Some(Decision::blocked(reason, remedy));
    match (&d.leads, &d.original, d.original_voter) {
        (LinkTarget::Directory, Contents::Database, Some(true)) => None,
        (LinkTarget::Directory, Contents::Database | Contents::Waiting, Some(false)) => blocked(
            format!(
                "the voter of {database} is {}, and DRBD is primary here",
                o.peer
            ),
            format!(
                "Pacemaker is told so and moves the volume after some tries; `two-node-ha move {}` \
                 does it at once",
                o.peer
            ),
        )
        .map(Decision::only_here),
        (LinkTarget::Directory, Contents::Database, None) => blocked(
            format!("it cannot be read from {database}'s cluster.yaml whether this node is the voter"),
            "see `two-node-ha plan` for what was found".into(),
        ),
        (LinkTarget::Directory, Contents::Trap(why), _) => blocked(
            format!("the state directory of {database} must not be started: {why}"),
            "put it in order first; see two-node-ha(8), section FIRST START".into(),
        ),
        (LinkTarget::Directory, Contents::Missing | Contents::IdentityOnly | Contents::Waiting, _) => blocked(
            format!("the state directory of {database} holds no database"),
            "this node must be a member of the Kubernetes cluster first (`k8s status`)".into(),
        ),
        (LinkTarget::Nowhere, ..) => blocked(
            format!("the state directory of {database} does not exist"),
            "install the k8s snap and form the cluster first, or correct [k8s] in \
             /etc/two-node-ha.toml"
                .into(),
        ),
        (LinkTarget::ToVolume | LinkTarget::ToSpare | LinkTarget::Elsewhere(_), ..) => blocked(
            format!("the state directory of {database} is a link already, but the volume has no record"),
            "an older set-up (two-node-ha.sh) must be undone first: stop k8s, put a real directory \
             in place of the link, start again"
                .into(),
        ),
    }
}

/// The volume holds databases of a known epoch.
pub(super) fn with_epoch(o: &Observation, config: &Config, epoch: &Epoch) -> Decision {
    let mine = epoch.owner == o.node;
    let astray = evidence::astray(o, epoch);
    if evidence::runs_here(o, epoch) {
        if let Some(decision) = health::plan(o) {
            return decision;
        }
        return stale_constraint::arrived(
            o,
            State::PrimaryRunning,
            format!("the voter of epoch {} runs here", epoch.epoch),
        );
    }
    if epoch.epoch > o.journal.highest_epoch {
        return Decision::act(
            State::PrimaryPrep,
            vec![Step::RememberEpoch(epoch.epoch)],
            "an older volume must be recognisable from now on",
        );
    }
    // Before the peer's databases are stopped for it. One that was begun goes on: half of it is worse.
    if !mine {
        if let Some(blocked) = configuration::parted(o) {
            return blocked.only_here();
        }
    }
    if mine && epoch.complete() && !astray && o.is_started_on_volume() {
        // An agent that was restarted beside its voter. Whoever started that had made sure of the peer,
        // which may be silent or dead by now: nothing of it is needed to see that the voter works.
        return Decision::act(
            State::Recovering,
            vec![Step::ConfirmVoter],
            format!(
                "the services of the voter of epoch {} run here already",
                epoch.epoch
            ),
        );
    }
    let peer = match verdict(o, config, epoch) {
        Verdict::Safe(why) => why,
        Verdict::Not(decision) => return *decision,
    };
    let continued = match evidence::weigh(o, config, epoch) {
        Evidence::Complete => None,
        Evidence::Continued(why) => Some(why),
        Evidence::Not(decision) => return *decision,
    };
    if mine && epoch.complete() && continued.is_some() {
        // The role was handed over behind our back. What was written since becomes the base of a new
        // epoch, of which the peer is the spare again.
        let next = epoch.epoch.saturating_add(1);
        let mut steps: Vec<Step> = stop_if_needed(o).into_iter().collect();
        steps.push(Step::RenewEpoch(next));
        steps.extend(flips(o, epoch));
        steps.extend(Database::ALL.map(Step::Recover));
        steps.extend([Step::StartServices, Step::ConfirmVoter]);
        return Decision::act(State::Recovering, steps, continued.unwrap_or_default())
            .because(peer);
    }
    let (mut steps, reason) = if mine && epoch.complete() {
        (
            Vec::new(),
            format!(
                "the databases are this node's own since epoch {}",
                epoch.epoch
            ),
        )
    } else {
        match take_over(o, epoch) {
            Ok(steps) => (
                steps,
                format!(
                    "the databases carry the identity of {} and become this node's",
                    epoch.owner
                ),
            ),
            Err(decision) => return *decision,
        }
    };
    // I1: nothing runs while a link changes. A spare that runs is stopped before the first step.
    let links = flips(o, epoch);
    if steps.is_empty() && links.is_empty() {
        if o.services != Services::Running || !o.token {
            steps.push(Step::StartServices);
        }
        steps.push(Step::ConfirmVoter);
    } else {
        let mut all: Vec<Step> = stop_if_needed(o).into_iter().collect();
        all.extend(ordered(steps, links));
        all.extend([Step::StartServices, Step::ConfirmVoter]);
        steps = all;
    }
    let decision = Decision::act(State::Recovering, steps, reason).because(peer);
    match continued {
        Some(why) => decision.because(why),
        None => decision,
    }
}

/// The epoch's record comes before the links, and the links before the recoveries, which reach
/// the databases through them.
fn ordered(steps: Vec<Step>, links: Vec<Step>) -> Vec<Step> {
    let (begin, recoveries): (Vec<_>, Vec<_>) = steps
        .into_iter()
        .partition(|step| *step == Step::BeginEpoch);
    begin.into_iter().chain(links).chain(recoveries).collect()
}

/// The links that do not lead onto the volume yet, and what must be kept before they do.
fn flips(o: &Observation, epoch: &Epoch) -> Vec<Step> {
    let mut steps = Vec::new();
    for (database, d) in &o.databases {
        if d.leads == LinkTarget::ToVolume {
            continue;
        }
        if d.leads == LinkTarget::Directory {
            // The first day is not over: on the voter its identity is on the volume, on the
            // other it is in the directory that the link is about to replace.
            match (&d.spare, epoch.owner == o.node) {
                // Half kept, where a crash came between: kept again.
                (Contents::Missing | Contents::Trap(_), true) => {
                    steps.push(Step::KeepIdentity(*database));
                }
                (Contents::Missing, false) => steps.push(Step::KeepOriginal(*database)),
                (Contents::Trap(_), false)
                | (Contents::Database | Contents::Waiting | Contents::IdentityOnly, _) => {}
            }
        }
        steps.push(Step::Flip(*database, Target::Volume));
    }
    steps
}

/// The steps that make the databases this node's, or why that cannot be.
fn take_over(o: &Observation, epoch: &Epoch) -> Result<Vec<Step>, Box<Decision>> {
    for (database, d) in &o.databases {
        let blocked =
            |reason: String, remedy: &str| Err(Box::new(Decision::blocked(reason, remedy)));
        match &d.volume {
            Contents::Database => {}
            Contents::Missing | Contents::IdentityOnly | Contents::Waiting => {
                return blocked(
                    format!("the volume's record names {database}, but there is no database in it"),
                    "nothing is recovered from nothing: look at the volume, and at the backups \
                     beside the state directories",
                );
            }
            Contents::Trap(why) => {
                return blocked(
                    format!("{database} on the volume must not be recovered: {why}"),
                    "see two-node-ha(8), section RECOVERY",
                );
            }
        }
        let identity = if d.leads == LinkTarget::Directory {
            &d.original
        } else {
            &d.spare
        };
        match identity {
            Contents::Database | Contents::IdentityOnly | Contents::Waiting => {}
            Contents::Missing => {
                return blocked(
                    format!(
                        "this node's identity of {database} is not known: it never was a member"
                    ),
                    "join this node to the Kubernetes cluster while the peer is up",
                );
            }
            // The spare's own files may be useless; only its identity is needed.
            Contents::Trap(why) if d.leads == LinkTarget::Directory => {
                return blocked(
                    format!("this node's own directory of {database} is not in order: {why}"),
                    "see two-node-ha(8), section FIRST START",
                );
            }
            Contents::Trap(_) => {}
        }
    }
    let mut steps = Vec::new();
    let begun = epoch.owner == o.node;
    if !begun {
        steps.push(Step::BeginEpoch);
    }
    steps.extend(
        Database::ALL
            .into_iter()
            .filter(|d| !begun || epoch.phase(*d) == Phase::Pending)
            .map(Step::Recover),
    );
    Ok(steps)
}
