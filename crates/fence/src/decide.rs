//! The decision of fence-peer: what to do next, from one value. No clock, no I/O.
//!
//! It is asked again after each thing done, with what is then known, until it answers. What the
//! rows have in common:
//!
//! - 4 and 7 are answered only while the constraint stands, and on evidence that is newer than it.
//!   Alive: the peer's controller answered after the constraint was made, and messages keep their
//!   order, so the peer has it. Down: the CIB that was read after the DC made the constraint says
//!   that the peer is down and not expected.
//! - A constraint that was there before is renewed before anything is claimed on it: somebody may have
//!   read it while the link was up, and be about to take it away. One that this call has neither
//!   placed nor renewed supports no claim ([`mod@two_node_ha_pacemaker::fence`]).
//! - 7 needs more: that the fencer remembers as its last deed on the peer that it powered it off.
//!   Without that memory a peer that is cleanly down is 4. Both mean the same to DRBD.
//! - 5 is an opinion and no evidence. It takes `fencing.mode = "constraint"`.
//! - Nothing that is waited for is waited for longer than the deadline: the answer then is 1, and
//!   I/O that is suspended stays so.

use std::time::Duration;

use two_node_ha_config::FencingMode;
use two_node_ha_drbd::{Decision, DiskState};
use two_node_ha_pacemaker::{FencingConstraint, PeerNode};

use crate::answer::{Answer, Code, Fence, Level};
use crate::disks::{Data, Disks};
use crate::reasons;
use crate::view::{Known, Standing, Subject, View};

/// How long a Pacemaker that does not run here is waited for: it may be restarting.
const RESTART: Duration = Duration::from_secs(5);

/// Everything that a decision rests on.
#[derive(Debug)]
pub struct Situation<'a> {
    /// Who and what it is about.
    pub subject: &'a Subject,
    /// DRBD's state, or why it cannot be read.
    pub disks: &'a Result<Disks, String>,
    /// The cluster's.
    pub cluster: &'a Cluster,
    /// What this call has done and found out.
    pub done: &'a Done,
    /// How long it has taken.
    pub elapsed: Duration,
    /// Whether the time is up: what is left of it is for taking the constraint away.
    pub last: bool,
    /// Whether not even for that there is time any more.
    pub over: bool,
}

/// What the cluster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// The CIB.
    Seen(View),
    /// Nothing.
    Silent {
        /// Why.
        why: String,
        /// Whether Pacemaker runs on this node, as far as that is known.
        running: bool,
    },
}

/// What this call has done and found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// The constraint was there when this call began.
    pub found: bool,
    /// This call has placed it.
    pub placed: bool,
    /// What this call has placed, or may have: without an answer, whether it was made is known to the
    /// cluster alone.
    pub tried: Vec<FencingConstraint>,
    /// What became of taking it away again.
    pub removal: Removal,
    /// The marks that this call has put into the constraint, or has tried to: by placing it and by
    /// renewing it.
    pub marks: Vec<String>,
    /// Whether the peer's controller answered, or why not; since the last look at the cluster.
    pub alive: Option<Result<(), String>>,
    /// What the fencer remembers.
    pub fenced: Option<Fencing>,
    /// Why the last change of the CIB failed.
    pub trouble: Option<String>,
}

/// What became of taking the constraint away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Removal {
    /// It was not tried.
    #[default]
    NotTried,
    /// It was tried, and whether the constraint is gone is not known.
    Failed,
    /// It is gone, or somebody else relies on it.
    Settled,
}

/// What the fencer remembers of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fencing {
    /// That it has powered it off, how and when.
    Confirmed(String),
    /// Something else, or nothing.
    Unconfirmed(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look again soon; why.
    Wait(String),
    /// Place the constraint.
    Place,
    /// Give the one that stands a new mark.
    Renew,
    /// Take the one away that stands.
    Remove,
    /// Take the one away that this call has placed, and no other: one that was renewed since,
    /// another handler relies on, even if this call has renewed it once more after that.
    TakeBack,
    /// Ask whether the peer's controller answers.
    AskPeer,
    /// Ask what the fencer remembers.
    AskFencer,
    /// Answer.
    Answer(Answer),
}

