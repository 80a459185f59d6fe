//! Invariant I5: nobody takes over, and nobody stays the voter, while another disk has more than the
//! volume.
//!
//! Asked to stop, k8s-dqlite hands the voter role to the spare, whose disk is not replicated. raft's
//! own files tell: the volume's last configuration then names the other node as a voter, and that
//! node's log goes on where the volume's ends. Such a log is the newer one, and becomes the base. One
//! that has parted from the volume's is nobody's to choose.

use two_node_ha_config::Config;

use super::{Decision, State, Step};
use crate::Database;
use crate::observation::{Asked, Directories, End, Log, Observation, Standing};
use crate::record::{Epoch, Phase};
use crate::report::Report;

/// What the logs say to a node that has the volume of `epoch`.
#[derive(Debug)]
pub(super) enum Evidence {
    /// The volume has everything that was ever acknowledged.
    Complete,
    /// Another log goes on from the volume's and is there to be taken as the base: why.
    Continued(String),
    /// It is not known yet, or nobody may go on: what to do.
    Not(Box<Decision>),
}

/// Weighs the logs of both databases.
pub(super) fn weigh(o: &Observation, config: &Config, epoch: &Epoch) -> Evidence {
    for (database, d) in &o.databases {
        if let Log::Unreadable(why) = &d.volume_log {
            return not(damaged(o, config, *database, why));
        }
    }
    let mut continued = Vec::new();
    for (database, d) in &o.databases {
        // What is missing is said where the databases are looked at.
        let Some(end) = d.volume_log.end() else {
            continue;
        };
        if let Some(blocked) = shortened(*database, end, epoch) {
            return not(blocked);
        }
        match of_own(*database, &d.own) {
            Ok(words) => continued.extend(words),
            Err(blocked) => return Evidence::Not(blocked),
        }
        match of_peer(o, epoch, *database, d, end) {
            Ok(words) => continued.extend(words),
            Err(decision) => return Evidence::Not(decision),
        }
    }
    if continued.is_empty() {
        Evidence::Complete
    } else {
        Evidence::Continued(continued.join("; "))
    }
}

/// The database on the volume is damaged, and was not mended without loss.
fn damaged(o: &Observation, config: &Config, database: Database, why: &str) -> Decision {
    let mut dir = config.volume.mount_point.join(database.name());
    dir.extend(database.raft_below());
    let dir = dir.display();
    Decision::blocked(
        format!("{database} on the volume is damaged: {why}"),
        format!(
            "nothing is recovered from half a database. `two-node-ha raft verify {dir}` says what is lost; \
             `two-node-ha raft repair --dry-run {dir}` what would mend it and at what price, with `--source \
             OTHER` for each copy that may have what is missing ({}'s, .two-node-ha/before-epoch-N on the \
             volume, a backup). With --yes in place of --dry-run it is done, with --allow-loss where \
             something has to be given up, and then this node goes on by itself",
            o.peer
        ),
    )
}

/// The volume's log ends before a place that it had reached.
fn shortened(database: Database, end: &End, epoch: &Epoch) -> Option<Decision> {
    let confirmed = epoch.confirmed.get(&database)?;
    (end.last.index < confirmed.index).then(|| {
        Decision::blocked(
            format!(
                "the log of {database} on the volume ends at index {}, and had reached index {} when \
                 its voter was last confirmed: some of it is gone",
                end.last.index, confirmed.index
            ),
            "do not start anything here. `two-node-ha raft verify` on the directory tells more; the \
             other node's copy and the copies in .two-node-ha/before-epoch-N on the volume may have \
             what is missing",
        )
    })
}

type Words = Result<Option<String>, Box<Decision>>;

/// This node's own log, beside the volume.
fn of_own(database: Database, own: &Standing) -> Words {
    let whose = format!("the log of {database} in this node's own directory");
    judge(
        own,
        &whose,
        &format!("/var/lib/two-node-ha/spare/{database}"),
    )
}

/// What is made of a log beside the volume's: nothing, the words that it goes on from the volume's, or
/// Blocked.
fn judge(standing: &Standing, whose: &str, place: &str) -> Words {
    match standing {
        Standing::Within => Ok(None),
        Standing::Ahead { first, last } => Ok(Some(format!(
            "{whose} goes on from the volume's ({})",
            entries(*first, *last)
        ))),
        Standing::Parted { volume, other, at } => Err(Box::new(parted(
            whose,
            (volume.index, other.index, *at),
            place,
        ))),
        Standing::Unknown(why) => Err(Box::new(unknown(whose, why))),
    }
}

