//! fence-peer in the model: what it decides is what [`decide()`] says, and between what it sees and what it
//! does everything else may happen, as if it had been paused.

use two_node_ha_config::FencingMode;
use two_node_ha_drbd::DiskState;
use two_node_ha_fence::answer::{Code, Fence};
use two_node_ha_fence::decide::{
    Cluster, Done, Fencing, Next as Decided, Removal, Situation, decide,
};
use two_node_ha_fence::{Disks, Known, Standing, Subject, View};
use two_node_ha_pacemaker::{FencingConstraint, PeerNode};

use super::agents::Driver;
use super::model::*;
use super::step::{Did, Next};

/// fence-peer on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handler {
    Quiet,
    Works(Call),
}

/// One call of it, and what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// It was called inside `drbdadm primary`, and not for a primary that has lost its peer.
    pub promotes: bool,
    /// DRBD has been connected since it was called, and does not take its answer any more.
    pub stale: bool,
    /// What it is about to do; nothing: it is about to look.
    deed: Option<Deed>,
    seen: Option<Seen>,
    /// Whether the constraint was there at the first look.
    found: Option<bool>,
    placed: bool,
    /// The mark of its own that is still about, by placing and by renewing.
    placed_mark: Option<u8>,
    renewed_mark: Option<u8>,
    alive: Option<bool>,
    fenced: bool,
    removal: Removal,
    trouble: bool,
    /// Its time is up.
    last: bool,
}

/// The cluster at its last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Seen {
    knows: Knows,
    quorate: bool,
    constraint: Option<Constraint>,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    Place,
    Renew,
    Remove,
    TakeBack,
    AskPeer,
    AskFencer,
    Claim,
    ClaimNothing,
    Wait,
}

/// Everything that a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Case {
    n: N,
    fencing: bool,
    primary: bool,
    local: Local,
    peer: Remote,
    call: Call,
}

/// What DRBD says of this node's copy, and of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Local {
    UpToDate,
    Consistent,
    Inconsistent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Remote {
    UpToDate,
    Inconsistent,
    Unknown,
}

impl Handler {
    /// DRBD has just called it.
    pub fn called(promotes: bool) -> Self {
        Self::Works(Call {
            promotes,
            stale: false,
            deed: None,
            seen: None,
            found: None,
            placed: false,
            placed_mark: None,
            renewed_mark: None,
            alive: None,
            fenced: false,
            removal: Removal::NotTried,
            trouble: false,
            last: false,
        })
    }

    /// DRBD is connected again: it does not wait for the answer any more.
    pub fn overtaken(self) -> Self {
        match self {
            Self::Quiet => Self::Quiet,
            Self::Works(call) => Self::Works(Call {
                stale: true,
                ..call
            }),
        }
    }

    /// Its marks, by the names that those have that stand somewhere; what stands nowhere can match nothing
    /// any more, and only whether two of its own are the same matters.
    pub fn rename(&mut self, name: impl Fn(u8) -> Option<u8>) {
        let Self::Works(call) = self else { return };
        let (placed, renewed) = (call.placed_mark, call.renewed_mark);
        let own = |mark: u8| {
            name(mark).unwrap_or(match mark {
                mark if Some(mark) == placed => GONE - 2,
                mark if Some(mark) == renewed => GONE - 1,
                _ => GONE,
            })
        };
        call.placed_mark = placed.map(own);
        call.renewed_mark = renewed.map(own);
        if let Some(constraint) = call.seen.as_mut().and_then(|seen| seen.constraint.as_mut()) {
            constraint.mark = own(constraint.mark);
        }
    }
}

fn marked(constraint: Constraint) -> FencingConstraint {
    FencingConstraint::new("r0", "ms", NAMES[constraint.allows])
        .marked_with(&constraint.mark.to_string())
}

impl Case {
    fn of(world: &World, n: N, call: Call) -> Self {
        let node = &world.nodes[n];
        Self {
            n,
            fencing: world.fencing,
            primary: node.primary(),
            local: match (node.partial, node.certain) {
                (true, _) => Local::Inconsistent,
                (false, true) => Local::UpToDate,
                (false, false) => Local::Consistent,
            },
            peer: match (world.linked, world.syncing) {
                (false, _) => Remote::Unknown,
                (true, Some(target)) if target != n => Remote::Inconsistent,
                (true, _) => Remote::UpToDate,
            },
            call,
        }
    }