/// Decides.
pub fn decide(s: &Situation<'_>) -> Next {
    if s.subject.mode == FencingMode::None {
        return broken(
            Decision::Policy,
            Level::Error,
            reasons::no_fencing(s.subject),
        );
    }
    let disks = match s.disks {
        Ok(disks) => disks,
        Err(why) => return wait(s, format!("DRBD's state cannot be read: {why}")),
    };
    let next = of_disks(s, disks).unwrap_or_else(|| of_cluster(s, disks));
    match &next {
        // Nothing is claimed, so nothing rests on what this call has placed.
        Next::Answer(answer)
            if answer.code == Code::Fence(Fence::Broken)
                && s.done.removal == Removal::NotTried
                && takes_back(s) =>
        {
            Next::TakeBack
        }
        _ => next,
    }
}

/// Whether a call that claims nothing takes away what it has placed. Nothing was written since: a
/// constraint that stays would only keep the peer from taking over. Under "constraint" writes went on,
/// and it must stay.
fn takes_back(s: &Situation<'_>) -> bool {
    s.subject.mode == FencingMode::Stonith && !s.done.tried.is_empty()
}

/// Where DRBD's own state settles it.
fn of_disks(s: &Situation<'_>, disks: &Disks) -> Option<Next> {
    let subject = s.subject;
    if disks.peer_up_to_date() {
        // The link is back, and nothing was missed. DRBD drops the answer by itself.
        return Some(if stands(s) && s.done.removal == Removal::NotTried {
            Next::Remove
        } else {
            broken(Decision::NotNeeded, Level::Notice, reasons::not_needed(s))
        });
    }
    if disks.local.is_empty() {
        return Some(broken(
            Decision::NotUp,
            Level::Error,
            reasons::not_up(subject),
        ));
    }
    if disks.peer_all(&[DiskState::Inconsistent]) {
        let reason = reasons::known(subject, "Inconsistent");
        return Some(answer(Fence::Inconsistent, Decision::Inconsistent, reason));
    }
    if disks.peer_all(&[DiskState::Inconsistent, DiskState::Outdated]) {
        let reason = reasons::known(subject, "Outdated");
        return Some(answer(Fence::Outdated, Decision::Outdated, reason));
    }
    (disks.data() == Data::Unusable).then(|| {
        broken(
            Decision::Unusable,
            Level::Error,
            reasons::unusable(subject, disks),
        )
    })
}

/// Where the cluster must be asked.
fn of_cluster(s: &Situation<'_>, disks: &Disks) -> Next {
    let subject = s.subject;
    let view = match s.cluster {
        Cluster::Seen(view) => view,
        Cluster::Silent { why, running } => {
            if !running && s.elapsed >= RESTART {
                return broken(
                    Decision::NoCluster,
                    level(s, disks),
                    reasons::no_cluster(s, why),
                );
            }
            return wait(s, format!("the cluster does not answer: {why}"));
        }
    };
    if view.ours.is_none() {
        return broken(
            Decision::NoClone,
            level(s, disks),
            reasons::no_clone(subject),
        );
    }
    match view.knows {
        Known::NotMe => {
            let reason = reasons::no_node(subject, &subject.me);
            return broken(Decision::NoNode, level(s, disks), reason);
        }
        Known::NotPeer => {
            let reason = reasons::no_node(subject, &subject.peer);
            return broken(Decision::NoNode, level(s, disks), reason);
        }
        Known::Both => {}
    }
    let mine = match &view.standing {
        Standing::AgainstMe(constraint) => {
            let reason = reasons::rejected(subject, constraint);
            return broken(Decision::Rejected, level(s, disks), reason);
        }
        Standing::Loose(constraint) => {
            let reason = reasons::loose(subject, constraint);
            return broken(Decision::Loose, level(s, disks), reason);
        }
        Standing::Mine(_) => true,
        Standing::Absent => false,
    };
    if !view.quorum {
        return wait(s, "this partition has no quorum".into());
    }
    // A constraint from before this call tells that this node's data was the one to go on with.
    let entitled = disks.data() == Data::UpToDate || (mine && s.done.found);
    match view.peer {
        PeerNode::Online => online(s, view, mine),
        PeerNode::CleanOffline => down(s, view, disks, mine, entitled),
        PeerNode::UncleanOffline | PeerNode::Pending | PeerNode::Unknown => {
            lost(s, view, disks, mine, entitled)
        }
    }
}

