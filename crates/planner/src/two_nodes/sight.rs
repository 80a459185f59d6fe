//! What the eyes of a node see of the model's world.

use std::collections::{BTreeMap, BTreeSet};

use two_node_ha_dqlite::Position;

use super::agents::Mutant;
use super::handler::Handler;
use super::model::*;
use crate::Database;
use crate::machine::Sight;
use crate::observation as seen;
use crate::record::{Astray, Epoch, Journal, Owned, Phase};

/// What the eyes see of a node: everything that a [`Sight`] is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Eye {
    n: N,
    primary: bool,
    good: bool,
    linked: bool,
    equal: bool,
    peer_primary: bool,
    suspended: bool,
    split: bool,
    handler: bool,
    request: seen::Request,
    hold: u8,
    unit: bool,
    volume: Option<Volume>,
    highest: u8,
    volume_seen: (u8, N),
    spare_epoch: [u8; 2],
    spare_log: Log,
    spare_made: bool,
    leads: [bool; 2],
    services: bool,
    token: bool,
}

impl Eye {
    pub fn of(world: &World, n: N) -> Self {
        let node = &world.nodes[n];
        let request = match node.stage {
            _ if !node.connected => seen::Request::None,
            Stage::Starting | Stage::Up => seen::Request::Hold,
            Stage::Stopping => seen::Request::Release,
            Stage::Secondary | Stage::Primary | Stage::Mounted => seen::Request::None,
        };
        Self {
            n,
            primary: node.primary(),
            good: !node.partial,
            linked: world.linked,
            equal: world.linked && world.syncing.is_none(),
            peer_primary: world.linked && world.nodes[other(n)].primary(),
            suspended: node.suspended,
            split: world.split,
            handler: node.handler != Handler::Quiet,
            request,
            hold: if node.connected { node.hold } else { 0 },
            unit: node.stage >= Stage::Starting,
            volume: node.mounted().then_some(node.volume),
            highest: node.highest,
            volume_seen: node.volume_seen,
            spare_epoch: node.spare_epoch,
            spare_log: node.spare_log,
            spare_made: node.spare_made,
            leads: node.leads,
            services: node.services,
            token: node.token,
        }
    }

    /// What Pacemaker asks.
    pub fn request(&self) -> seen::Request {
        self.request
    }

    /// Whether something about the link differs, of which the machine is told as that.
    pub fn link_differs(&self, before: &Self) -> bool {
        let link = |eye: &Self| (eye.linked, eye.equal, eye.handler);
        link(self) != link(before)
    }

    pub fn sight(&self, mutant: Mutant) -> Sight {
        let n = self.n;
        let owner = |of: N| NAMES[of].to_owned();
        let mut journal = Journal::new(NAMES[n]);
        journal.highest_epoch = self.highest.into();
        journal.volume = (self.volume_seen.0 > 0).then(|| Owned {
            epoch: self.volume_seen.0.into(),
            owner: owner(self.volume_seen.1),
        });
        for database in Database::ALL {
            let of = self.spare_epoch[index(database)];
            if of > 0 {
                journal.spare_epoch.insert(database, of.into());
            }
        }
        let role = |primary| match primary {
            true => seen::Role::Primary,
            false => seen::Role::Secondary,
        };
        let databases = Database::ALL.map(|d| (d, self.directories(d, mutant)));
        Sight {
            drbd: seen::Drbd {
                role: role(self.primary),
                up_to_date: self.good,
                connected: self.linked,
                equal: self.equal,
                peer_role: match self.linked {
                    true => role(self.peer_primary),
                    false => seen::Role::Unknown,
                },
                suspended: self.suspended.then_some(seen::Suspended::Fencing),
                alone: self.split,
                seeking: !self.split,
                summary: "as the model has it".into(),
            },
            mount: match self.volume {
                Some(_) => seen::Mount::ReadWrite,
                None => seen::Mount::None,
            },
            mount_point: match self.volume {
                Some(_) => seen::MountPoint::Covered,
                None => seen::MountPoint::Protected,
            },
            request: self.request,
            hold: (self.hold > 0).then(|| self.hold.into()),
            failover_unit: self.unit,
            shutting_down: false,
            epoch: match &self.volume {
                Some(volume) => seen::Known::Present(record(volume)),
                None => seen::Known::Absent,
            },
            volume_silent: false,
            handler_at_work: self.handler,
            own_disconnect: false,
            journal,
            databases: BTreeMap::from(databases),
            services: match self.services {
                true => seen::Services::Running,
                false => seen::Services::Stopped,
            },
            down: BTreeSet::new(),
            token: self.token,
            resolution: seen::Known::Absent,
            split_brain_reported: self.split,
        }
    }