/// The peer's log.
fn of_peer(
    o: &Observation,
    epoch: &Epoch,
    database: Database,
    d: &Directories,
    end: &End,
) -> Words {
    let report = match &o.peer_report {
        Asked::Answer(report) => Some(report),
        Asked::NotYet | Asked::Silent(_) => None,
    };
    let by_report = report.is_some_and(|report| may_have_more(report, epoch, database, end));
    let by_raft = end.voters.elsewhere && expected_here(o, epoch, database);
    if !by_report && !by_raft {
        return Ok(None);
    }
    let peer = &o.peer;
    let suspicion = if by_raft {
        format!(
            "raft's last configuration on the volume makes {peer} a voter of {database}: the role was \
             handed over, and what was written since lies on {peer}'s own disk"
        )
    } else {
        format!("{peer} reports a log of {database} that goes further than the volume's")
    };
    let whose = format!("{peer}'s log of {database}");
    // Stopped first: until then it may go on.
    let running = report.is_none_or(|report| report.datastore_running) && !o.peer_stopped;
    match (&d.fetched, report) {
        (Some(standing), _) if o.peer_logs_fetched || report.is_none() => judge(
            standing,
            &whose,
            &format!(".two-node-ha/peer-log-{peer} on the volume"),
        ),
        (_, Some(_)) if running => Err(Box::new(Decision::act(
            State::PrimaryPrep,
            vec![Step::StopPeer, Step::FetchLogs],
            suspicion,
        ))),
        (_, Some(_)) => Err(Box::new(Decision::act(
            State::PrimaryPrep,
            vec![Step::FetchLogs],
            suspicion,
        ))),
        (_, None) if o.peer_report == Asked::NotYet => Err(Box::new(Decision::act(
            State::PrimaryPrep,
            vec![Step::AskPeer],
            suspicion,
        ))),
        // It has just stopped its databases, so that it lives. Asked in the next round, and not as fast as
        // it refuses.
        (_, None) if o.peer_stopped => Err(Box::new(Decision::wait(
            State::PrimaryPrep,
            format!("{suspicion}, and {peer}, which has stopped its databases, does not answer now"),
        ))),
        (_, None) => Err(Box::new(
            Decision::blocked(
                format!("{suspicion}, and {peer} does not answer"),
                format!(
                    "start {peer} and its agent: its log is fetched, and goes on from there. If its disk \
                     is lost for good, what was written there after index {} is lost with it: \
                     `two-node-ha raft give-up {peer}` says so, and then this node goes on without. See \
                     two-node-ha(8), section HANDOVER",
                    end.last.index
                ),
            )
            .only_here(),
        )),
    }
}

/// Whether the volume's database should name this node as its voter.
fn expected_here(o: &Observation, epoch: &Epoch, database: Database) -> bool {
    match epoch.expected_voter(database) {
        Some(node) => node == o.node,
        // A record of an older version, pending: it was the other node's before.
        None => epoch.owner != o.node,
    }
}

/// Whether the peer's own directory, as one of this epoch, holds what the volume may lack. A database
/// that has been recovered in an epoch has taken all that was written before it.
fn may_have_more(report: &Report, epoch: &Epoch, database: Database, end: &End) -> bool {
    let since = match epoch.phase(database) {
        Phase::Done => epoch.epoch,
        // The epoch before had only begun, too: which one it was recovered in is not known.
        Phase::Pending if epoch.carries.contains_key(&database) => 0,
        Phase::Pending => epoch.epoch.saturating_sub(1),
    };
    report.logs.get(&database).is_some_and(|there| {
        there.epoch >= since && (there.end.voters.here || there.end.last.index > end.last.index)
    })
}

/// The voter of this epoch is this node's, runs here, and no log says that another node votes.
pub(super) fn runs_here(o: &Observation, epoch: &Epoch) -> bool {
    epoch.owner == o.node && epoch.complete() && o.is_running_voter() && !astray(o, epoch)
}

/// Whether raft has given the role that this node has to the peer, or the peer has what the volume
/// lacks.
pub(super) fn astray(o: &Observation, epoch: &Epoch) -> bool {
    o.databases.iter().any(|(database, d)| {
        let Some(end) = d.volume_log.end() else {
            return false;
        };
        let by_report = matches!(&o.peer_report, Asked::Answer(report)
            if may_have_more(report, epoch, *database, end));
        let by_raft = end.voters.elsewhere && expected_here(o, epoch, *database);
        by_report || by_raft || d.own != Standing::Within
    })
}

/// Of a node that is the spare: its own log makes it a voter.
pub(super) fn voter_off_the_volume(o: &Observation) -> Option<(Database, &End)> {
    o.databases.iter().find_map(|(database, d)| {
        let end = d.spare_log.end()?;
        end.voters.here.then_some((*database, end))
    })
}

fn parted(whose: &str, (volume, other, at): (u64, u64, Option<u64>), place: &str) -> Decision {
    let where_ = match at {
        Some(at) => format!("they differ from index {at} on"),
        None => "they have no entry in common".to_owned(),
    };
    Decision::blocked(
        format!(
            "{whose} and the volume's have parted: the volume's ends at index {volume}, the other at \
             {other}, and {where_}. Both may hold acknowledged writes"
        ),
        format!(
            "nothing is chosen here. Compare them with `two-node-ha raft compare` (the other is in \
             {place}); `two-node-ha raft give-up NODE` gives one up. See two-node-ha(8), section HANDOVER"
        ),
    )
    .only_here()
}

fn unknown(whose: &str, why: &str) -> Decision {
    Decision::blocked(
        format!("whether {whose} has more than the volume's cannot be told: {why}"),
        "`two-node-ha raft verify` and `raft compare` on the directories tell more; see \
         two-node-ha(8), section HANDOVER",
    )
    .only_here()
}

fn entries(first: u64, last: u64) -> String {
    if first == last {
        format!("1 entry, index {first}")
    } else {
        format!(
            "{} entries, index {first} to {last}",
            last.saturating_sub(first).saturating_add(1)
        )
    }
}

fn not(decision: Decision) -> Evidence {
    Evidence::Not(Box::new(decision))
}