/// Only the replication link is gone, unless the cluster has not noticed more yet. Being only
/// Consistent is enough: if the peer had better data, Pacemaker would have promoted it.
fn online(s: &Situation<'_>, view: &View, mine: bool) -> Next {
    if !mine {
        return place(s);
    }
    if !own(s, view) {
        return renew(s);
    }
    match &s.done.alive {
        None => Next::AskPeer,
        Some(Ok(())) => answer(Fence::Outdated, Decision::Excluded, reasons::alive(s, view)),
        Some(Err(why)) => wait(
            s,
            format!(
                "the cluster counts {} as a member, but it does not answer: {why}",
                s.subject.peer
            ),
        ),
    }
}

/// The peer was fenced, or has left in good order. That makes this node's data no newer.
fn down(s: &Situation<'_>, view: &View, disks: &Disks, mine: bool, entitled: bool) -> Next {
    if !entitled {
        return broken(
            Decision::Stale,
            level(s, disks),
            reasons::stale(s.subject, disks),
        );
    }
    if !mine {
        return place(s);
    }
    if !own(s, view) {
        return renew(s);
    }
    let excluded = |why: &str| {
        answer(
            Fence::Outdated,
            Decision::Excluded,
            reasons::down(s, view, why),
        )
    };
    if s.subject.mode == FencingMode::Constraint {
        // Under resource-only DRBD takes 7 for an error.
        return excluded("");
    }
    match &s.done.fenced {
        _ if !view.fencing_enabled => excluded("; the cluster's fencing is disabled"),
        None => Next::AskFencer,
        Some(Fencing::Confirmed(how)) => answer(
            Fence::Fenced,
            Decision::Fenced,
            reasons::fenced(s, view, how),
        ),
        Some(Fencing::Unconfirmed(why)) => excluded(&format!("; {why}")),
    }
}

/// Nobody knows whether the peer still runs.
fn lost(s: &Situation<'_>, view: &View, disks: &Disks, mine: bool, entitled: bool) -> Next {
    let why = reasons::lost(s.subject, view);
    match s.subject.mode {
        // Suspended meanwhile: nothing is acknowledged that the peer does not have.
        FencingMode::Stonith | FencingMode::None => wait(s, why),
        FencingMode::Constraint if !entitled => {
            if view.peer == PeerNode::UncleanOffline && !view.fencing_enabled {
                broken(
                    Decision::Stale,
                    level(s, disks),
                    reasons::stale(s.subject, disks),
                )
            } else {
                wait(s, why)
            }
        }
        // Writes go on meanwhile: the sooner the other half is kept from being promoted, the
        // better.
        FencingMode::Constraint if !mine => place(s),
        FencingMode::Constraint if !own(s, view) => renew(s),
        FencingMode::Constraint if s.done.found => answer(
            Fence::Outdated,
            Decision::Excluded,
            reasons::before(s, view),
        ),
        FencingMode::Constraint => {
            let hopeless = view.peer == PeerNode::UncleanOffline && !view.fencing_enabled;
            if hopeless || s.last {
                answer(
                    Fence::Unreachable,
                    Decision::Assumed,
                    reasons::assumed(s, view, &why),
                )
            } else {
                Next::Wait(why)
            }
        }
    }
}

