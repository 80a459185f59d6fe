//! What a step is expected to make of the two sides: for `resolve --dry-run`, and for the model in
//! the tests, which lets each step go wrong in every way it can.

use super::plan::{On, Step};
use super::side::{Cluster, Disk, Link, Side};
use crate::observation::{Known, Mount, Role};
use crate::record::{CopyMade, Resolution};

/// Does to the sides what the step does to the nodes.
pub fn take(winner: &mut Side, loser: &mut Side, on: On, step: &Step, asked: &Resolution) {
    let cluster = |side: &mut Side, banned: Option<&str>| {
        if let Cluster::Here { .. } = side.cluster {
            side.cluster = Cluster::Here {
                banned: banned.map(str::to_owned),
            };
        }
    };
    let side = match on {
        On::Winner => &mut *winner,
        On::Loser => &mut *loser,
    };
    match step {
        Step::Begin => {
            let fresh = Resolution::new(&asked.winner, &asked.loser, asked.without_copy);
            side.resolution = Known::Present(fresh.marked(&asked.mark));
        }
        Step::Ban => {
            cluster(winner, Some(&asked.loser));
            cluster(loser, Some(&asked.loser));
        }
        Step::Demote => side.role = Role::Secondary,
        Step::Disconnect => side.link = Link::StandAlone,
        Step::Copy => {
            let generation = side.generation.as_ref().map_or(0, |g| g.current);
            let writes = side.writes.clone();
            if let Known::Present(noted) = &mut side.resolution {
                noted.copy = Some(CopyMade {
                    name: "copy".into(),
                    generation,
                    writes,
                });
            }
        }
        Step::Forget(epoch) => side.highest_epoch = side.highest_epoch.min(*epoch),
        Step::Discard => {
            let generation = side.generation.as_ref().map_or(0, |g| g.current);
            if let Known::Present(noted) = &mut side.resolution {
                noted.discarding.get_or_insert(generation);
            }
            side.link = Link::Connecting;
        }
        Step::Connect => side.link = Link::Connecting,
        Step::Unban => {
            cluster(winner, None);
            cluster(loser, None);
        }
        Step::Finish => {
            side.resolution = Known::Absent;
            side.evidence.clear();
        }
    }
}

/// Lets happen by itself what a plan waits for; whether anything did.
pub fn wait(winner: &mut Side, loser: &mut Side) -> bool {
    if loser.busy() {
        // Pacemaker obeys the constraint.
        loser.held = false;
        loser.mount = Mount::None;
        loser.role = Role::Secondary;
        return true;
    }
    if winner.link == Link::Connecting && loser.link == Link::Connecting {
        winner.link = Link::Resyncing;
        loser.link = Link::Resyncing;
        loser.disk = Disk::Inconsistent;
        return true;
    }
    if loser.link == Link::Resyncing {
        winner.link = Link::Connected;
        loser.link = Link::Connected;
        loser.disk = Disk::UpToDate;
        // Both begin anew from the winner's generation.
        if let Ok(generation) = &mut winner.generation {
            generation.history.insert(0, generation.bitmap);
            generation.bitmap = 0;
        }
        loser.generation.clone_from(&winner.generation);
        loser.volume.clone_from(&winner.volume);
        return true;
    }
    false
}
