//! Pacemaker asks nothing of this node: it is the spare of the peer's voter, or waits to be.

use two_node_ha_config::Config;

use super::{
    Decision, State, Step, Target, ahead, configuration, evidence, stale_constraint,
    stop_if_needed, suspended_io,
};
use crate::Database;
use crate::observation::{
    Asked, Contents, End, LinkTarget, Mount, MountPoint, Observation, Promotion, Role, Services,
};
use crate::report::Report;

pub(super) fn plan(o: &Observation, config: &Config) -> Decision {
    match &o.mount {
        Mount::None => {}
        Mount::ReadWrite | Mount::ReadOnly => return ahead::mounted(o, config),
        Mount::Foreign(what) => {
            return Decision::blocked(
                format!(
                    "{what} is mounted on {}",
                    config.volume.mount_point.display()
                ),
                "unmount it: Pacemaker could not mount the volume there",
            );
        }
    }
    if let Some(decision) = suspended_io::interrupted(o, waiting(o)) {
        return decision;
    }
    if matches!(o.mount_point, MountPoint::Missing | MountPoint::Open) {
        return Decision::act(
            State::Probing,
            vec![Step::ProtectMountPoint],
            "nothing may be written where the volume will be mounted",
        );
    }
    // I2: after a crash as the voter the links lead to where nothing is mounted any more.
    let dangling: Vec<Step> = o
        .databases
        .iter()
        .filter(|(_, d)| d.leads == LinkTarget::ToVolume)
        .map(|(database, _)| Step::Flip(*database, Target::Spare))
        .collect();
    if !dangling.is_empty() {
        let steps = stop_if_needed(o).into_iter().chain(dangling).collect();
        return Decision::act(
            State::SecondaryWait,
            steps,
            "this node was the voter; its state directories must not lead to the empty mount point",
        );
    }
    if o.drbd.role == Role::Primary {
        return ahead::promoted(o);
    }
    match &o.peer_report {
        Asked::NotYet => Decision::act(
            waiting(o),
            vec![Step::AskPeer],
            format!("whether {} runs a voter is not known yet", o.peer),
        ),
        Asked::Silent(why) => {
            Decision::wait(waiting(o), format!("{} does not answer: {why}", o.peer))
        }
        Asked::Answer(report) if report.voter => of_voter(o, report),
        Asked::Answer(report) => Decision::wait(
            waiting(o),
            format!("{} runs no voter yet (it is {})", o.peer, report.state),
        ),
    }
}

/// A spare that already runs goes on while the peer is silent: it forwards, or answers with an
/// error, and harms nothing.
fn waiting(o: &Observation) -> State {
    if o.services == Services::Running {
        State::SecondaryRunning
    } else {
        State::SecondaryWait
    }
}