    fn directories(&self, database: Database, mutant: Mutant) -> seen::Directories {
        let i = index(database);
        let mut directories = seen::Directories {
            leads: match self.leads[i] {
                true => seen::LinkTarget::ToVolume,
                false => seen::LinkTarget::ToSpare,
            },
            original: seen::Contents::Missing,
            spare: match self.spare_made {
                true => seen::Contents::Database,
                false => seen::Contents::IdentityOnly,
            },
            volume: match self.volume {
                Some(_) => seen::Contents::Database,
                None => seen::Contents::Missing,
            },
            original_voter: None,
            spare_log: seen::Log::None,
            volume_log: seen::Log::None,
            own: seen::Standing::Within,
            fetched: None,
        };
        // k8sd hands nothing over: its log adds nothing.
        if i == DQLITE && mutant != Mutant::EpochAlone {
            directories.spare_log = end(&self.spare_log, self.n);
            if let Some(volume) = &self.volume {
                directories.volume_log = end(&volume.log, self.n);
                directories.own = standing(volume, &self.spare_log, self.n);
                directories.fetched = volume
                    .fetched
                    .map(|fetched| standing(volume, &fetched, other(self.n)));
            }
        }
        directories
    }
}

fn position(log: &Log) -> Position {
    Position {
        term: 1,
        index: log.len() as u64,
    }
}

fn end(log: &Log, n: N) -> seen::Log {
    if log.is_empty() {
        return seen::Log::None;
    }
    let votes = log.votes();
    seen::Log::Ends(seen::End {
        last: position(log),
        voters: seen::Voters {
            here: votes[n],
            elsewhere: votes[other(n)],
        },
    })
}

/// As the agent's eyes compare logs: only one that reaches further, or that names its own node.
pub fn standing(volume: &Volume, log: &Log, of: N) -> seen::Standing {
    let further = log.len() > volume.log.len();
    let standing =
        if log.is_empty() || (!log.votes()[of] && !further) || volume.log.starts_with(log) {
            seen::Standing::Within
        } else if log.starts_with(&volume.log) {
            seen::Standing::Ahead {
                first: volume.log.len() as u64 + 1,
                last: log.len() as u64,
            }
        } else {
            let common = volume.log.common(log) as u64;
            seen::Standing::Parted {
                volume: position(&volume.log),
                other: position(log),
                at: (common > 0).then_some(common + 1),
            }
        };
    standing.given(volume.taken.map(astray).as_ref(), NAMES[of])
}

fn astray(taken: Taken) -> Astray {
    Astray {
        node: NAMES[taken.node].into(),
        first: taken.first.into(),
        last: taken.last.into(),
        since: 0,
        until: 0,
    }
}

/// The record of a volume, as it is on the disk.
pub fn record(volume: &Volume) -> Epoch {
    let carries = volume.carries;
    let mut record = Epoch::first(NAMES[carries[DQLITE]]).taken_over_by(NAMES[volume.owner]);
    record.epoch = volume.epoch.into();
    if carries[0] != carries[1] {
        record
            .carries
            .insert(Database::K8sd, NAMES[carries[0]].into());
    }
    for database in Database::ALL {
        let phase = match volume.done[index(database)] {
            true => Phase::Done,
            false => Phase::Pending,
        };
        record.databases.insert(database, phase);
    }
    if volume.confirmed > 0 {
        let index = volume.confirmed.into();
        let position = Position { term: 1, index };
        record.confirmed.insert(Database::K8sDqlite, position);
    }
    let note = |taken: Option<Taken>| taken.map(|t| (Database::K8sDqlite, astray(t)));
    record.astray.extend(note(volume.astray));
    record.taken.extend(note(volume.taken));
    record
}