/// Places the constraint, or waits when that was just tried in vain.
fn place(s: &Situation<'_>) -> Next {
    match &s.done.trouble {
        Some(trouble) if s.last => {
            give_up(s, format!("the constraint cannot be placed: {trouble}"))
        }
        _ if s.last => give_up(s, "the constraint could not be placed in time".into()),
        _ => Next::Place,
    }
}

/// Renews the constraint; at the end, if that has not been tried in vain already.
fn renew(s: &Situation<'_>) -> Next {
    match &s.done.trouble {
        Some(trouble) if s.last => {
            give_up(s, format!("the constraint cannot be renewed: {trouble}"))
        }
        Some(_) | None => Next::Renew,
    }
}

/// Whether the constraint that stands has a mark of this call: nobody who reads it has seen the link
/// up before this call began.
fn own(s: &Situation<'_>, view: &View) -> bool {
    let constraint = match &view.standing {
        Standing::Mine(constraint) => constraint,
        Standing::Absent | Standing::AgainstMe(_) | Standing::Loose(_) => return false,
    };
    let mark = constraint.mark.as_ref();
    mark.is_some_and(|mark| s.done.marks.contains(mark))
}

fn wait(s: &Situation<'_>, why: String) -> Next {
    if s.last {
        give_up(s, why)
    } else {
        Next::Wait(why)
    }
}

/// The time is up.
fn give_up(s: &Situation<'_>, why: String) -> Next {
    let suspended = s.subject.mode == FencingMode::Stonith;
    // A DC is elected while the time runs out, so that the first try may come too early.
    let try_again = match s.done.removal {
        Removal::NotTried => true,
        Removal::Failed => !s.over,
        Removal::Settled => false,
    };
    if takes_back(s) && try_again {
        return Next::TakeBack;
    }
    if let (FencingMode::Constraint, Cluster::Seen(view), Ok(disks)) =
        (s.subject.mode, s.cluster, s.disks)
    {
        let stands = matches!(view.standing, Standing::Mine(_));
        if stands && view.quorum && disks.data() == Data::UpToDate {
            match (own(s, view), &s.done.trouble) {
                (true, _) => {
                    let reason = reasons::assumed(s, view, &why);
                    return answer(Fence::Unreachable, Decision::Assumed, reason);
                }
                (false, None) => return Next::Renew,
                (false, Some(_)) => {}
            }
        }
    }
    let primary = s.disks.as_ref().is_ok_and(|disks| disks.primary);
    let level = if suspended && primary {
        Level::Critical
    } else {
        Level::Error
    };
    let answer = Answer {
        alert: level == Level::Critical,
        ..Answer::new(
            Code::Fence(Fence::Broken),
            Decision::Undecided,
            reasons::undecided(s, &why),
        )
    };
    Next::Answer(answer.at(level))
}

/// Whether the constraint of this node stands and is of no more use.
fn stands(s: &Situation<'_>) -> bool {
    let Cluster::Seen(view) = s.cluster else {
        return s.done.placed;
    };
    let current = s.disks.as_ref().is_ok_and(|d| d.data() == Data::UpToDate);
    matches!(view.standing, Standing::Mine(_)) && (current || s.done.placed)
}

/// How bad it is that nothing can be claimed.
fn level(s: &Situation<'_>, disks: &Disks) -> Level {
    if s.subject.mode == FencingMode::Stonith && disks.primary {
        Level::Critical
    } else {
        Level::Error
    }
}

fn answer(code: Fence, decision: Decision, reason: String) -> Next {
    Next::Answer(Answer::new(Code::Fence(code), decision, reason).at(Level::Warning))
}

fn broken(decision: Decision, level: Level, reason: String) -> Next {
    let answer = Answer {
        alert: level == Level::Critical,
        ..Answer::new(Code::Fence(Fence::Broken), decision, reason)
    };
    Next::Answer(answer.at(level))
}