/// The peer runs a confirmed voter.
fn of_voter(o: &Observation, report: &Report) -> Decision {
    if report.epoch < o.journal.highest_epoch {
        return Decision::blocked(
            format!(
                "{} runs a voter of epoch {}, and this node has already seen {}: writes may be \
                 going into an older copy of the data",
                o.peer, report.epoch, o.journal.highest_epoch
            ),
            "this is a split brain that DRBD has not seen or that was resolved the wrong way round: \
             stop both nodes' services and compare the volumes before anything else",
        );
    }
    if report.epoch > o.journal.highest_epoch {
        return Decision::act(
            State::Syncing,
            vec![Step::RememberEpoch(report.epoch)],
            "an older volume must be recognisable from now on",
        );
    }
    let epoch = report.epoch;
    let originals: Vec<_> = o
        .databases
        .iter()
        .filter(|(_, d)| d.leads == LinkTarget::Directory)
        .map(|(d, _)| *d)
        .collect();
    if !originals.is_empty() {
        if let Some(blocked) = configuration::parted(o) {
            return blocked;
        }
        if let Some((database, why)) =
            o.databases
                .iter()
                .find_map(|(database, d)| match (&d.leads, &d.original) {
                    (LinkTarget::Directory, Contents::Trap(why)) => Some((database, why)),
                    _ => None,
                })
        {
            return Decision::blocked(
                format!("this node's directory of {database} is not in order: {why}"),
                "see two-node-ha(8), section FIRST START",
            );
        }
        let mut steps: Vec<Step> = stop_if_needed(o).into_iter().collect();
        for database in originals {
            // The copy and the note of its epoch are two: a crash may have come between.
            if o.databases[&database].spare == Contents::Missing
                || !o.journal.spare_epoch.contains_key(&database)
            {
                steps.push(Step::KeepOriginal(database));
            }
            steps.push(Step::Flip(database, Target::Spare));
        }
        return Decision::act(
            State::Syncing,
            steps,
            "first start as the spare: the state directories become links",
        );
    }
    let fit = o.databases.iter().all(|(database, d)| {
        o.journal.spare_epoch.get(database) == Some(&epoch)
            && matches!(d.spare, Contents::Database | Contents::Waiting)
    });
    if !fit {
        let mut steps: Vec<Step> = stop_if_needed(o).into_iter().collect();
        steps.push(Step::Rejoin(epoch));
        return Decision::act(
            State::Syncing,
            steps,
            format!(
                "this node's directories are not of epoch {epoch}: it rejoins with {}'s bundle",
                o.peer
            ),
        );
    }
    let flips: Vec<Step> = o
        .databases
        .iter()
        .filter(|(_, d)| d.leads != LinkTarget::ToSpare)
        .map(|(database, _)| Step::Flip(*database, Target::Spare))
        .collect();
    if !flips.is_empty() {
        let steps = stop_if_needed(o).into_iter().chain(flips).collect();
        return Decision::act(
            State::Syncing,
            steps,
            "the state directories lead elsewhere",
        );
    }
    if let Some((database, end)) = evidence::voter_off_the_volume(o) {
        return off_the_volume(o, database, end);
    }
    if o.services != Services::Running || !o.token {
        return Decision::act(
            State::Syncing,
            vec![Step::StartServices],
            format!(
                "{} runs the voter of epoch {epoch}; the spare may start",
                o.peer
            ),
        );
    }
    if !o.drbd.up_to_date || !o.drbd.connected {
        return Decision::wait(
            State::Syncing,
            format!(
                "the spare of epoch {epoch} runs here, but nothing can fail over to this node \
                 before its copy of the volume is up to date ({})",
                o.drbd.summary
            ),
        );
    }
    // After a resync the peer's handler takes its constraint away, some seconds later. A peer that
    // died before that would leave a cluster that promotes nobody.
    match &o.promotion {
        Asked::NotYet => Decision::act(
            State::Syncing,
            vec![Step::AskPromotion],
            format!(
                "the spare of epoch {epoch} runs here; whether Pacemaker may promote this node is \
                 not known yet"
            ),
        ),
        Asked::Silent(why) => Decision::wait(
            State::Syncing,
            format!(
                "the spare of epoch {epoch} runs here, but whether Pacemaker would promote this \
                 node is not known: {why}"
            ),
        ),
        Asked::Answer(Promotion::Forbidden(id)) => Decision::wait(
            State::Syncing,
            format!(
                "the spare of epoch {epoch} runs here, but Pacemaker does not promote this node \
                 while the constraint {id} stands; DRBD's handler on {} takes it away once the \
                 resync is over",
                o.peer
            ),
        ),
        Asked::Answer(Promotion::Allowed | Promotion::PeerForbidden(_)) => {
            stale_constraint::arrived(
                o,
                State::SecondaryRunning,
                format!(
                    "the spare of epoch {epoch} runs here, {} is the voter",
                    o.peer
                ),
            )
        }
    }
}

/// k8s-dqlite on the voter's node was asked to stop, and has handed its role to this node's own disk.
/// The voter's agent fetches what was written here; until then nothing here is changed, and a database
/// that is stopped stays so: started, it would accept more.
fn off_the_volume(o: &Observation, database: Database, end: &End) -> Decision {
    let index = end.last.index;
    let reason = format!(
        "raft has made this node the voter of {database}, off the volume: its log has come to index \
         {index}, on this disk only"
    );
    let warning = format!(
        "the voter role of {database} was handed over to this node's own disk, which is not replicated \
         (somebody or something has asked k8s-dqlite on {0} to stop). The agent on {0} takes what was \
         written here, up to index {index}, onto the volume and becomes the voter again. Until then a \
         loss of this node loses writes",
        o.peer
    );
    Decision::wait(State::Syncing, reason).warning(warning)
}