    /// What the real decision is.
    fn decide(&self) -> Deed {
        let Self { n, call, .. } = *self;
        let own = |mark: u8| marked(Constraint { allows: n, mark });
        let subject = Subject {
            resource: "r0".into(),
            me: NAMES[n].into(),
            peer: NAMES[other(n)].into(),
            mode: match self.fencing {
                true => FencingMode::Stonith,
                false => FencingMode::Constraint,
            },
        };
        let seen = call.seen.expect("it has looked");
        let view = View {
            peer: match seen.knows {
                Knows::Online => PeerNode::Online,
                Knows::Lost => PeerNode::UncleanOffline,
                Knows::Down => PeerNode::CleanOffline,
            },
            dc: true,
            quorum: seen.quorate,
            fencing_enabled: self.fencing,
            maintenance: false,
            knows: Known::Both,
            ours: Some(FencingConstraint::new("r0", "ms", NAMES[n])),
            role: "Promoted",
            standing: match seen.constraint {
                None => Standing::Absent,
                Some(constraint) if constraint.allows == n => Standing::Mine(marked(constraint)),
                Some(constraint) => Standing::AgainstMe(marked(constraint)),
            },
        };
        let marks = [call.placed_mark, call.renewed_mark];
        let done = Done {
            found: call.found.unwrap_or(false),
            placed: call.placed,
            tried: call.placed_mark.map(own).into_iter().collect(),
            removal: call.removal,
            marks: marks
                .into_iter()
                .flatten()
                .filter_map(|mark| own(mark).mark)
                .collect(),
            alive: call
                .alive
                .map(|yes| yes.then_some(()).ok_or_else(String::new)),
            fenced: call.fenced.then(|| Fencing::Confirmed("`off`".into())),
            trouble: call.trouble.then(String::new),
        };
        let disks = Ok(Disks {
            local: vec![match self.local {
                Local::UpToDate => DiskState::UpToDate,
                Local::Consistent => DiskState::Consistent,
                Local::Inconsistent => DiskState::Inconsistent,
            }],
            peer: vec![match self.peer {
                Remote::UpToDate => DiskState::UpToDate,
                Remote::Inconsistent => DiskState::Inconsistent,
                Remote::Unknown => DiskState::DUnknown,
            }],
            primary: self.primary,
            peer_primary: self.peer == Remote::Unknown,
        });
        let next = decide(&Situation {
            subject: &subject,
            disks: &disks,
            cluster: &Cluster::Seen(view),
            done: &done,
            elapsed: std::time::Duration::from_secs(6),
            last: call.last,
            // A change that failed once fails as often as it is tried in the same world.
            over: true,
        });
        match next {
            Decided::Wait(_) => Deed::Wait,
            Decided::Place => Deed::Place,
            Decided::Renew => Deed::Renew,
            Decided::Remove => Deed::Remove,
            Decided::TakeBack => Deed::TakeBack,
            Decided::AskPeer => Deed::AskPeer,
            Decided::AskFencer => Deed::AskFencer,
            Decided::Answer(answer) => match answer.code {
                Code::Fence(Fence::Broken) => Deed::ClaimNothing,
                Code::Fence(_) | Code::Resync(_) | Code::Ignored => Deed::Claim,
            },
        }
    }
}

impl Driver<'_> {
    /// What fence-peer on a node may do next.
    pub fn handler(&mut self, world: &World, n: N, next: &mut Vec<Next>) {
        let Handler::Works(call) = world.nodes[n].handler else {
            return;
        };
        if !world.nodes[n].on {
            return;
        }
        match call.deed {
            None => self.handler_looks(world, n, call, next),
            Some(deed) => {
                let mut then = *world;
                act(&mut then, n, call, deed);
                let did = match deed {
                    Deed::Place | Deed::Renew | Deed::Remove | Deed::TakeBack if !world.cib(n) => {
                        Did::HandlerUnanswered(n, deed)
                    }
                    deed => Did::Handler(n, deed),
                };
                next.push(Next::of(did, then));
            }
        }
    }

    fn handler_looks(&mut self, world: &World, n: N, mut call: Call, next: &mut Vec<Next>) {
        let node = &world.nodes[n];
        let seen = *call.seen.get_or_insert(Seen {
            knows: node.knows,
            quorate: node.quorate,
            constraint: node.constraint,
        });
        let mine = seen.constraint.filter(|c| c.allows == n);
        call.found.get_or_insert(mine.is_some());
        call.placed |= mine.is_some_and(|c| Some(c.mark) == call.placed_mark);
        let mut decided = |call: Call| {
            let case = Case::of(world, n, call);
            *self.decisions.entry(case).or_insert_with(|| case.decide())
        };
        let deed = decided(call);
        let mut push = |did, call: Call| {
            let mut then = *world;
            then.nodes[n].handler = Handler::Works(call);
            next.push(Next::of(did, then));
        };
        if deed != Deed::Wait {
            push(
                Did::HandlerLooks(n),
                Call {
                    deed: Some(deed),
                    ..call
                },
            );
            return;
        }
        // It looks again until something is different, or its time is up.
        let waits = Call {
            seen: None,
            alive: None,
            fenced: false,
            ..call
        };
        push(Did::HandlerLooks(n), waits);
        push(
            Did::HandlerRunsOut(n),
            Call {
                last: true,
                ..waits
            },
        );
    }
}

/// It does what it has decided on, in the world as it is by now.
fn act(then: &mut World, n: N, mut call: Call, deed: Deed) {
    let stands = then.nodes[n].constraint;
    let answers = then.cib(n);
    call.deed = None;
    match deed {
        Deed::Wait => {}
        Deed::Place => {
            let mark = then.mark();
            call.trouble = !answers;
            call.seen = call.seen.filter(|_| false);
            if !answers || stands.is_none() {
                call.placed_mark = Some(mark);
            }
            if answers && stands.is_none() {
                let ours = Constraint { allows: n, mark };
                then.constrain(n, Some(ours));
                call.placed = true;
                if then.nodes[n].knows == Knows::Online {
                    call.seen = Some(Seen {
                        knows: Knows::Online,
                        quorate: then.nodes[n].quorate,
                        constraint: Some(ours),
                    });
                }
            }
        }
        Deed::Renew => {
            let read = call.seen.and_then(|seen| seen.constraint);
            call.alive = None;
            call.fenced = false;
            let mark = then.mark();
            call.renewed_mark = Some(mark);
            if answers && read == stands {
                let ours = Constraint { allows: n, mark };
                then.constrain(n, Some(ours));
                call.trouble = false;
                call.seen = call.seen.map(|seen| Seen {
                    constraint: Some(ours),
                    ..seen
                });
            } else {
                call.trouble = true;
                call.seen = None;
            }
        }
        Deed::Remove | Deed::TakeBack => {
            let seen = call.seen.and_then(|seen| seen.constraint);
            let mark = match deed {
                Deed::Remove => seen.map(|c| c.mark).or(call.placed_mark),
                _ => call.placed_mark,
            };
            call.trouble = !answers;
            call.removal = if answers {
                Removal::Settled
            } else {
                Removal::Failed
            };
            if answers && stands.is_some_and(|c| Some(c.mark) == mark) {
                then.constrain(n, None);
            }
        }
        Deed::AskPeer => call.alive = Some(then.reaches()),
        Deed::AskFencer => call.fenced = true,
        Deed::Claim | Deed::ClaimNothing => {
            let node = &mut then.nodes[n];
            node.handler = Handler::Quiet;
            match (call.stale, call.promotes, deed == Deed::Claim) {
                // DRBD asks nobody any more; Pacemaker's promotion is tried anew.
                (true, ..) => {}
                (false, false, true) => node.suspended = false,
                (false, true, true) => {
                    if node.stage == Stage::Secondary {
                        node.stage = Stage::Primary;
                        node.certain = true;
                    }
                }
                (false, false, false) => {}
                (false, true, false) => node.failed = true,
            }
            return;
        }
    }
    then.nodes[n].handler = Handler::Works(call);
}
